//! What the rules write, and where.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Bed;
use crate::job::Status;
use crate::store::{
    Batch, Bounds, Committed, FeedRow, Hash, IdempotencyRow, JobQuery, JobRow, Lapse, Op, Page, RunRow,
    SessionRow, Store, StoreError, StoredEvent, Trim,
};
use crate::{Feature, Features, JobId, Json, MessageType, SessionId, Timestamp, TraceId};

pub(super) const ADA: &str = "ada";
pub(super) const BOB: &str = "bob";

pub(super) const DONE: Result<Committed, StoreError> = Ok(Committed { results: Vec::new() });

pub(super) fn fenced(current: u64) -> Result<Committed, StoreError> {
    Err(StoreError::Fenced { current })
}

pub(super) fn conflict(op: usize) -> Result<Committed, StoreError> {
    Err(StoreError::Conflict { op })
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + seconds * 1000)
}

/// For a session that is caught up and for any other.
pub(super) fn lapse(seconds: i64) -> Lapse {
    Lapse { caught_up: at(seconds), pending: at(2 * seconds) }
}

pub(super) fn hash(n: u8) -> Hash {
    [n; 32]
}

pub(super) fn session_id(n: u128) -> SessionId {
    SessionId::from_bits(n)
}

pub(super) fn job_id(n: u128) -> JobId {
    JobId::from_bits(n)
}

/// Session `n` of Ada, at epoch 1.
pub(super) fn session(n: u8) -> SessionRow {
    SessionRow {
        id: session_id(n.into()),
        principal: ADA.into(),
        epoch: 1,
        features: Features::of(&[Feature::Ack, Feature::Progress]),
        profile: "draft".into(),
        secret: hash(n.wrapping_add(64)),
        token: hash(n),
        previous_token: None,
        head: 0,
        acked: 0,
        created_at: at(0),
        expires_at: None,
    }
}

/// Job `n` of Ada, pending, of owner 1.
pub(super) fn job(n: u128) -> JobRow {
    JobRow {
        id: job_id(n),
        principal: ADA.into(),
        session: session_id(1),
        agent: "echo@1.0.0".into(),
        status: Status::Pending,
        created_at: at(0),
        ended_at: None,
        head: 0,
        last_event_seq: 0,
        cancelling: false,
        note: None,
        owner: 1,
        trace_id: TraceId::from_bits(n),
        body: Json::parse(r#"{"input":"é"}"#).unwrap(),
    }
}

pub(super) fn event(text: &str) -> StoredEvent {
    StoredEvent { kind: MessageType::Event, needs: None, payload: Json::of(text).unwrap() }
}

pub(super) fn terminal() -> StoredEvent {
    StoredEvent { kind: MessageType::Result, needs: None, payload: Json::of("done").unwrap() }
}

pub(super) fn new_session(n: u8) -> Op {
    Op::PutSession { row: session(n), expect: 0 }
}

pub(super) fn new_job(n: u128) -> Op {
    Op::PutJob { row: job(n) }
}

/// `n` events behind number `after` of job `id`, by owner 1.
pub(super) fn append(id: u128, after: u64, n: u64, seconds: i64) -> Op {
    let events = (after + 1..=after + n).map(|seq| event(&format!("event {seq}"))).collect();
    Op::Append { job: job_id(id), owner: 1, after, events, at: at(seconds), ended: None }
}

/// The end of job `id`, by owner 1.
pub(super) fn end(id: u128, after: u64, seconds: i64) -> Op {
    let ended = Some(Status::Success);
    Op::Append { job: job_id(id), owner: 1, after, events: vec![terminal()], at: at(seconds), ended }
}

pub(super) fn run(first: u64, len: u64, job: u128, from: u64) -> RunRow {
    RunRow { first, len, job: job_id(job), from }
}

/// Session `n`, at epoch 1, is sent `runs`.
pub(super) fn number(n: u128, after: u64, runs: Vec<RunRow>) -> Op {
    Op::Number { session: session_id(n), epoch: 1, after, runs, feeds: Vec::new() }
}

pub(super) fn ack(n: u128, seq: u64) -> Op {
    Op::Ack { session: session_id(n), epoch: 1, seq }
}

/// Session `n`, at epoch 1, follows `job` from `next` on.
pub(super) fn follow(n: u128, job: u128, next: u64) -> Op {
    let feed = FeedRow { job: job_id(job), principal: ADA.into(), next, own: true };
    Op::PutFeed { session: session_id(n), epoch: 1, feed }
}

pub(super) fn key(key: &str, expires: i64) -> IdempotencyRow {
    IdempotencyRow {
        key: key.into(),
        fingerprint: hash(7),
        job: job_id(1),
        accepted: Json::parse(r#"{"job_id":"x"}"#).unwrap(),
        expires_at: at(expires),
    }
}

/// Every event of a run: `(number, job, event)`. Two stores may cut the same runs differently.
pub(super) fn spelt_out(runs: &[RunRow]) -> Vec<(u64, JobId, u64)> {
    runs.iter().flat_map(|r| (0..r.len).map(|i| (r.first + i, r.job.clone(), r.from + i))).collect()
}

/// A store under test, and ids for its batches.
pub(super) struct Lab {
    pub(super) store: Arc<dyn Store>,
    ids: AtomicU64,
}

impl Lab {
    pub(super) async fn new(bed: &dyn Bed) -> Self {
        Self { store: bed.fresh().await, ids: AtomicU64::new(1) }
    }

    /// With these operations applied.
    pub(super) async fn with(bed: &dyn Bed, ops: Vec<Op>) -> Self {
        let lab = Self::new(bed).await;
        lab.ok(ops).await;
        lab
    }

    /// The same store reopened, if it can be.
    pub(super) async fn reopened(self, bed: &dyn Bed) -> Option<Self> {
        let store = bed.reopen(self.store).await?;
        Some(Self { store, ids: self.ids })
    }

    pub(super) fn batch(&self, principal: &str, ops: Vec<Op>) -> Batch {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        // Ids differ in every byte, as random ones do.
        let id = u128::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        Batch { id, principal: principal.into(), ops }
    }

    pub(super) async fn commit(&self, ops: Vec<Op>) -> Result<Committed, StoreError> {
        self.store.commit(self.batch(ADA, ops)).await
    }

    pub(super) async fn ok(&self, ops: Vec<Op>) {
        assert_eq!(self.commit(ops).await, DONE);
    }

    pub(super) async fn session(&self, n: u128) -> Option<SessionRow> {
        self.store.session(&session_id(n)).await.unwrap()
    }

    pub(super) async fn job(&self, n: u128) -> Option<JobRow> {
        self.store.job(ADA, &job_id(n)).await.unwrap()
    }

    pub(super) async fn feeds(&self, n: u128) -> Vec<(JobId, u64, bool)> {
        let feeds = self.store.feeds(&session_id(n)).await.unwrap();
        let mut feeds: Vec<_> = feeds.into_iter().map(|feed| (feed.job, feed.next, feed.own)).collect();
        feeds.sort();
        feeds
    }

    pub(super) async fn runs(&self, n: u128) -> Vec<(u64, JobId, u64)> {
        spelt_out(&self.store.runs(&session_id(n), 0, 1000).await.unwrap().items)
    }

    pub(super) async fn events(&self, job: u128, after: u64) -> Page<StoredEvent> {
        self.store.job_events(&job_id(job), after, 1 << 20).await.unwrap()
    }

    pub(super) async fn list(&self, query: JobQuery) -> Page<JobRow> {
        self.store.list_jobs(ADA, query).await.unwrap()
    }

    /// Trims until nothing more goes; what was written before `seconds` may.
    pub(super) async fn trim(&self, seconds: i64) {
        self.trim_to(seconds, Bounds::NONE).await;
    }

    /// The same, within bounds.
    pub(super) async fn trim_to(&self, seconds: i64, bounds: Bounds) {
        let trim = Trim { before: at(seconds), bounds, limit: 1000 };
        while self.store.trim(at(seconds), trim).await.unwrap() > 0 {}
    }
}
