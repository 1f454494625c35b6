//! After a restart on the same store: what a process that is gone left in force is revoked, or goes
//! on with its job.

use std::sync::Arc;

use arcp_core::store::{CredentialQuery, CredentialRow, CredentialState, StoreError};

use super::Credentials;
use super::held::Key;
use super::ledger::put;
use crate::runtime::registry::JobRecord;

impl Credentials {
    /// A job runs again: what it had is in force still, since its submitter was given it.
    pub(in crate::runtime) async fn adopt(&self, record: &Arc<JobRecord>) -> Result<(), StoreError> {
        let principal = record.principal.name().to_owned();
        let query = CredentialQuery::OfJob { principal: principal.clone(), job: record.id.clone() };
        let (mut keys, mut ops) = (Vec::new(), Vec::new());
        for row in self.ledger.read(query).await?.items {
            // One that cannot be opened is revoked with the others that nobody holds.
            if let (CredentialState::Live, Some(credential)) = (row.state, self.seal.open(&row)) {
                let row = CredentialRow { owner: self.ledger.owner, ..row };
                ops.push(put(&row, Some(CredentialState::Live)));
                keys.push(Key { credential, row });
            }
        }
        self.ledger.commit(&principal, ops).await?;
        self.hold(record, keys);
        Ok(())
    }

    /// Everything else of processes that are gone is to be revoked now. What could not be revoked
    /// before is tried again.
    pub(in crate::runtime) async fn recover(&self) -> Result<(), StoreError> {
        let mut left = Vec::new();
        self.each(|row| {
            if row.owner < self.ledger.owner && row.state != CredentialState::Revoked {
                left.push(row);
            }
        })
        .await?;
        if !left.is_empty() && self.is_idle() {
            tracing::warn!(
                many = left.len(),
                "credentials are to be revoked, and no provisioner is registered"
            );
        }
        let now = self.ledger.now();
        for row in left {
            let before = row.state;
            let tries = if before == CredentialState::Stuck { 0 } else { row.tries };
            let row = row.into_state(CredentialState::Revoking, now);
            let row = CredentialRow { owner: self.ledger.owner, sealed: None, due: Some(now), tries, ..row };
            match self.ledger.put(&row, before).await {
                Ok(()) | Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
