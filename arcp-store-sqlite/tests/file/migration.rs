//! Files of older schemas.

use arcp_core::job::Status;
use arcp_core::store::{
    Bounds, FeedRow, IdempotencyRow, Lapse, Op, OpResult, RunRow, Store, StoredEvent, Trim,
};
use arcp_core::{JobId, Json, MessageType, SessionId};
use rusqlite::Connection;

use crate::counts::differing;
use crate::rows::{append, at, batch, new_job, new_session, open};

/// What takes a file back to the schema before its own.
const BACK: [&str; 10] = [
    "DROP TABLE secret",
    "ALTER TABLE job DROP COLUMN cancelling",
    "ALTER TABLE job DROP COLUMN bytes",
    "DROP TABLE job_note",
    "DROP TABLE credential",
    "ALTER TABLE segment DROP COLUMN sum",
    "CREATE TABLE batch_mark(at INTEGER NOT NULL, pos INTEGER NOT NULL)",
    "DROP TABLE kept; DROP INDEX job_oldest; DROP INDEX job_oldest_session; DROP INDEX job_oldest_principal;
        ALTER TABLE job DROP COLUMN oldest",
    "DROP INDEX job_age; DROP INDEX job_spent; ALTER TABLE job DROP COLUMN oldest_at;
        CREATE INDEX segment_age ON segment(at, job, first, n);
        CREATE INDEX job_end ON job(ended_at) WHERE ended_at IS NOT NULL",
    "DROP INDEX job_spent_principal; DROP INDEX idempotency_job; ALTER TABLE job DROP COLUMN rest;
        DELETE FROM kept WHERE what IN (0, 1);
        INSERT INTO kept SELECT 0, '', sum(bytes), sum(bytes) >> 16 FROM job WHERE bytes > 0;
        INSERT INTO kept SELECT 1, principal, sum(bytes), sum(bytes) >> 16 FROM job GROUP BY principal",
];

#[tokio::test]
async fn p19_bad_input_62_work_under_way_in_a_file_of_an_older_schema_goes_on() {
    for version in 1..=BACK.len() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let store = open(&path).unwrap();
        let (session, job) = (SessionId::from_bits(1), JobId::from_bits(1));
        let key = IdempotencyRow {
            key: "k".into(),
            fingerprint: [3; 32],
            job: job.clone(),
            accepted: Json::of("accepted").unwrap(),
            expires_at: at(1000),
        };
        let of_2 = IdempotencyRow { key: "of 2".into(), job: JobId::from_bits(2), ..key.clone() };
        let result = StoredEvent { kind: MessageType::Result, needs: None, payload: Json::null() };
        let done = Some(Status::Success);
        let runs = vec![RunRow { first: 1, len: 6, job: job.clone(), from: 1 }];
        let feed = FeedRow { job: job.clone(), principal: "ada".into(), next: 7, own: true };
        let ops = vec![
            new_session(),
            new_job(1),
            append(1, 0, 10, 1000),
            Op::PutFeed { session: session.clone(), epoch: 1, feed },
            Op::Number { session: session.clone(), epoch: 1, after: 0, runs, feeds: vec![(job.clone(), 7)] },
            Op::Ack { session: session.clone(), epoch: 1, seq: 2 },
            Op::Idempotency { row: key.clone(), now: at(0) },
            // One that is over, with what it was accepted with.
            Op::Idempotency { row: of_2, now: at(0) },
            new_job(2),
            Op::Append {
                job: JobId::from_bits(2),
                owner: 1,
                after: 0,
                events: vec![result],
                at: at(1),
                ended: done,
            },
        ];
        store.commit(batch(1, ops)).await.unwrap();
        let before = store.job_events(&job, 0, 1 << 20).await.unwrap();
        store.close();
        let old = Connection::open(&path).unwrap();
        BACK[version - 1..].iter().rev().for_each(|step| old.execute_batch(step).unwrap());
        old.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
        drop(old);

        let store = open(&path).unwrap();
        assert_eq!(differing(&path), Vec::<String>::new(), "from version {version}");
        let lapse = Lapse { caught_up: at(100), pending: at(200) };
        let owner = store.join(lapse, [9; 32]).await.unwrap().owner;
        let row = store.session(&session).await.unwrap().unwrap();
        assert_eq!((row.head, row.acked, row.expires_at), (6, 2, Some(at(200))), "from version {version}");
        assert_eq!(store.job_events(&job, 0, 1 << 20).await.unwrap(), before);
        let orphans = store.orphans(owner + 1, 9).await.unwrap();
        assert_eq!(
            orphans.iter().map(|row| (row.id.clone(), row.head)).collect::<Vec<_>>(),
            [(job.clone(), 10)]
        );
        let again = batch(2, vec![Op::Idempotency { row: key.clone(), now: at(1) }]);
        assert_eq!(store.commit(again).await.unwrap().results, [OpResult::Existing(key)]);
        // It ends, the session is sent the rest, and what it holds is known.
        let runs = vec![RunRow { first: 7, len: 5, job: job.clone(), from: 7 }];
        let terminal = StoredEvent { kind: MessageType::JobError, needs: None, payload: Json::null() };
        let (events, ended) = (vec![terminal], Some(Status::Error));
        let ops = vec![
            Op::TakeJob { job: job.clone(), from: 1, to: owner + 1 },
            Op::Append { job: job.clone(), owner: owner + 1, after: 10, events, at: at(2), ended },
            Op::Number { session: session.clone(), epoch: 1, after: 6, runs, feeds: vec![] },
        ];
        store.commit(batch(3, ops)).await.unwrap();
        let bounds = Bounds { session_bytes: 11_000, ..Bounds::NONE };
        store.trim(at(0), Trim { before: at(0), bounds, limit: 1000 }).await.unwrap();
        assert_eq!(store.job_events(&job, 0, 1 << 20).await.unwrap().items.len(), 11, "there is room");
        let bounds = Bounds { session_bytes: 9000, ..Bounds::NONE };
        store.trim(at(0), Trim { before: at(0), bounds, limit: 1000 }).await.unwrap();
        assert_eq!(store.job_events(&job, 0, 1 << 20).await.unwrap().floor, 10);
    }
}
