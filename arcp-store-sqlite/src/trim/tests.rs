//! What a trim costs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use arcp_core::job::Status;
use arcp_core::store::{Batch, Bounds, JobRow, Op, RunRow, SessionRow, StoredEvent};
use arcp_core::{Features, JobId, Json, MessageType, SessionId, TraceId};
use rusqlite::StatementStatus;
use rusqlite::trace::{TraceEvent, TraceEventCodes};
use tempfile::TempDir;

use super::*;
use crate::ids::BatchIds;

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn new_session(n: u128) -> Op {
    let row = SessionRow {
        id: SessionId::from_bits(n),
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

fn new_job(n: u128) -> Op {
    let row = JobRow {
        id: JobId::from_bits(n),
        principal: "ada".into(),
        session: SessionId::from_bits(n),
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

fn append(n: u128, after: u64) -> Op {
    append_at(n, after, at(1))
}

pub(super) fn append_at(n: u128, after: u64, at: Timestamp) -> Op {
    let payload = Json::of(&"x".repeat(1000)).unwrap();
    let event = StoredEvent { kind: MessageType::Event, needs: None, payload };
    Op::Append { job: JobId::from_bits(n), owner: 1, after, events: vec![event], at, ended: None }
}

/// A file with so many sessions, each with a job, two rows of its log, and two runs of one event.
pub(super) fn filled(sessions: u128) -> (TempDir, Connection) {
    let dir = tempfile::tempdir().unwrap();
    let mut conn = Connection::open(dir.path().join("a.db")).unwrap();
    crate::schema::set_up(&conn).unwrap();
    crate::schema::migrate(&mut conn).unwrap();
    let batches: Vec<_> = (1..=sessions)
        .map(|n| {
            let (job, session) = (JobId::from_bits(n), SessionId::from_bits(n));
            let run = |first, from| RunRow { first, len: 1, job: job.clone(), from };
            let runs = vec![run(1, 2), run(2, 1)];
            let number = Op::Number { session, epoch: 1, after: 0, runs, feeds: vec![] };
            let ops = vec![new_session(n), new_job(n), append(n, 0), append(n, 1), number];
            Batch { id: n, principal: "ada".into(), ops }
        })
        .collect();
    let written = crate::group::write(&conn, &BatchIds::default(), &batches, &mut Vec::new()).unwrap();
    assert_eq!(written.applied.len(), batches.len());
    conn.execute_batch("COMMIT").unwrap();
    (dir, conn)
}

pub(super) fn write(conn: &Connection, id: u128, ops: Vec<Op>) {
    let batch = Batch { id, principal: "ada".into(), ops };
    let ids = BatchIds::load(conn).unwrap();
    let written = crate::group::write(conn, &ids, &[batch], &mut Vec::new()).unwrap();
    assert_eq!(written.applied, [id]);
    conn.execute_batch("COMMIT").unwrap();
}

/// The statements of a trim, and the steps that each of them took.
pub(super) fn traced(
    conn: &mut Connection,
    round: &mut Round,
    trims: &[(Timestamp, Trim)],
) -> HashMap<String, i32> {
    let seen = Arc::new(Mutex::new(HashMap::new()));
    let see = Arc::clone(&seen);
    let trace = move |event: TraceEvent<'_>| {
        if let TraceEvent::Profile(statement, _) = event {
            let steps = statement.get_status(StatementStatus::VmStep);
            see.lock().unwrap().insert(statement.sql().into_owned(), steps);
        }
    };
    conn.trace_v2(TraceEventCodes::SQLITE_TRACE_PROFILE, Some(trace)).unwrap();
    for (now, what) in trims {
        trim(conn, round, *now, *what).unwrap();
    }
    conn.trace_v2(TraceEventCodes::empty(), None::<fn(TraceEvent<'_>)>).unwrap();
    std::mem::take(&mut *seen.lock().unwrap())
}

pub(super) fn within() -> (Timestamp, Trim) {
    let bounds =
        Bounds { session_bytes: 1 << 20, principal_bytes: 1 << 30, bytes: 1 << 30, session_runs: 64 };
    (at(0), Trim { before: at(0), bounds, limit: 10_000 })
}

#[test]
fn a_trim_within_bounds_takes_as_many_steps_whatever_is_there() {
    let [few, many] = [3, 300].map(|sessions| {
        let (_dir, mut conn) = filled(sessions);
        traced(&mut conn, &mut Round::default(), &[within()])
    });
    assert!(few.len() > 5);
    assert_eq!(few, many);
}

#[test]
fn no_statement_of_a_trim_goes_through_a_table() {
    let (_dir, mut conn) = filled(20);
    let events = vec![StoredEvent { kind: MessageType::Result, needs: None, payload: Json::null() }];
    let ended = Some(Status::Success);
    let end = Op::Append { job: JobId::from_bits(1), owner: 1, after: 2, events, at: at(1), ended };
    write(&conn, 21, vec![end]);
    let (_, Trim { bounds, .. }) = within();
    let beyond = |bounds| (at(0), Trim { before: at(0), bounds, limit: 1 });
    let trims = [
        within(),
        beyond(Bounds { session_runs: 1, ..bounds }),
        beyond(Bounds { session_bytes: 1500, ..bounds }),
        beyond(Bounds { principal_bytes: 30_000, ..bounds }),
        beyond(Bounds { bytes: 20_000, ..bounds }),
        (at(0), Trim { before: at(0), bounds: Bounds { bytes: 1000, ..bounds }, limit: 60 }),
        (at(2), Trim { before: at(2), bounds, limit: 10_000 }),
    ];
    let seen = traced(&mut conn, &mut Round::default(), &trims);
    assert!(seen.keys().filter(|sql| sql.contains("CROSS JOIN")).count() == 3, "each scope was thinned");
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table'";
    let mut tables = conn.prepare(tables).unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(
        seen.keys().any(|sql| sql.starts_with("DELETE FROM idempotency\n        WHERE job")),
        "a job went"
    );
    for sql in seen.keys() {
        let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = plan.raw_query().mapped(|row| row.get::<_, String>(3)).map(Result::unwrap);
        for step in steps {
            let scanned = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
            assert!(!scanned.is_some_and(|name| tables.iter().any(|table| table == name)), "{step}: {sql}");
            assert!(!(sql.contains("CROSS JOIN") && step.contains("TEMP B-TREE")), "{step}: {sql}");
        }
    }
}
