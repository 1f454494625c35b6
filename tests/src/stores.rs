//! Stores to run the same test on: what a user sees must not depend on which one it is.

use std::future::Future;
use std::sync::{Arc, mpsc};

use arcp_core::store::{
    Batch, Caps, Committed, CredentialQuery, CredentialRow, FeedRow, Hash, IdempotencyRow, JobQuery, JobRow,
    Joined, Lapse, MemoryStore, Page, RunRow, SessionRow, Store, StoreError, StoreFuture, StoredEvent, Trim,
};
use arcp_core::{JobId, SessionId, Timestamp};
use arcp_store_sqlite::{SqliteConfig, SqliteStore};
use arcp_tower::Config;
use tempfile::TempDir;

use crate::Memories;
use crate::sessions::{Stack, start};

/// No store, one in memory, and one in a file.
pub fn stores() -> Vec<Option<Arc<dyn Store>>> {
    std::iter::once(None).chain(kept().into_iter().map(Some)).collect()
}

/// One in memory and one in a file: those on which a restart loses nothing.
pub fn kept() -> Vec<Arc<dyn Store>> {
    vec![Arc::new(MemoryStore::default()), Arc::new(OnDisk::new())]
}

/// A server on each of [`stores`].
pub async fn servers(config: &Config) -> Vec<Memories<Stack>> {
    let mut servers = Vec::new();
    for store in stores() {
        servers.push(start(store, config).await);
    }
    servers
}

/// A file of its own. Its answers come from other threads: while one is waited for, virtual time
/// stands still, or every time-out would be over before the disk has answered.
#[derive(Debug)]
struct OnDisk {
    store: SqliteStore,
    _dir: TempDir,
}

impl OnDisk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path().join("arcp.db"), SqliteConfig::default()).unwrap();
        Self { store, _dir: dir }
    }
}

/// Holds virtual time while `call` is under way.
fn timeless<'a, T: Send + 'a>(
    call: impl Future<Output = Result<T, StoreError>> + Send + 'a,
) -> StoreFuture<'a, T> {
    Box::pin(async move {
        let (over, waits) = mpsc::channel::<()>();
        // Time that is paused does not move by itself while a thread is blocked.
        tokio::task::spawn_blocking(move || waits.recv());
        let answer = call.await;
        drop(over);
        answer
    })
}

impl Store for OnDisk {
    fn caps(&self) -> &Caps {
        self.store.caps()
    }

    fn join(&self, lapse: Lapse, secret: Hash) -> StoreFuture<'_, Joined> {
        timeless(self.store.join(lapse, secret))
    }

    fn commit(&self, batch: Batch) -> StoreFuture<'_, Committed> {
        timeless(self.store.commit(batch))
    }

    fn session<'a>(&'a self, id: &'a SessionId) -> StoreFuture<'a, Option<SessionRow>> {
        timeless(self.store.session(id))
    }

    fn session_by_token(&self, token: Hash) -> StoreFuture<'_, Option<SessionRow>> {
        timeless(self.store.session_by_token(token))
    }

    fn feeds<'a>(&'a self, session: &'a SessionId) -> StoreFuture<'a, Vec<FeedRow>> {
        timeless(self.store.feeds(session))
    }

    fn runs<'a>(&'a self, session: &'a SessionId, after: u64, limit: usize) -> StoreFuture<'a, Page<RunRow>> {
        timeless(self.store.runs(session, after, limit))
    }

    fn job<'a>(&'a self, principal: &'a str, id: &'a JobId) -> StoreFuture<'a, Option<JobRow>> {
        timeless(self.store.job(principal, id))
    }

    fn job_events<'a>(
        &'a self,
        job: &'a JobId,
        after: u64,
        max_bytes: usize,
    ) -> StoreFuture<'a, Page<StoredEvent>> {
        timeless(self.store.job_events(job, after, max_bytes))
    }

    fn list_jobs<'a>(&'a self, principal: &'a str, query: JobQuery) -> StoreFuture<'a, Page<JobRow>> {
        timeless(self.store.list_jobs(principal, query))
    }

    fn idempotency<'a>(
        &'a self,
        principal: &'a str,
        key: &'a str,
    ) -> StoreFuture<'a, Option<IdempotencyRow>> {
        timeless(self.store.idempotency(principal, key))
    }

    fn orphans(&self, owner: u64, limit: usize) -> StoreFuture<'_, Vec<JobRow>> {
        timeless(self.store.orphans(owner, limit))
    }

    fn credentials(&self, query: CredentialQuery) -> StoreFuture<'_, Page<CredentialRow>> {
        timeless(self.store.credentials(query))
    }

    fn trim(&self, now: Timestamp, trim: Trim) -> StoreFuture<'_, u64> {
        timeless(self.store.trim(now, trim))
    }
}
