//! Rotation (§9.8.2): a new value for the same credential, announced by its id, and the old one
//! revoked promptly.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::id::CredentialId;
use arcp_core::store::{CredentialQuery, CredentialRow, CredentialState, StoreError};
use arcp_core::wire::credential::{Credential, Rotated};
use arcp_core::wire::event;
use arcp_core::{Code, Error, Event, Feature, JobId};

use tokio::time::Instant;

use super::Credentials;
use super::held::Held;
use super::ledger::put;
use crate::config::Config;
use crate::lock::lock;
use crate::runtime::refused;

/// How long rotations are counted that are too many at once.
const WHILE: Duration = Duration::from_secs(60);
/// How long the ledger is left alone between two questions.
const RETRY: Duration = Duration::from_secs(1);

/// The rotations that an agent asked for, in all and since a minute began.
#[derive(Debug, Default)]
pub(super) struct Asked {
    in_all: u32,
    since: Option<Instant>,
    lately: u32,
}

impl Asked {
    /// Counts one more, unless it is too many.
    fn one_more(&mut self, now: Instant, config: &Config) -> Result<(), Error> {
        if self.in_all >= config.max_rotations {
            return Err(Error::limit(format!("a job may have at most {} rotations", config.max_rotations)));
        }
        if self.since.is_none_or(|since| now.duration_since(since) >= WHILE) {
            (self.since, self.lately) = (Some(now), 0);
        }
        if self.lately >= config.rotation_rate {
            return Err(Error::limit(format!(
                "a job may have at most {} rotations a minute",
                config.rotation_rate
            )));
        }
        self.in_all += 1;
        self.lately += 1;
        Ok(())
    }
}

impl Credentials {
    /// Gives a job's credential a new value because its agent wants one: so often, and no oftener.
    ///
    /// # Errors
    /// As [`rotate`](Self::rotate), and if there were too many.
    pub(crate) async fn rotate_for_agent(
        self: &Arc<Self>,
        job: &JobId,
        id: &CredentialId,
    ) -> Result<Credential, Error> {
        let held = self.held(job).ok_or_else(unknown)?;
        lock(&held.asked).one_more(Instant::now(), &self.config)?;
        drop(held);
        self.rotate(job, id).await
    }

    /// Gives a job's credential a new value.
    ///
    /// # Errors
    /// If the job has no such credential or has ended, or if no new one was issued: the old one stays
    /// in force then.
    async fn rotate(self: &Arc<Self>, job: &JobId, id: &CredentialId) -> Result<Credential, Error> {
        let held = self.held(job).ok_or_else(unknown)?;
        let (credentials, id) = (self.clone(), id.clone());
        // An agent that is stopped half way must not leave two behind.
        let work = self.handle.spawn(async move { credentials.rotate_held(&held, &id).await });
        work.await.unwrap_or_else(|_| Err(Error::new(Code::InternalError, "the rotation failed")))
    }

    async fn rotate_held(self: &Arc<Self>, held: &Arc<Held>, id: &CredentialId) -> Result<Credential, Error> {
        let _turn = held.turn.lock().await;
        let old = lock(&held.keys).iter().find(|key| key.credential.id == *id).map(|key| key.row.clone());
        let old = old.ok_or_else(unknown)?;
        let spent = self.spent_with(held, &old).await;
        let minted = self.reissue(&held.record, &old).await?;
        let now = self.ledger.now();
        let revoking = old.clone().into_state(CredentialState::Revoking, now);
        let due = Some(now.plus(self.config.provision_timeout * 2));
        let revoking = CredentialRow { sealed: None, due, ..revoking };
        let mut ops = minted.ops();
        ops.push(put(&revoking, Some(CredentialState::Live)));
        // If this fails, the new one is revoked, and the old one stays.
        if let Err(e) = self.ledger.commit(held.record.principal.name(), ops).await
            && !(e == StoreError::Unknown && self.is_live(held, minted.names()).await)
        {
            return Err(refused(&e));
        }
        let Some(key) = minted.into_key() else { return Err(unknown()) };
        let credential = key.credential.clone();
        if let Some(slot) = lock(&held.keys).iter_mut().find(|slot| slot.credential.id == *id) {
            *slot = key;
        }
        lock(&held.before).add(spent);
        self.announce(held, id);
        let credentials = self.clone();
        self.handle.spawn(async move { credentials.try_row(&revoking).await });
        Ok(credential)
    }

    /// Whether the new one is in force after a commit of which nobody knows whether it happened. The ledger
    /// is asked until it says so: the job would be left with what was revoked.
    async fn is_live(&self, held: &Held, names: Vec<String>) -> bool {
        let (principal, job) = (held.record.principal.name().to_owned(), held.record.id.clone());
        let query = CredentialQuery::OfJob { principal, job };
        loop {
            match self.ledger.read(query.clone()).await {
                Ok(page) => {
                    let live = |row: &CredentialRow| row.state == CredentialState::Live;
                    return page.items.iter().any(|row| live(row) && names.contains(&row.name));
                }
                Err(error) => {
                    tracing::warn!(%error, job_id = %held.record.id, "whether a credential was rotated is not known yet");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// What is kept of it has no value; who may have it is given it when it is sent.
    fn announce(&self, held: &Held, id: &CredentialId) {
        let (record, rotated) = (&held.record, Rotated::new(id.clone()));
        let payload = event::payload("status", self.ledger.now(), &rotated.body());
        let Ok(payload) = payload else { return };
        let mut event = Event::new("status", record.id.clone(), Some(record.log.trace_id()), payload);
        event.needs = Some(Feature::ProvisionedCredentials);
        held.announced.store(true, std::sync::atomic::Ordering::Release);
        // It takes no credit, as the runtime's other words. A job that has ended needs it no more.
        let _ = record.log.append(event);
    }

    /// A credential's time is nearly up, and its job runs.
    pub(super) async fn refresh(self: &Arc<Self>, row: &CredentialRow) {
        match self.rotate(&row.job, &row.id).await {
            Ok(_) => tracing::debug!(name = row.name, job_id = %row.job, "a credential was refreshed"),
            Err(error) => {
                tracing::warn!(name = row.name, job_id = %row.job, %error, "a credential was not refreshed");
                let again =
                    Some(self.ledger.now().plus(super::revoke::backoff(5, self.config.revoke_backoff)));
                let again = CredentialRow { due: again, ..row.clone() };
                // If it was rotated after all, or is being revoked, this is a conflict.
                let _ = self.ledger.put(&again, CredentialState::Live).await;
            }
        }
    }
}

fn unknown() -> Error {
    Error::fault("credential", "must be one that the job has")
}
