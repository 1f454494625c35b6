//! How much room the file and its log take, and what is left in them.

use std::fs;

use arcp_core::job::Status;
use arcp_core::store::{Bounds, JobQuery, JobRow, Op, RunRow, Store, StoredEvent, Trim};
use arcp_core::{JobId, Json, MessageType, SessionId};
use arcp_store_sqlite::{SqliteConfig, SqliteStore};

use crate::rows::{append, at, batch, new_job, new_session, open, size};

fn result() -> StoredEvent {
    StoredEvent { kind: MessageType::Result, needs: None, payload: Json::null() }
}

#[tokio::test]
async fn a_long_log_that_was_acknowledged_gives_its_room_back() {
    let dir = tempfile::tempdir().unwrap();
    let (path, small) = (dir.path().join("a.db"), dir.path().join("small.db"));
    for (path, groups) in [(&path, 100), (&small, 10)] {
        let store = open(path).unwrap();
        store.commit(batch(1, vec![new_session(), new_job(1)])).await.unwrap();
        let session = SessionId::from_bits(1);
        for n in 0..groups {
            let (after, job) = (n * 1000, JobId::from_bits(1));
            let runs = vec![RunRow { first: after + 1, len: 1000, job, from: after + 1 }];
            let ops = vec![
                append(1, after, 1000, 300),
                Op::Number { session: session.clone(), epoch: 1, after, runs, feeds: vec![] },
                Op::Ack { session: session.clone(), epoch: 1, seq: after + 1000 },
            ];
            store.commit(batch(u128::from(n) + 2, ops)).await.unwrap();
        }
        store.close();
    }
    let (full, small) = (size(&path), size(&small));
    assert!(full > 30_000_000, "{full}");
    let store = open(&path).unwrap();
    let trim = Trim { before: at(10), bounds: Bounds::NONE, limit: 1000 };
    while store.trim(at(10), trim).await.unwrap() > 0 {}
    let page = store.job_events(&JobId::from_bits(1), 0, 1 << 20).await.unwrap();
    assert_eq!((page.floor, page.items.len()), (100_000, 0));
    store.close();
    assert!(size(&path) < small, "{} after a trim, {small} with a tenth of the events", size(&path));
    assert!(!dir.path().join("a.db-wal").exists());
}

#[tokio::test]
async fn s43_what_is_forgotten_is_in_no_file_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let found = |canary: &str| {
        let files = fs::read_dir(dir.path()).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
        let has = |bytes: Vec<u8>| bytes.windows(canary.len()).filter(|w| *w == canary.as_bytes()).count();
        files.map(has).sum::<usize>()
    };
    let store = open(&path).unwrap();
    let (session, job) = (SessionId::from_bits(1), JobId::from_bits(1));
    store.commit(batch(1, vec![new_session(), new_job(1)])).await.unwrap();
    for n in 0..200 {
        // Some on pages with others, some on pages of their own.
        let payload =
            Json::of(&format!("canary-{}{}", n % 2, "x".repeat(if n % 3 == 0 { 9000 } else { 50 })));
        let event = StoredEvent { kind: MessageType::Event, needs: None, payload: payload.unwrap() };
        let (job, at) = (job.clone(), at(1));
        let append =
            Op::Append { job: job.clone(), owner: 1, after: n, events: vec![event], at, ended: None };
        let runs = vec![RunRow { first: n + 1, len: 1, job, from: n + 1 }];
        let number = Op::Number { session: session.clone(), epoch: 1, after: n, runs, feeds: vec![] };
        store.commit(batch(u128::from(n) + 2, vec![append, number])).await.unwrap();
    }
    assert!(found("canary-") >= 200);
    store.commit(batch(1000, vec![Op::Ack { session, epoch: 1, seq: 200 }])).await.unwrap();
    let trim = Trim { before: at(10), bounds: Bounds::NONE, limit: 1000 };
    while store.trim(at(10), trim).await.unwrap() > 0 {}
    store.close();
    assert_eq!(found("canary-"), 0);
}

#[tokio::test]
async fn a_file_that_may_not_grow_takes_job_after_job_within_its_size() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut config = SqliteConfig::default();
    config.max_bytes = Some(4 << 20);
    let store = SqliteStore::open(&path, config).unwrap();
    for n in 1..=100 {
        let Op::PutJob { row } = new_job(n) else { unreachable!() };
        let body = Json::of(&"x".repeat(100_000)).unwrap();
        let (job, events) = (row.id.clone(), vec![result()]);
        let (at, ended) = (at(1), Some(Status::Success));
        let end = Op::Append { job, owner: 1, after: 0, events, at, ended };
        store.commit(batch(n, vec![Op::PutJob { row: JobRow { body, ..row } }, end])).await.unwrap();
        store.trim(at, Trim { before: at, bounds: Bounds::NONE, limit: 100 }).await.unwrap();
    }
    let there = store.list_jobs("ada", JobQuery { limit: 99, ..JobQuery::default() }).await.unwrap();
    assert_eq!(there.items.len(), 31, "three quarters of the file");
}

#[tokio::test]
async fn the_log_beside_the_file_stays_bounded_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut config = SqliteConfig::default();
    config.wal_bytes = 1 << 20;
    let store = SqliteStore::open(&path, config).unwrap();
    store.commit(batch(1, vec![new_job(1)])).await.unwrap();
    let (mut after, mut id) = (0, 2);
    while after < 100_000 {
        store.commit(batch(id, vec![append(1, after, 100, 300)])).await.unwrap();
        (after, id) = (after + 100, id + 1);
    }
    let (log, written) = (size(&dir.path().join("a.db-wal")), after * 300);
    assert!(log < written / 3, "{log} of {written}");
}

#[tokio::test]
async fn the_log_that_a_killed_process_left_is_in_the_file_before_more_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("a.db"), dir.path().join("copy.db"));
    let store = open(&path).unwrap();
    store.commit(batch(1, vec![new_job(1), append(1, 0, 100, 1000)])).await.unwrap();
    for name in ["", "-wal"] {
        fs::copy(format!("{}{name}", path.display()), format!("{}{name}", copy.display())).unwrap();
    }
    let log = dir.path().join("copy.db-wal");
    assert!(size(&log) > 100_000);
    let copied = open(&copy).unwrap();
    // Some of it may be in the memory of the system only: nothing may rely on it.
    assert_eq!(size(&log), 0);
    assert_eq!(copied.job("ada", &JobId::from_bits(1)).await.unwrap().unwrap().head, 100);
}

#[tokio::test]
async fn what_is_kept_to_know_a_repeat_takes_no_more_room_after_many_commits_than_after_few() {
    let dir = tempfile::tempdir().unwrap();
    let sizes = [50, 400].map(async |commits: u128| {
        let path = dir.path().join(format!("{commits}.db"));
        let store = open(&path).unwrap();
        for id in 1..=commits {
            store.commit(batch(id, vec![Op::DropIdempotency { key: "k".into() }])).await.unwrap();
        }
        assert_eq!(store.stats().transactions, u64::try_from(commits).unwrap());
        store.close();
        size(&path)
    });
    let [few, many] = sizes;
    assert_eq!(few.await, many.await);
}
