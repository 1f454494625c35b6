//! Issuing (§9.8.2): the intent is durable before the service is asked, so that nothing that it may
//! have issued is ever forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arcp_core::id::CredentialId;
use arcp_core::lease::Namespace;
use arcp_core::money::{Amount, Currency};
use arcp_core::store::{CredentialRow, CredentialState, Op};
use arcp_core::wire::credential::Credential;
use arcp_core::{Code, Error, Timestamp};
use tokio::time::{Instant, sleep, timeout_at};

use super::held::Key;
use super::ledger::put;
use super::{Credentials, revoke};
use crate::credential::{CredentialProvisioner, Handle, Issue, Issued, ProvisionError};
use crate::random;
use crate::runtime::refused;
use crate::runtime::registry::JobRecord;

/// Credentials that were issued for a job that is not there yet. Dropped, they are revoked.
pub(in crate::runtime) struct Minted {
    credentials: Arc<Credentials>,
    record: Arc<JobRecord>,
    keys: Vec<Key>,
}

impl Minted {
    /// What makes them live: to be written together with the job.
    pub(in crate::runtime) fn ops(&self) -> Vec<Op> {
        self.keys.iter().map(|key| put(&key.row, Some(CredentialState::Intent))).collect()
    }

    /// Makes them live where no store has the job.
    pub(in crate::runtime) async fn record(&self) -> Result<(), Error> {
        let done = self.credentials.ledger.commit(self.record.principal.name(), self.ops()).await;
        done.map_err(|e| refused(&e))
    }

    /// They are the job's from now on.
    pub(in crate::runtime) fn keep(mut self) {
        self.credentials.hold(&self.record, std::mem::take(&mut self.keys));
    }

    /// The names that the services know them by.
    pub(super) fn names(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.row.name.clone()).collect()
    }

    pub(super) fn into_key(mut self) -> Option<Key> {
        self.keys.pop()
    }
}

impl Drop for Minted {
    fn drop(&mut self) {
        for key in self.keys.drain(..) {
            self.credentials.revoke_soon(key.row);
        }
    }
}

impl Credentials {
    /// Issues what a job gets, before it is accepted.
    ///
    /// # Errors
    /// If any of it was not issued; then none of it is left in force.
    pub(in crate::runtime) async fn issue(
        self: &Arc<Self>,
        record: &Arc<JobRecord>,
    ) -> Result<Minted, Error> {
        let mut minted = Minted { credentials: self.clone(), record: record.clone(), keys: Vec::new() };
        for (profile, provisioner) in &self.provisioners {
            if let Some(key) = self.issue_of(record, profile, &**provisioner).await? {
                minted.keys.push(key);
            }
        }
        Ok(minted)
    }

    /// Issues one, if the job is to have it; what may work later is tried again for a while. Whether a
    /// try that failed left something is not known: it is revoked by its name, and the next has another.
    async fn issue_of(
        self: &Arc<Self>,
        record: &Arc<JobRecord>,
        profile: &str,
        provisioner: &dyn CredentialProvisioner,
    ) -> Result<Option<Key>, Error> {
        let until = Instant::now() + self.config.provision_timeout;
        let mut wait = self.config.provision_backoff;
        loop {
            let id = CredentialId::from_bits(random::bits());
            let issue = self.describe(record, id, profile, None)?;
            if !provisioner.covers(&issue) {
                return Ok(None);
            }
            match self.mint(record, provisioner, &issue, until).await {
                Ok(key) => return Ok(Some(key)),
                Err(Unminted::Refused(error)) if error.is_transient() && Instant::now() + wait < until => {
                    sleep(wait).await;
                    wait = wait.saturating_mul(2).max(LEAST);
                }
                Err(unminted) => return Err(unminted.into()),
            }
        }
    }

    /// Issues one in the place of `before`.
    pub(super) async fn reissue(
        self: &Arc<Self>,
        record: &Arc<JobRecord>,
        before: &CredentialRow,
    ) -> Result<Minted, Error> {
        let provisioner = self.provisioners.get(&before.profile);
        let provisioner =
            provisioner.ok_or_else(|| Error::new(Code::InternalError, "nobody issues it any more"))?;
        let issue = self.describe(record, before.id.clone(), &before.profile, Some(before))?;
        let until = Instant::now() + self.config.provision_timeout;
        let keys = vec![self.mint(record, &**provisioner, &issue, until).await?];
        Ok(Minted { credentials: self.clone(), record: record.clone(), keys })
    }

    fn describe(
        &self,
        record: &JobRecord,
        credential: CredentialId,
        profile: &str,
        before: Option<&CredentialRow>,
    ) -> Result<Issue, Error> {
        let lease = record.authority.as_ref().map_or(&record.lease, |authority| authority.lease());
        let now = self.ledger.now();
        let longest = now.plus(self.config.credential_ttl);
        let ends = record.lease_constraints.as_ref().map(|lease| lease.effective(now)).transpose()?.flatten();
        let expires_at = ends.map_or(longest, |ends| ends.min(longest));
        // A try that failed has its row, and the next one needs a name of its own.
        let replaced = before.map_or("", |before| before.name.as_str());
        let replaced = format!("{replaced}/{:032x}", random::bits());
        Ok(Issue {
            name: self.names.name(record.id.as_str(), profile, &replaced),
            credential,
            profile: profile.to_owned(),
            job: record.id.clone(),
            agent: record.agent.clone(),
            principal: record.principal.clone(),
            trace_id: record.log.trace_id(),
            budget: remaining(record)?,
            models: lease.0.get(&Namespace::ModelUse).cloned(),
            expires_at,
            ttl: between(now, expires_at),
            replaces: before.map(|before| Handle::new(before.name.as_str(), before.handle.clone())),
        })
    }

    async fn mint(
        self: &Arc<Self>,
        record: &JobRecord,
        provisioner: &dyn CredentialProvisioner,
        issue: &Issue,
        until: Instant,
    ) -> Result<Key, Unminted> {
        let (now, patience) = (self.ledger.now(), self.config.provision_timeout);
        let mut row = CredentialRow {
            name: issue.name.clone(),
            id: issue.credential.clone(),
            job: issue.job.clone(),
            principal: record.principal.name().to_owned(),
            profile: issue.profile.clone(),
            state: CredentialState::Intent,
            since: now,
            owner: self.ledger.owner,
            handle: None,
            sealed: None,
            // By then it is live, or nobody waits for it any more.
            due: Some(now.plus(patience * 6)),
            tries: 0,
            error: None,
            created_at: now,
        };
        self.ledger.commit(&row.principal, vec![put(&row, None)]).await.map_err(|e| refused(&e))?;
        // From here on it is revoked whatever happens, unless it was made live.
        let guard = Intent { credentials: self, row: Some(row.clone()) };
        let issued = timeout_at(until, provisioner.issue(issue)).await;
        let issued = issued.unwrap_or_else(|_| Err(ProvisionError::transient("the service was too slow")));
        let issued = issued.map_err(|error| {
            tracing::warn!(job_id = %issue.job, profile = issue.profile, %error, "a credential was not issued");
            Unminted::Refused(error)
        })?;
        let credential = credential(issue, issued, &mut row);
        row = row.into_state(CredentialState::Live, self.ledger.now());
        let life = between(now, issue.expires_at);
        row.due = Some(now.plus(life.mul_f64(revoke::REFRESH_AT)));
        let sealed = self.seal.seal(&row, &credential);
        row.sealed =
            Some(sealed.ok_or_else(|| Error::new(Code::InternalError, "a credential could not be sealed"))?);
        guard.done();
        Ok(Key { credential, row })
    }
}

/// The shortest wait between two tries.
const LEAST: Duration = Duration::from_millis(1);

/// Why there is no credential.
enum Unminted {
    /// The service did not issue it, or nobody knows.
    Refused(ProvisionError),
    /// The runtime itself failed.
    Failed(Error),
}

impl From<Error> for Unminted {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Unminted> for Error {
    fn from(unminted: Unminted) -> Self {
        match unminted {
            Unminted::Refused(error) => error.refusal(),
            Unminted::Failed(error) => error,
        }
    }
}

/// Revokes what was about to be issued when it is dropped.
struct Intent<'a> {
    credentials: &'a Arc<Credentials>,
    row: Option<CredentialRow>,
}

impl Intent<'_> {
    fn done(mut self) {
        self.row = None;
    }
}

impl Drop for Intent<'_> {
    fn drop(&mut self) {
        if let Some(row) = self.row.take() {
            self.credentials.revoke_soon(row);
        }
    }
}

fn credential(issue: &Issue, issued: Issued, row: &mut CredentialRow) -> Credential {
    let Issued { scheme, value, endpoint, handle, constraints } = issued;
    row.handle = handle;
    let mut credential = Credential::bearer(issue.credential.clone(), value, endpoint);
    credential.scheme = scheme;
    credential.profile = Some(issue.profile.clone());
    credential.constraints = constraints.to_json();
    credential
}

/// What a job may still spend: of counters of its own, and of those that it shares with whoever
/// delegated it.
fn remaining(record: &JobRecord) -> Result<BTreeMap<Currency, Amount>, Error> {
    match &record.authority {
        Some(authority) => Ok(authority.available()),
        None => record.lease.budget(),
    }
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(to.as_millis() - from.as_millis()).unwrap_or(0))
}
