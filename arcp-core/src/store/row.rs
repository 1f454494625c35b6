//! What is stored.

use crate::job::Status;
use crate::{Event, Feature, Features, JobId, Json, MessageType, SessionId, Timestamp, TraceId};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// What a process gets that joins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// The process's number, higher than any before: the owner of the jobs that it will run.
    pub owner: u64,
    /// What all processes of the store share: what one of them sealed, another one can open.
    pub secret: Hash,
}

impl std::fmt::Debug for Joined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Joined").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// When a session may be forgotten whose connection went with its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lapse {
    /// If it acknowledged everything that it was sent, and follows nothing (§6.3).
    pub caught_up: Timestamp,
    /// Otherwise (§6.5).
    pub pending: Timestamp,
}

/// A session.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub principal: String,
    /// Counted up by every connection that takes it over.
    pub epoch: u64,
    /// What was negotiated.
    pub features: Features,
    /// The name of its peer's profile.
    pub profile: String,
    /// What the ids of its frames are made with.
    pub secret: Hash,
    /// The digest of the newest resume token.
    pub token: Hash,
    /// The digest of the one before, while it still works.
    pub previous_token: Option<Hash>,
    /// The highest number given.
    pub head: u64,
    /// The highest number acknowledged.
    pub acked: u64,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it may be forgotten; `None` while a connection has it.
    pub expires_at: Option<Timestamp>,
}

impl std::fmt::Debug for SessionRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionRow")
            .field("id", &self.id)
            .field("principal", &self.principal)
            .field("epoch", &self.epoch)
            .field("head", &self.head)
            .field("acked", &self.acked)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// A job that a session follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedRow {
    /// The job.
    pub job: JobId,
    /// Whose job it is: a watcher may follow those of others, where policy lets it.
    pub principal: String,
    /// The next event of it that the session will be sent.
    pub next: u64,
    /// Whether the session submitted it.
    pub own: bool,
}

/// Consecutive numbers of a session that are consecutive events of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// The first number.
    pub first: u64,
    /// How many.
    pub len: u64,
    /// The job.
    pub job: JobId,
    /// The first event's number in the job's log.
    pub from: u64,
}

/// A job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRow {
    /// Its id.
    pub id: JobId,
    /// Whose it is.
    pub principal: String,
    /// The session that submitted it.
    pub session: SessionId,
    /// `name@version`.
    pub agent: String,
    /// Where it stands.
    pub status: Status,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The number of its newest event.
    pub head: u64,
    /// The highest number that an event of it has in the session that submitted it, 0 if none or if
    /// that is forgotten (§6.6). A store reads it from the runs; nobody writes it.
    pub last_event_seq: u64,
    /// Whether its client was told that it will be cancelled (§7.4), from then on.
    pub cancelling: bool,
    /// What its process noted of it last, if anything.
    pub note: Option<Json>,
    /// The process that runs it.
    pub owner: u64,
    /// Its trace.
    pub trace_id: TraceId,
    /// The rest, which a store need not understand: lease, constraints, input.
    pub body: Json,
}

/// An event in a job's log.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// `job.event`, `job.result` or `job.error`.
    pub kind: MessageType,
    /// The feature that a session needs to be sent it.
    pub needs: Option<Feature>,
    /// The payload.
    pub payload: Json,
}

impl StoredEvent {
    /// What is stored of an event.
    pub fn of(event: &Event) -> Self {
        Self { kind: event.kind.clone(), needs: event.needs, payload: event.payload.clone() }
    }

    /// The event again.
    pub fn into_event(self, job_id: JobId, trace_id: TraceId) -> Event {
        let Self { kind, needs, payload } = self;
        Event { kind, needs, job_id, trace_id: Some(trace_id), payload }
    }
}

/// An idempotency key (§7.2).
#[derive(Debug, Clone, PartialEq)]
pub struct IdempotencyRow {
    /// The key, as the client wrote it.
    pub key: String,
    /// A digest of the parameters.
    pub fingerprint: Hash,
    /// The job.
    pub job: JobId,
    /// The payload of its acceptance.
    pub accepted: Json,
    /// When the key may be used anew.
    pub expires_at: Timestamp,
}

/// Some rows, and whether they are all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// What was asked for is gone up to this number; 0 if nothing is. Listings have none.
    pub floor: u64,
    /// Whether there is more.
    pub more: bool,
}

/// Which jobs, and from where (§6.6).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobQuery {
    /// In one of these states; empty means any.
    pub status: Vec<Status>,
    /// `name` or `name@version`; a bare name means every version.
    pub agent: Option<String>,
    /// Accepted after this, or in the same millisecond: the time of a job is cut to it.
    pub created_after: Option<Timestamp>,
    /// Behind this job.
    pub after: Option<Position>,
    /// How many at the most.
    pub limit: usize,
}

/// The place of a job in a listing, newest first: by time, then by id, both downwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Its id.
    pub job: JobId,
}

/// What may be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trim {
    /// Jobs that ended, and events and audit records that were written, before this; but no event
    /// that a session which is kept was sent and has not acknowledged, or has yet to be sent.
    /// Sessions and keys go by their own times, batch ids by [`BATCH_IDS_KEPT`](super::BATCH_IDS_KEPT);
    /// credentials that were revoked before this, and stuck ones [`STUCK_KEPT`](super::STUCK_KEPT) later.
    pub before: Timestamp,
    /// Beyond them events and ended jobs go however young they are, and whoever needs them.
    pub bounds: Bounds,
    /// Rows that one call may take, roughly. Call again while as many went.
    pub limit: usize,
}

/// How much is kept (§6.5). Beyond it the oldest events go: first those that no session needs, then
/// those that one was sent and has not acknowledged, or has yet to be sent. A session that was sent
/// what goes has its floor above it from then on; one that has yet to be sent it goes with it, since
/// it could never be continued without a gap.
///
/// Bytes are those of payloads, and a few more for each event. An event counts for the principal whose
/// job it is of, and for the session that submitted the job.
///
/// What a job was accepted with, its body and the acceptances under its keys, counts from its end on, for
/// its principal and in all. Beyond those two bounds an ended job goes as a whole as soon as nothing
/// is left of its log, with the keys that stand for it: they may be used anew. Those of whose logs
/// nothing is left already go before any event. A job that runs never goes, and counts with its events
/// only: how many may run has a bound elsewhere. Audit records do not count, so that nobody can drive them
/// out.
///
/// A store that has only so much room keeps to less than that in all, whatever [`Self::bytes`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of events of the jobs of one session.
    pub session_bytes: u64,
    /// Bytes of events of the jobs of one principal, and of what its ended jobs were accepted with.
    pub principal_bytes: u64,
    /// The same in all.
    pub bytes: u64,
    /// Runs of one session.
    pub session_runs: u64,
}

impl Bounds {
    /// Only what is old goes.
    pub const NONE: Self =
        Self { session_bytes: u64::MAX, principal_bytes: u64::MAX, bytes: u64::MAX, session_runs: u64::MAX };
}
