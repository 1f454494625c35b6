//! Where sessions and jobs survive: one way to write, and reads that say whether they are complete.
//!
//! There are two logs. A *job's log* has each of its events once, under the job's own numbers. A
//! *session's log* has runs: "numbers 41 to 47 are events 12 to 18 of job J" (§8.3). Everything else
//! is rows: sessions, jobs, the feeds of a session, idempotency keys, credentials, audit records.
//!
//! The rules that every store keeps, and that the contract kit checks:
//!
//! * [`Store::commit`] applies a batch as a whole or not at all, and once for each
//!   [`Batch::id`], however often it is repeated.
//! * Writes are fenced: those of a session name its epoch, those of a job its owner. Older ones are
//!   refused with [`StoreError::Fenced`] and change nothing.
//! * `Ok` means that it is there after whatever [`Caps::durability`] says. [`StoreError::Unknown`]
//!   means that it may be there: the caller repeats the batch, or reads.
//! * A read that could not look is an error, never an empty page.

mod batch;
mod credential;
#[cfg(feature = "testkit")]
pub mod flaky;
mod form;
#[cfg(feature = "testkit")]
pub mod kit;
mod memory;
mod row;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;

pub use batch::{Batch, Committed, Op, OpResult};
pub use credential::{CredentialQuery, CredentialRow, CredentialState};
pub use memory::MemoryStore;
pub use row::{
    Bounds, FeedRow, Hash, IdempotencyRow, JobQuery, JobRow, Joined, Lapse, Page, Position, RunRow,
    SessionRow, StoredEvent, Trim,
};

use crate::{JobId, SessionId, Timestamp};

/// How long a store remembers the ids of batches, counted from the first [`Store::trim`] after them.
/// It may forget sooner all but the newest 65,536, and when it is opened anew all but those that may
/// have been under way when it was closed: who committed the others had its answer, or is gone.
pub const BATCH_IDS_KEPT: Duration = Duration::from_secs(3600);

/// How much longer than other rows a store remembers a credential that could not be revoked: long
/// enough for somebody to see it.
pub const STUCK_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// What an `Ok` from [`Store::commit`] survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Nothing: it is gone with the process.
    Volatile,
    /// The end of the process, `kill -9` included.
    Process,
    /// The loss of power.
    Power,
    /// The loss of a machine.
    Quorum,
}

impl Durability {
    /// Its name, as welcomes say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Volatile => "volatile",
            Self::Process => "process",
            Self::Power => "power",
            Self::Quorum => "quorum",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a store can do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Caps {
    /// What an `Ok` survives.
    pub durability: Durability,
    /// Operations that one batch may have.
    pub max_ops: usize,
    /// Bytes of payload that one batch may have.
    pub max_bytes: usize,
}

impl Caps {
    /// Batches of at most 4,096 operations and 16 MiB.
    pub fn new(durability: Durability) -> Self {
        Self { durability, max_ops: 4096, max_bytes: 16 << 20 }
    }
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody newer writes here; `current` is their epoch. Nothing was changed. Stop, never retry.
    #[error("somebody newer writes here")]
    Fenced {
        /// The epoch in force.
        current: u64,
    },
    /// Operation `op` of the batch does not fit what is there, or is the first one too many for
    /// [`Caps`]. Nothing was changed.
    #[error("operation {op} does not fit what is there")]
    Conflict {
        /// Its place in the batch.
        op: usize,
    },
    /// There is no room. Nothing was changed; reads go on.
    #[error("the store is full")]
    Full,
    /// It cannot be reached. Nothing was changed; try again later.
    #[error("the store is not available")]
    Unavailable {
        /// When it may be worth a try.
        retry_after: Duration,
    },
    /// It may have been done or not. Repeat the same batch, or read.
    #[error("whether the store did it is not known")]
    Unknown,
    /// What is there cannot be read.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
}

/// The future of a store's answer.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Where sessions and jobs survive. See the [module](self) for the rules.
///
/// Every key begins with the principal or belongs to something that does, so that an engine can
/// spread principals over shards; one batch concerns one principal.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// What it can do.
    fn caps(&self) -> &Caps;

    /// Makes this process a writer. Sessions that a process that is gone left with a connection lapse
    /// as [`Lapse`] says. `secret` is random: the store keeps the first that it is given,
    /// and hands it to every process.
    fn join(&self, lapse: Lapse, secret: Hash) -> StoreFuture<'_, Joined>;

    /// Applies a batch. It is the only write apart from [`Store::join`] and [`Store::trim`].
    fn commit(&self, batch: Batch) -> StoreFuture<'_, Committed>;

    /// A session.
    fn session<'a>(&'a self, id: &'a SessionId) -> StoreFuture<'a, Option<SessionRow>>;

    /// The session that one of whose tokens has this digest.
    fn session_by_token(&self, token: Hash) -> StoreFuture<'_, Option<SessionRow>>;

    /// What a session follows, in no particular order.
    fn feeds<'a>(&'a self, session: &'a SessionId) -> StoreFuture<'a, Vec<FeedRow>>;

    /// A session's runs that reach above number `after`, oldest first, at most `limit`. Below
    /// [`Page::floor`] they are gone, and one that was acknowledged may be gone above it, too: what is
    /// not contiguous cannot be replayed from below the gap.
    fn runs<'a>(&'a self, session: &'a SessionId, after: u64, limit: usize) -> StoreFuture<'a, Page<RunRow>>;

    /// A job of a principal. A job of somebody else is the same query, and finds nothing (§6.6).
    fn job<'a>(&'a self, principal: &'a str, id: &'a JobId) -> StoreFuture<'a, Option<JobRow>>;

    /// Events of a job above number `after`, oldest first: as many whole ones as fit into
    /// `max_bytes`, at least one if there is one. Below [`Page::floor`] they are gone.
    fn job_events<'a>(
        &'a self,
        job: &'a JobId,
        after: u64,
        max_bytes: usize,
    ) -> StoreFuture<'a, Page<StoredEvent>>;

    /// Jobs of a principal, newest first (§6.6).
    fn list_jobs<'a>(&'a self, principal: &'a str, query: JobQuery) -> StoreFuture<'a, Page<JobRow>>;

    /// An idempotency key of a principal (§7.2).
    fn idempotency<'a>(&'a self, principal: &'a str, key: &'a str)
    -> StoreFuture<'a, Option<IdempotencyRow>>;

    /// Jobs that have not ended and whose owner is older than `owner`: those of a process that is
    /// gone. At most `limit`, in no particular order.
    fn orphans(&self, owner: u64, limit: usize) -> StoreFuture<'_, Vec<JobRow>>;

    /// Credentials that were issued, or were about to be (§9.8).
    fn credentials(&self, query: CredentialQuery) -> StoreFuture<'_, Page<CredentialRow>>;

    /// Forgets what may be forgotten (§6.3, §6.5), and gives its room back. Returns how many rows
    /// went.
    fn trim(&self, now: Timestamp, trim: Trim) -> StoreFuture<'_, u64>;
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn caps(&self) -> &Caps {
        (**self).caps()
    }

    fn join(&self, lapse: Lapse, secret: Hash) -> StoreFuture<'_, Joined> {
        (**self).join(lapse, secret)
    }

    fn commit(&self, batch: Batch) -> StoreFuture<'_, Committed> {
        (**self).commit(batch)
    }

    fn session<'a>(&'a self, id: &'a SessionId) -> StoreFuture<'a, Option<SessionRow>> {
        (**self).session(id)
    }

    fn session_by_token(&self, token: Hash) -> StoreFuture<'_, Option<SessionRow>> {
        (**self).session_by_token(token)
    }

    fn feeds<'a>(&'a self, session: &'a SessionId) -> StoreFuture<'a, Vec<FeedRow>> {
        (**self).feeds(session)
    }

    fn runs<'a>(&'a self, session: &'a SessionId, after: u64, limit: usize) -> StoreFuture<'a, Page<RunRow>> {
        (**self).runs(session, after, limit)
    }

    fn job<'a>(&'a self, principal: &'a str, id: &'a JobId) -> StoreFuture<'a, Option<JobRow>> {
        (**self).job(principal, id)
    }

    fn job_events<'a>(
        &'a self,
        job: &'a JobId,
        after: u64,
        max_bytes: usize,
    ) -> StoreFuture<'a, Page<StoredEvent>> {
        (**self).job_events(job, after, max_bytes)
    }

    fn list_jobs<'a>(&'a self, principal: &'a str, query: JobQuery) -> StoreFuture<'a, Page<JobRow>> {
        (**self).list_jobs(principal, query)
    }

    fn idempotency<'a>(
        &'a self,
        principal: &'a str,
        key: &'a str,
    ) -> StoreFuture<'a, Option<IdempotencyRow>> {
        (**self).idempotency(principal, key)
    }

    fn orphans(&self, owner: u64, limit: usize) -> StoreFuture<'_, Vec<JobRow>> {
        (**self).orphans(owner, limit)
    }

    fn credentials(&self, query: CredentialQuery) -> StoreFuture<'_, Page<CredentialRow>> {
        (**self).credentials(query)
    }

    fn trim(&self, now: Timestamp, trim: Trim) -> StoreFuture<'_, u64> {
        (**self).trim(now, trim)
    }
}
