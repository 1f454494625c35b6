//! What is counted as it comes and goes is what is there.

use std::path::Path;

use arcp_core::job::Status;
use arcp_core::store::{
    Bounds, FeedRow, IdempotencyRow, JobRow, Op, RunRow, SessionRow, Store, StoredEvent, Trim,
};
use arcp_core::{JobId, Json, MessageType, SessionId};
use rusqlite::Connection;

use crate::rows::{at, batch, new_job, new_session, open};

const JOBS: u64 = 9;
const SESSIONS: u64 = 4;

/// The same numbers in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % n
    }
}

fn session_id(n: u64) -> SessionId {
    SessionId::from_bits(n.into())
}

fn job_id(n: u64) -> JobId {
    JobId::from_bits(n.into())
}

fn session(n: u64) -> Op {
    let Op::PutSession { row, expect } = new_session() else { unreachable!() };
    Op::PutSession { row: SessionRow { id: session_id(n), ..row }, expect }
}

fn job(n: u64) -> Op {
    let Op::PutJob { row } = new_job(n.into()) else { unreachable!() };
    let body = Json::of(&"é".repeat(usize::try_from(n).unwrap() * 1000)).unwrap();
    Op::PutJob { row: JobRow { session: session_id(n % SESSIONS), body, ..row } }
}

/// The counts that are wrong, and the jobs whose oldest row is another one.
pub(crate) fn differing(path: &Path) -> Vec<String> {
    let conn = Connection::open(path).unwrap();
    let sql = "WITH rest(job, principal, n) AS (
            SELECT id, principal, length(CAST(body AS BLOB)) + (SELECT coalesce(sum(length(CAST(key AS BLOB))
                + length(CAST(accepted AS BLOB))), 0) FROM idempotency WHERE idempotency.job = id)
            FROM job JOIN job_body USING (id) WHERE ended_at IS NOT NULL),
        bytes(principal, n) AS (
            SELECT principal, length(events) FROM segment JOIN job ON job.id = job
            UNION ALL SELECT principal, n FROM rest),
        real(what, whose, n) AS (
            SELECT 0, '', sum(n) FROM bytes HAVING count(*) > 0
            UNION ALL SELECT 1, principal, sum(n) FROM bytes GROUP BY 2
            UNION ALL SELECT 2, session, sum(length(events)) FROM segment JOIN job ON job.id = job GROUP BY 2
            UNION ALL SELECT 3, session, count(*) FROM run GROUP BY 2),
        counted AS (SELECT what, whose, n FROM kept)
        SELECT 'counted ' || what || whose || n FROM (SELECT * FROM counted EXCEPT SELECT * FROM real)
        UNION ALL SELECT 'there ' || what || whose || n FROM (SELECT * FROM real EXCEPT SELECT * FROM counted)
        UNION ALL SELECT 'step ' || what || whose || n FROM kept
            WHERE step <> n >> iif(what = 3, 6, 16)
        UNION ALL SELECT 'rest of ' || id FROM job
            WHERE rest IS NOT coalesce((SELECT n FROM rest WHERE rest.job = id), 0)
        UNION ALL SELECT 'oldest of ' || id FROM job
            WHERE oldest IS NOT (SELECT min(pos) FROM segment WHERE segment.job = job.id)
                OR oldest_at IS NOT (SELECT at FROM segment WHERE segment.pos = oldest)";
    let mut sql = conn.prepare(sql).unwrap();
    sql.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn what_is_counted_is_what_is_there_whatever_was_written_refused_and_trimmed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut store = open(&path).unwrap();
    let (mut chance, mut id, mut trimmed) = (Chance(7), 1, 0);
    for round in 0..150 {
        let mut commits = Vec::new();
        for _ in 0..chance.below(8) {
            let (n, who) = (chance.below(JOBS), chance.below(SESSIONS));
            let row = store.job("ada", &job_id(n)).await.unwrap();
            let held = store.session(&session_id(who)).await.unwrap();
            let (Some(row), Some(held)) = (row, held) else {
                id += 2;
                let (key, accepted) = (format!("key {id}"), Json::of(&"x".repeat(500)).unwrap());
                let key = IdempotencyRow {
                    key,
                    fingerprint: [3; 32],
                    job: job_id(n),
                    accepted,
                    expires_at: at(999),
                };
                let claim = Op::Idempotency { row: key, now: at(0) };
                commits.push(store.commit(batch(id, vec![claim, job(n)])));
                commits.push(store.commit(batch(id + 1, vec![session(who)])));
                continue;
            };
            // Some are refused, and some are refused with what they did before.
            let after = if chance.below(6) == 0 { row.head + 1 } else { row.head };
            let len = [0, 1, 3, 200][usize::try_from(chance.below(4)).unwrap()];
            let payload = Json::of(&"x".repeat(usize::try_from(chance.below(700)).unwrap())).unwrap();
            let mut events = vec![StoredEvent { kind: MessageType::Event, needs: None, payload }; len];
            let ended = (chance.below(12) == 0).then(|| {
                events.push(StoredEvent { kind: MessageType::Result, needs: None, payload: Json::null() });
                Status::Success
            });
            let (head, events) = (row.head + events.len() as u64, events);
            let append = Op::Append { job: job_id(n), owner: 1, after, events, at: at(round), ended };
            let mut ops = vec![append];
            if head > 1 {
                let run = |first, from| RunRow { first, len: 1, job: job_id(n), from };
                let runs = vec![run(held.head + 1, head), run(held.head + 2, head - 1)];
                let session = session_id(who);
                ops.push(Op::Number {
                    session: session.clone(),
                    epoch: 1,
                    after: held.head,
                    runs,
                    feeds: vec![],
                });
                let seq = held.head + chance.below(5);
                ops.push(Op::Ack { session: session.clone(), epoch: 1, seq });
                let feed = FeedRow { job: job_id(n), principal: "ada".into(), next: head + 1, own: true };
                ops.push(Op::PutFeed { session: session.clone(), epoch: 1, feed });
                if chance.below(2) == 0 {
                    ops.push(Op::DropFeed { session, epoch: 1, job: job_id(n) });
                }
            }
            id += 2;
            commits.push(store.commit(batch(id, ops)));
        }
        for commit in commits {
            _ = commit.await;
        }
        let bound = |chance: &mut Chance, n| if chance.below(3) == 0 { chance.below(n) } else { u64::MAX };
        let bounds = Bounds {
            session_bytes: bound(&mut chance, 300_000),
            principal_bytes: bound(&mut chance, 600_000),
            bytes: bound(&mut chance, 900_000),
            session_runs: bound(&mut chance, 150),
        };
        if chance.below(4) == 0 {
            let before = at(round - i64::try_from(chance.below(20)).unwrap());
            let limit = usize::try_from(chance.below(40)).unwrap();
            trimmed += store.trim(before, Trim { before, bounds, limit }).await.unwrap();
        }
        if chance.below(30) == 0 {
            store.close();
            store = open(&path).unwrap();
        }
        assert_eq!(differing(&path), Vec::<String>::new(), "after round {round}");
    }
    assert!(trimmed > 100, "{trimmed}");
}
