//! Writing to the ledger.

use std::sync::Arc;

use arcp_core::store::{Batch, CredentialQuery, CredentialRow, CredentialState, Op, Page, Store, StoreError};
use arcp_core::{Json, Timestamp};
use serde::Serialize;

use crate::clock::Clock;
use crate::random;
use crate::runtime::commit_patiently;

/// Where credentials are written down.
pub(super) struct Ledger {
    store: Arc<dyn Store>,
    /// This process.
    pub(super) owner: u64,
    clock: Clock,
}

impl Ledger {
    pub(super) fn new(store: Arc<dyn Store>, owner: u64, clock: Clock) -> Self {
        Self { store, owner, clock }
    }

    pub(super) fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    pub(super) async fn read(&self, query: CredentialQuery) -> Result<Page<CredentialRow>, StoreError> {
        self.store.credentials(query).await
    }

    /// Commits operations on rows of one principal.
    pub(super) async fn commit(&self, principal: &str, ops: Vec<Op>) -> Result<(), StoreError> {
        if ops.is_empty() {
            return Ok(());
        }
        let batch = Batch { id: random::bits(), principal: principal.to_owned(), ops };
        commit_patiently(self.store.clone(), batch).await.map(drop)
    }

    /// Writes `row` over the state `before`.
    pub(super) async fn put(&self, row: &CredentialRow, before: CredentialState) -> Result<(), StoreError> {
        self.commit(&row.principal, vec![put(row, Some(before))]).await
    }

    /// Writes a row that could not be revoked, for auditors too.
    pub(super) async fn put_stuck(
        &self,
        row: &CredentialRow,
        before: CredentialState,
    ) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Record<'a> {
            what: &'static str,
            credential: &'a str,
            name: &'a str,
            job: &'a str,
            profile: &'a str,
            tries: u32,
            error: Option<&'a str>,
        }
        let record = Record {
            what: "credential.stuck",
            credential: row.id.as_str(),
            name: &row.name,
            job: row.job.as_str(),
            profile: &row.profile,
            tries: row.tries,
            error: row.error.as_deref(),
        };
        let mut ops = vec![put(row, Some(before))];
        ops.extend(Json::of(&record).ok().map(|record| Op::Audit { at: self.now(), record }));
        self.commit(&row.principal, ops).await
    }
}

/// Writes `row` over the state `expect`.
pub(super) fn put(row: &CredentialRow, expect: Option<CredentialState>) -> Op {
    Op::Credential { row: row.clone(), expect }
}
