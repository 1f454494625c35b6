//! A process that can be killed: the store that others see keeps what it had until then.

use std::future::{Future, pending, ready};
use std::sync::{Arc, Mutex};

use arcp_core::store::{
    Batch, Caps, Committed, CredentialQuery, CredentialRow, FeedRow, Hash, IdempotencyRow, JobQuery, JobRow,
    Joined, Lapse, Page, RunRow, SessionRow, Store, StoreError, StoreFuture, StoredEvent, Trim,
};
use arcp_core::{JobId, SessionId, Timestamp};
use tokio_util::sync::CancellationToken;

/// A store as one process sees it. Once the process is killed, none of its calls reaches the store
/// or comes back: what its tasks still do, nobody sees.
#[derive(Debug)]
pub struct Process {
    store: Arc<dyn Store>,
    killed: CancellationToken,
    refused: Mutex<Option<(String, StoreError)>>,
}

impl Process {
    /// A process that lives, on `store`.
    pub fn of(store: Arc<dyn Store>) -> Self {
        Self { store, killed: CancellationToken::new(), refused: Mutex::default() }
    }

    /// Ends it, in the middle of whatever it was doing.
    pub fn kill(&self) {
        self.killed.cancel();
    }

    /// From now on every commit of `principal` fails.
    pub fn refuse(&self, principal: &str, error: &StoreError) {
        *self.refused.lock().unwrap() = Some((principal.to_owned(), error.clone()));
    }

    /// From now on commits go through.
    pub fn accept(&self) {
        *self.refused.lock().unwrap() = None;
    }

    fn call<'a, T, F>(&'a self, call: impl FnOnce() -> F + Send + 'a) -> StoreFuture<'a, T>
    where
        T: Send + 'a,
        F: Future<Output = Result<T, StoreError>> + Send + 'a,
    {
        Box::pin(async move {
            let alive = self.killed.run_until_cancelled(async move { call().await });
            match alive.await {
                Some(answer) if !self.killed.is_cancelled() => answer,
                _ => pending().await,
            }
        })
    }
}

impl Store for Process {
    fn caps(&self) -> &Caps {
        self.store.caps()
    }

    fn join(&self, lapse: Lapse, secret: Hash) -> StoreFuture<'_, Joined> {
        self.call(move || self.store.join(lapse, secret))
    }

    fn commit(&self, batch: Batch) -> StoreFuture<'_, Committed> {
        let refused = self.refused.lock().unwrap().clone();
        match refused.filter(|(principal, _)| *principal == batch.principal) {
            Some((_, error)) => Box::pin(ready(Err(error))),
            None => self.call(move || self.store.commit(batch)),
        }
    }

    fn session<'a>(&'a self, id: &'a SessionId) -> StoreFuture<'a, Option<SessionRow>> {
        self.call(move || self.store.session(id))
    }

    fn session_by_token(&self, token: Hash) -> StoreFuture<'_, Option<SessionRow>> {
        self.call(move || self.store.session_by_token(token))
    }

    fn feeds<'a>(&'a self, session: &'a SessionId) -> StoreFuture<'a, Vec<FeedRow>> {
        self.call(move || self.store.feeds(session))
    }

    fn runs<'a>(&'a self, session: &'a SessionId, after: u64, limit: usize) -> StoreFuture<'a, Page<RunRow>> {
        self.call(move || self.store.runs(session, after, limit))
    }

    fn job<'a>(&'a self, principal: &'a str, id: &'a JobId) -> StoreFuture<'a, Option<JobRow>> {
        self.call(move || self.store.job(principal, id))
    }

    fn job_events<'a>(
        &'a self,
        job: &'a JobId,
        after: u64,
        max_bytes: usize,
    ) -> StoreFuture<'a, Page<StoredEvent>> {
        self.call(move || self.store.job_events(job, after, max_bytes))
    }

    fn list_jobs<'a>(&'a self, principal: &'a str, query: JobQuery) -> StoreFuture<'a, Page<JobRow>> {
        self.call(move || self.store.list_jobs(principal, query))
    }

    fn idempotency<'a>(
        &'a self,
        principal: &'a str,
        key: &'a str,
    ) -> StoreFuture<'a, Option<IdempotencyRow>> {
        self.call(move || self.store.idempotency(principal, key))
    }

    fn orphans(&self, owner: u64, limit: usize) -> StoreFuture<'_, Vec<JobRow>> {
        self.call(move || self.store.orphans(owner, limit))
    }

    fn credentials(&self, query: CredentialQuery) -> StoreFuture<'_, Page<CredentialRow>> {
        self.call(move || self.store.credentials(query))
    }

    fn trim(&self, now: Timestamp, trim: Trim) -> StoreFuture<'_, u64> {
        self.call(move || self.store.trim(now, trim))
    }
}
