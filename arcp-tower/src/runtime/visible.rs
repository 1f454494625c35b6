//! The jobs that a principal may know of: its own, and those that the policy adds (§7.6).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arcp_core::JobId;
use arcp_core::store::StoreError;

use super::registry::JobRecord;
use super::{Runtime, body};
use crate::auth::{Principal, Scope};
use crate::observe::{Access, Observed};

impl Runtime {
    /// Whose jobs `observer` may know of: its own, and then others.
    pub(super) fn observed(&self, observer: &Principal) -> Vec<Observed> {
        let mut all = vec![Observed::new(observer.clone(), Access::Watch)];
        let others = catch_unwind(AssertUnwindSafe(|| self.0.observe.observed(observer)));
        // Fail closed: what cannot be decided is not shown, and harms nothing else.
        let others = others.inspect_err(|_| tracing::error!(%observer, "an ObservePolicy panicked"));
        let others = others.unwrap_or_default().into_iter();
        for other in others.filter(|other| other.principal != *observer).take(self.0.config.max_observed) {
            match all.iter_mut().find(|known| known.principal == other.principal) {
                Some(known) => known.access = known.access.max(other.access),
                None => all.push(other),
            }
        }
        all
    }

    /// Whose jobs `observer` may watch now.
    pub(super) fn watched(&self, observer: &Principal) -> Vec<Principal> {
        if !observer.scopes().allow(Scope::Observe) {
            return Vec::new();
        }
        let watched = self.observed(observer).into_iter().filter(|known| known.access == Access::Watch);
        watched.map(|known| known.principal).collect()
    }

    /// A job that `observer` may know of, if it is in memory.
    pub(super) fn here(&self, observer: &Principal, id: &JobId) -> Option<(Arc<JobRecord>, Access)> {
        self.observed(observer).into_iter().find_map(|Observed { principal, access }| {
            self.0.registry.visible(&principal, id).map(|record| (record, access))
        })
    }

    /// A job that `observer` may know of: from memory, else from the store. One that is not there
    /// and one that it may not know of find the same nothing, by the same queries (§6.6).
    pub(super) async fn anywhere(
        &self,
        observer: &Principal,
        id: &JobId,
    ) -> Result<Option<(Arc<JobRecord>, Access)>, StoreError> {
        if let Some(found) = self.here(observer, id) {
            return Ok(Some(found));
        }
        let Some(journal) = &self.0.journal else { return Ok(None) };
        for Observed { principal, access } in self.observed(observer) {
            if let Some(row) = journal.store.job(principal.name(), id).await? {
                let record = body::recalled(self, &row).map_err(|e| StoreError::Corrupt(e.to_string()))?;
                return Ok(Some((Arc::new(record), access)));
            }
        }
        Ok(None)
    }
}
