//! What can be written, and what comes back.

use super::{
    CredentialRow, CredentialState, FeedRow, IdempotencyRow, JobRow, RunRow, SessionRow, StoredEvent,
};
use crate::{JobId, Json, SessionId, Timestamp};

/// One unit of work of one principal: all of it happens, or nothing.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Repeats with the same id have an effect once.
    pub id: u128,
    /// Whose rows it writes.
    pub principal: String,
    /// What it writes, in this order.
    pub ops: Vec<Op>,
}

/// One write. A session or job that is not there, or is another principal's, is fenced with epoch 0.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Op {
    /// Writes a session's row. `expect` is the epoch that is there, 0 if there is no such session;
    /// the row's own epoch, which is not below `expect` and not 0, is what is there afterwards.
    /// `head` and `acked` of the row are written only when it is new; [`Op::Number`] and [`Op::Ack`]
    /// move them. Fenced if the epoch there is another one.
    PutSession {
        /// The row.
        row: SessionRow,
        /// The epoch that is there.
        expect: u64,
    },
    /// Adds runs to a session, and moves its feeds. Fenced unless `epoch` is the session's, a
    /// conflict unless its head is `after`. The runs are contiguous: the first begins at
    /// `after + 1`. It is a conflict if one reaches beyond the last event of its job: whoever numbers
    /// events before their commit was answered relies on it. The head becomes the last number of the
    /// last run. A run that goes on where the
    /// last one ends, in the same job, may come back as one with it. A feed whose job has ended for
    /// the session is dropped with [`Op::DropFeed`]; one that is not followed does not move.
    Number {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: u64,
        /// Its head.
        after: u64,
        /// The runs; none if feeds only moved over events that took no number.
        runs: Vec<RunRow>,
        /// The next event of feeds that moved.
        feeds: Vec<(JobId, u64)>,
    },
    /// Everything up to `seq` was acknowledged: runs that end there or below may go, with their job at
    /// the latest. Fenced unless
    /// `epoch` is the session's, a conflict if `seq` is above its head. An ack below an earlier one
    /// changes nothing.
    Ack {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: u64,
        /// The number.
        seq: u64,
    },
    /// A session follows a job, from event `next` on; if it did already, this is how it does now.
    /// Fenced unless `epoch` is the session's.
    PutFeed {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: u64,
        /// The feed.
        feed: FeedRow,
    },
    /// A session follows a job no longer. Fenced unless `epoch` is the session's.
    DropFeed {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: u64,
        /// The job.
        job: JobId,
    },
    /// A new job, without events: its `head` is 0. A conflict if it is there.
    PutJob {
        /// The row.
        row: JobRow,
    },
    /// Takes a job over from an owner that is gone. Fenced unless its owner is `from`, a conflict
    /// if it has ended.
    TakeJob {
        /// The job.
        job: JobId,
        /// The owner that is gone.
        from: u64,
        /// The new owner.
        to: u64,
    },
    /// Writes down that a job will end as cancelled, whatever becomes of its owner. Fenced unless its
    /// owner is `owner`, a conflict if it has ended. Once more changes nothing.
    CancelJob {
        /// The job.
        job: JobId,
        /// Its owner.
        owner: u64,
    },
    /// Notes what has to be known of a job if its process is gone, such as what is left of its budget;
    /// it takes the place of the note before. Fenced unless its owner is `owner`, a conflict if it has
    /// ended.
    NoteJob {
        /// The job.
        job: JobId,
        /// Its owner.
        owner: u64,
        /// The note, which a store need not understand.
        note: Json,
    },
    /// Appends events to a job's log. Fenced unless `owner` is the job's, a conflict unless its
    /// head is `after` and it has not ended. A pending job runs from its first append on. A terminal
    /// event is the last one, comes with `ended` and ends the job: its row gets the status, and `at`
    /// as its end.
    Append {
        /// The job.
        job: JobId,
        /// Its owner.
        owner: u64,
        /// Its head.
        after: u64,
        /// The events.
        events: Vec<StoredEvent>,
        /// When they were appended.
        at: Timestamp,
        /// With a terminal event: how the job ended.
        ended: Option<crate::job::Status>,
    },
    /// An idempotency key, if it is not there (or has expired by `now`). If it is there,
    /// nothing of the whole batch happens, and its row comes back as [`OpResult::Existing`].
    Idempotency {
        /// The row.
        row: IdempotencyRow,
        /// The time.
        now: Timestamp,
    },
    /// Frees an idempotency key.
    DropIdempotency {
        /// The key.
        key: String,
    },
    /// Writes a credential's row. `expect` is the state that is there, `None` if there is no such row;
    /// a conflict if it is another one, if the row's own state may not follow it, or if what is there
    /// is of another principal, job or credential.
    Credential {
        /// The row.
        row: CredentialRow,
        /// The state that is there.
        expect: Option<CredentialState>,
    },
    /// A record for auditors (§14).
    Audit {
        /// When.
        at: Timestamp,
        /// What.
        record: Json,
    },
}

/// What came of a batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Committed {
    /// Empty if all was done.
    pub results: Vec<OpResult>,
}

/// What came of an operation beside being done.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum OpResult {
    /// The idempotency key was there; the batch was not applied.
    Existing(IdempotencyRow),
}
