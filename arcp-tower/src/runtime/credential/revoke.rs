//! Revoking (§9.8.2, §14): before a job's end can be seen, and again until the service says that it
//! is done.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::{CredentialQuery, CredentialRow, CredentialState, JobRow, Op, StoreError};
use arcp_core::{JobId, Timestamp};
use futures_util::future::join_all;
use tokio::time::timeout;

use super::held::Held;
use super::ledger::put;
use super::{Credentials, Spent};
use crate::credential::{Handle, ProvisionError, ProvisionErrorKind, Revocation};
use crate::lock::lock;
use crate::random;

/// The part of a credential's life after which it is rotated.
pub(super) const REFRESH_AT: f64 = 0.8;

impl Credentials {
    /// A job is about to end: its credentials are revoked, and this waits for it, for a while. What is
    /// not done by then is tried again. What was spent with them, if it was delegated.
    pub(in crate::runtime) async fn finish(self: &Arc<Self>, job: &JobId) -> Spent {
        let Some(held) = lock(&self.held).remove(job) else { return Spent::default() };
        self.part(&held);
        let (all, credentials, of_job) = (self.config.revoke_wait, self.clone(), held.clone());
        // It goes on when nobody waits any more.
        let work = self.handle.spawn(async move { credentials.revoke_all(&of_job).await });
        if timeout(all, work).await.is_err() {
            tracing::warn!(job_id = %job, "a job ends before its credentials are known to be revoked");
        }
        Self::total(&held)
    }

    async fn revoke_all(self: &Arc<Self>, held: &Held) {
        // One that is being rotated has to be revoked, too.
        let _turn = held.turn.lock().await;
        let keys = std::mem::take(&mut *lock(&held.keys));
        let rows: Vec<_> =
            keys.into_iter().map(|key| self.to_revoke(key.row, self.config.provision_timeout * 2)).collect();
        let ops = rows.iter().map(|row| put(row, Some(CredentialState::Live))).collect();
        if let Err(error) = self.ledger.commit(held.record.principal.name(), ops).await {
            tracing::error!(job_id = %held.record.id, %error, "that credentials have to be revoked was not kept");
            // The services are asked all the same; it is written down when that can be.
            self.add_up(held, &rows).await;
            join_all(rows.iter().map(|row| self.ask(row))).await;
            lock(&self.loose).extend(rows);
            return self.wake.notify_one();
        }
        self.add_up(held, &rows).await;
        join_all(rows.iter().map(|row| self.try_row(row))).await;
    }

    /// A row in the state of one that has to be revoked, by `within` from now.
    fn to_revoke(&self, row: CredentialRow, within: Duration) -> CredentialRow {
        let now = self.ledger.now();
        let row = row.into_state(CredentialState::Revoking, now);
        CredentialRow { sealed: None, due: Some(now.plus(within)), owner: self.ledger.owner, ..row }
    }

    /// Has a credential revoked that no job got.
    pub(super) fn revoke_soon(self: &Arc<Self>, row: CredentialRow) {
        let credentials = self.clone();
        self.handle.spawn(async move { credentials.revoke_loose(row).await });
    }

    /// Writes down that a credential has to be revoked, whatever its row says, and tries it.
    pub(super) async fn revoke_loose(self: &Arc<Self>, row: CredentialRow) {
        let row = self.to_revoke(row, self.config.provision_timeout * 2);
        // A commit of which nobody knows whether it happened may have made it live.
        for before in [CredentialState::Intent, CredentialState::Live] {
            match self.ledger.put(&row, before).await {
                Ok(()) => return self.try_row(&row).await,
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => {
                    tracing::warn!(name = row.name, %error, "that a credential has to be revoked was not kept");
                    let _ = self.ask(&row).await;
                    lock(&self.loose).push(row);
                    return self.wake.notify_one();
                }
            }
        }
    }

    /// Those that could not be written down are, if the store is back.
    pub(super) async fn take_up_loose(self: &Arc<Self>) -> bool {
        let rows = std::mem::take(&mut *lock(&self.loose));
        for row in rows {
            self.revoke_loose(row).await;
        }
        !lock(&self.loose).is_empty()
    }

    /// What has to be written when a job of a process that is gone ends: in the same batch.
    pub(in crate::runtime) async fn ending(&self, row: &JobRow) -> Result<Vec<Op>, StoreError> {
        let query = CredentialQuery::OfJob { principal: row.principal.clone(), job: row.id.clone() };
        let rows = self.ledger.read(query).await?.items;
        let open = rows
            .into_iter()
            .filter(|row| matches!(row.state, CredentialState::Intent | CredentialState::Live));
        Ok(open
            .map(|row| {
                let before = row.state;
                put(&self.to_revoke(row, Duration::ZERO), Some(before))
            })
            .collect())
    }

    /// Tries to revoke one, and writes down what came of it.
    pub(super) async fn try_row(&self, row: &CredentialRow) {
        let said = self.ask(row).await;
        let next = self.after(row.clone(), &said);
        let before = CredentialState::Revoking;
        let (name, job_id, profile) = (&next.name, &next.job, &next.profile);
        let written = match next.state {
            CredentialState::Stuck => {
                let error = next.error.as_deref();
                tracing::error!(name, %job_id, profile, error, tries = next.tries, "a credential cannot be revoked");
                tracing::warn!(target: "arcp::audit", name, %job_id, profile, error, "credential stuck");
                self.ledger.put_stuck(&next, before).await
            }
            CredentialState::Revoked => {
                tracing::debug!(name, %job_id, profile, "a credential was revoked");
                self.ledger.put(&next, before).await
            }
            _ => {
                let error = next.error.as_deref();
                tracing::warn!(name, %job_id, profile, error, tries = next.tries, "a credential is not revoked yet");
                self.ledger.put(&next, before).await
            }
        };
        match written {
            // Somebody else was quicker.
            Ok(()) | Err(StoreError::Conflict { .. }) => {}
            // Revoking once more does no harm: it is due again.
            Err(error) => tracing::warn!(name, %error, "what became of a credential was not kept"),
        }
        self.wake.notify_one();
    }

    /// Asks the service to revoke one.
    pub(super) async fn ask(&self, row: &CredentialRow) -> Result<Revocation, ProvisionError> {
        let nobody = || ProvisionError::transient("no provisioner is registered for its profile");
        let provisioner = self.provisioners.get(&row.profile).ok_or_else(nobody)?;
        let handle = Handle::new(row.name.as_str(), row.handle.clone());
        let asked = timeout(self.config.provision_timeout, provisioner.revoke(&handle)).await;
        asked.unwrap_or_else(|_| Err(ProvisionError::transient("the service was too slow")))
    }

    /// A row after a try.
    fn after(&self, mut row: CredentialRow, said: &Result<Revocation, ProvisionError>) -> CredentialRow {
        let now = self.ledger.now();
        // What was asked for may still be on its way, unless it is known to have arrived.
        let early = row.handle.is_none() && now < self.settled(&row);
        if early && matches!(said, Ok(Revocation::Absent)) {
            row.due = Some(self.settled(&row));
            row.error = Some("the service does not know it yet".to_owned());
            return row;
        }
        row.tries = row.tries.saturating_add(1);
        let Err(error) = said else {
            (row.due, row.error) = (None, None);
            return row.into_state(CredentialState::Revoked, now);
        };
        row.error = Some(error.message().to_owned());
        let given_up = now >= row.since.plus(self.config.revoke_for);
        if given_up || error.kind() == ProvisionErrorKind::Permanent {
            row.due = None;
            return row.into_state(CredentialState::Stuck, now);
        }
        row.due = Some(now.plus(backoff(row.tries, self.config.revoke_backoff)));
        row
    }

    fn settled(&self, row: &CredentialRow) -> Timestamp {
        row.created_at.plus(self.config.credential_settle)
    }
}

/// How long to wait before the next try: twice as long as before, up to `most`, and never the same for
/// all.
pub(super) fn backoff(tries: u32, most: Duration) -> Duration {
    let full = Duration::from_secs(1).saturating_mul(1 << tries.min(16)).min(most);
    let part = u32::try_from(random::bits() % 1000).unwrap_or(0);
    full / 2 + full / 2 * part / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_differ() {
        let most = Duration::from_secs(300);
        for tries in 0..40 {
            let full = Duration::from_secs(1 << tries.min(9)).min(most);
            let waits: Vec<_> = (0..20).map(|_| backoff(tries, most)).collect();
            assert!(waits.iter().all(|wait| *wait >= full / 2 && *wait <= full), "{tries}: {waits:?}");
            assert!(waits.iter().any(|wait| *wait != waits[0]));
        }
    }
}
