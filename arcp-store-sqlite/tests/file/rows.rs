//! Batches to write into a file.

use std::fs;
use std::path::Path;

use arcp_core::job::Status;
use arcp_core::store::{Batch, JobRow, Op, SessionRow, StoredEvent};
use arcp_core::{Features, JobId, Json, MessageType, SessionId, Timestamp, TraceId};
use arcp_store_sqlite::{OpenError, SqliteConfig, SqliteStore};

pub(crate) fn open(path: &Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(path, SqliteConfig::default())
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

pub(crate) fn batch(id: u128, ops: Vec<Op>) -> Batch {
    Batch { id, principal: "ada".into(), ops }
}

pub(crate) fn new_job(n: u128) -> Op {
    let row = JobRow {
        id: JobId::from_bits(n),
        principal: "ada".into(),
        session: SessionId::from_bits(1),
        agent: "echo@1.0.0".into(),
        status: Status::Running,
        created_at: at(0),
        ended_at: None,
        head: 0,
        last_event_seq: 0,
        cancelling: false,
        note: None,
        owner: 1,
        trace_id: TraceId::from_bits(n),
        body: Json::empty_object(),
    };
    Op::PutJob { row }
}

pub(crate) fn new_session() -> Op {
    let row = SessionRow {
        id: SessionId::from_bits(1),
        principal: "ada".into(),
        epoch: 1,
        features: Features::NONE,
        profile: "draft".into(),
        secret: [1; 32],
        token: [2; 32],
        previous_token: None,
        head: 0,
        acked: 0,
        created_at: at(0),
        expires_at: None,
    };
    Op::PutSession { row, expect: 0 }
}

/// `len` events of `bytes` bytes behind number `after` of job `n`.
pub(crate) fn append(n: u128, after: u64, len: usize, bytes: usize) -> Op {
    let payload = Json::of(&"x".repeat(bytes)).unwrap();
    let event = StoredEvent { kind: MessageType::Event, needs: None, payload };
    Op::Append { job: JobId::from_bits(n), owner: 1, after, events: vec![event; len], at: at(1), ended: None }
}

pub(crate) fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}
