//! The file: what is refused, what is given back, and what a full disk does.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arcp_core::job::Status;
use arcp_core::store::{
    Batch, Bounds, Committed, FeedRow, IdempotencyRow, JobRow, Lapse, Op, OpResult, RunRow, SessionRow,
    Store, StoreError, StoredEvent, Trim,
};
use arcp_core::{Features, JobId, Json, MessageType, SessionId, Timestamp, TraceId};
use arcp_store_sqlite::{OpenError, SqliteConfig, SqliteStore};
use rusqlite::Connection;

fn open(path: &Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(path, SqliteConfig::default())
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn batch(id: u128, ops: Vec<Op>) -> Batch {
    Batch { id, principal: "ada".into(), ops }
}

fn new_job(n: u128) -> Op {
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

fn new_session() -> Op {
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
fn append(n: u128, after: u64, len: usize, bytes: usize) -> Op {
    let payload = Json::of(&"x".repeat(bytes)).unwrap();
    let event = StoredEvent { kind: MessageType::Event, needs: None, payload };
    Op::Append { job: JobId::from_bits(n), owner: 1, after, events: vec![event; len], at: at(1), ended: None }
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[test]
fn bad_input_57_a_file_is_open_once_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let first = open(&path).unwrap();
    assert!(matches!(open(&path), Err(OpenError::Held)));
    first.close();
    open(&path).unwrap();
}

#[test]
fn p19_bad_input_62_a_file_of_a_newer_schema_is_refused_and_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    open(&path).unwrap().close();
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(open(&path), Err(OpenError::Newer { found: 99, known: 8 })));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn bad_input_57_what_is_no_database_and_what_is_another_applications_is_refused_and_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text");
    fs::write(&text, "a text that is long enough to be taken for the header of something ".repeat(20))
        .unwrap();
    let before = fs::read(&text).unwrap();
    assert!(matches!(open(&text), Err(OpenError::NotADatabase)));
    assert_eq!(fs::read(&text).unwrap(), before);
    let other = dir.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE notes(text)").unwrap();
    let before = fs::read(&other).unwrap();
    assert!(matches!(open(&other), Err(OpenError::Foreign)));
    assert_eq!(fs::read(&other).unwrap(), before);
}

#[test]
fn a_folder_that_is_not_there_is_an_io_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(open(&dir.path().join("nowhere/a.db")), Err(OpenError::Io(_))));
    assert!(open(dir.path()).is_err(), "a folder is no file");
}

#[cfg(unix)]
#[test]
fn bad_input_57_what_cannot_be_written_is_read_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    open(&path).unwrap().close();
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    allow(&path, 0o400);
    // To the superuser everything can be written.
    if fs::OpenOptions::new().write(true).open(&path).is_err() {
        assert!(matches!(open(&path), Err(OpenError::ReadOnly)));
        let folder = dir.path().join("folder");
        fs::create_dir(&folder).unwrap();
        allow(&folder, 0o500);
        assert!(matches!(open(&folder.join("b.db")), Err(OpenError::ReadOnly)));
        allow(&folder, 0o700);
    }
    assert_eq!(fs::metadata(dir.path().join("a.db.lock")).unwrap().permissions().mode() & 0o077, 0);
}

#[tokio::test]
async fn many_commits_at_once_share_few_transactions() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&dir.path().join("a.db")).unwrap());
    let commits: Vec<_> = (1..=1000).map(|n| store.commit(batch(n, vec![new_job(n)]))).collect();
    for commit in commits {
        assert_eq!(commit.await, Ok(Committed::default()));
    }
    let stats = store.stats();
    assert_eq!(stats.batches, 1000);
    assert!(stats.transactions < 200, "{}", stats.transactions);
}

#[tokio::test]
async fn one_batch_that_is_refused_does_not_fail_those_committed_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("a.db")).unwrap();
    let commits: Vec<_> = (1..=300u128)
        .map(|n| {
            store.commit(batch(n, vec![new_job(n), append(if n % 3 == 0 { n + 1000 } else { n }, 0, 1, 9)]))
        })
        .collect();
    for (n, commit) in (1..).zip(commits) {
        let expected =
            if n % 3 == 0 { Err(StoreError::Fenced { current: 0 }) } else { Ok(Committed::default()) };
        assert_eq!(commit.await, expected);
        let job = store.job("ada", &JobId::from_bits(n)).await.unwrap();
        assert_eq!(job.is_some(), n % 3 != 0);
    }
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
async fn p16_bad_input_55_a_full_disk_refuses_what_does_not_fit_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = SqliteConfig::default();
    config.max_bytes = Some(2 << 20);
    let store = SqliteStore::open(dir.path().join("a.db"), config).unwrap();
    store.commit(batch(1, vec![new_job(1)])).await.unwrap();
    let (mut after, mut id, mut refused) = (0, 2, 0);
    while refused < 3 {
        match store.commit(batch(id, vec![append(1, after, 10, 10_000)])).await {
            Ok(_) => after += 10,
            Err(e) => {
                assert_eq!(e, StoreError::Full);
                refused += 1;
            }
        }
        id += 1;
    }
    assert!(after > 50);
    // A small batch goes on beside a large one that does not fit.
    let (large, little) = (batch(id, vec![append(1, after, 90, 10_000)]), batch(id + 1, vec![new_job(2)]));
    let (large, little) = (store.commit(large), store.commit(little));
    assert_eq!((large.await, little.await), (Err(StoreError::Full), Ok(Committed::default())));
    let mut read = 0;
    loop {
        let page = store.job_events(&JobId::from_bits(1), read, 1 << 20).await.unwrap();
        read += page.items.len() as u64;
        if !page.more {
            break;
        }
    }
    assert_eq!(read, after, "what was answered is there, and nothing else");
    let trim = Trim { before: at(10), bounds: Bounds::NONE, limit: 1000 };
    while store.trim(at(10), trim).await.unwrap() > 0 {}
    store.commit(batch(id + 2, vec![append(1, after, 10, 10_000)])).await.unwrap();
    assert_eq!(store.job("ada", &JobId::from_bits(1)).await.unwrap().unwrap().head, after + 10);
    assert_eq!(store.stats().reopened, 0);
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

/// What a power cut may leave: the log as it was when a commit was answered, and any pages of what was
/// written to it later. That it was synced by then, the crash test sees.
#[tokio::test]
async fn p1_bad_input_54_what_was_answered_is_there_whatever_pages_a_power_cut_leaves_of_what_came_later() {
    const PAGE: usize = 4096;
    let dir = tempfile::tempdir().unwrap();
    let (path, log, cut) = (dir.path().join("a.db"), dir.path().join("a.db-wal"), dir.path().join("cut.db"));
    let store = open(&path).unwrap();
    store.commit(batch(1, vec![new_job(1)])).await.unwrap();
    // Whoever reads keeps the log from beginning anew.
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM job").unwrap();
    let mut answered = Vec::new();
    for n in 0..12 {
        store.commit(batch(2 + u128::from(n), vec![append(1, 3 * n, 3, 900)])).await.unwrap();
        answered.push((3 * (n + 1), fs::read(&path).unwrap(), fs::read(&log).unwrap()));
    }
    let (last, _, latest) = answered.last().unwrap().clone();
    let (mut random, mut more) = (1u64, 0);
    for (events, file, synced) in &answered {
        assert_eq!(synced[..32], latest[..32], "it is one log");
        for _ in 0..4 {
            let mut image = synced.clone();
            for at in (synced.len() / PAGE * PAGE..latest.len()).step_by(PAGE) {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let end = (at + PAGE).min(latest.len());
                // Most of them, or hardly ever a whole commit.
                if random >> 61 != 0 {
                    image.resize(image.len().max(end), 0);
                    image[at..end].copy_from_slice(&latest[at..end]);
                }
            }
            fs::write(&cut, file).unwrap();
            fs::write(dir.path().join("cut.db-wal"), image).unwrap();
            let found = open(&cut).unwrap();
            let head = found.job("ada", &JobId::from_bits(1)).await.unwrap().unwrap().head;
            let page = found.job_events(&JobId::from_bits(1), 0, 1 << 20).await.unwrap();
            assert!((*events..=last).contains(&head) && head % 3 == 0, "{head} of {events}");
            assert_eq!(page.items.len() as u64, head);
            more += u32::from(head > *events);
            found.close();
        }
    }
    assert!(more > 0, "some images have more than was answered");
}

#[tokio::test]
async fn dropping_the_store_writes_what_is_queued() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = open(&path).unwrap();
    let commits: Vec<_> = (1..=100).map(|n| store.commit(batch(n, vec![new_job(n)]))).collect();
    drop(commits);
    drop(store);
    let store = open(&path).unwrap();
    assert!(store.job("ada", &JobId::from_bits(100)).await.unwrap().is_some());
}

#[tokio::test]
async fn s40_a_queue_that_is_full_refuses_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = SqliteConfig::default();
    config.queue = 4;
    let store = SqliteStore::open(dir.path().join("a.db"), config).unwrap();
    let commits: Vec<_> = (1..=500).map(|n| store.commit(batch(n, vec![new_job(n)]))).collect();
    let mut refused = 0;
    for (n, commit) in (1..).zip(commits) {
        let done = commit.await;
        let there = store.job("ada", &JobId::from_bits(n)).await.unwrap().is_some();
        assert_eq!(done.is_ok(), there);
        refused += u32::from(matches!(done, Err(StoreError::Unavailable { .. })));
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn bad_input_57_a_damaged_row_is_an_error_and_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = open(&path).unwrap();
    store.commit(batch(1, vec![new_job(1), append(1, 0, 3, 9)])).await.unwrap();
    store.commit(batch(2, vec![append(1, 3, 3, 9)])).await.unwrap();
    store.commit(batch(3, vec![append(1, 6, 3, 9)])).await.unwrap();
    store.close();
    for damage in [
        "UPDATE segment SET events = x'00' WHERE first = 4",
        "DELETE FROM segment WHERE first = 4",
        "DELETE FROM segment",
    ] {
        Connection::open(&path).unwrap().execute_batch(damage).unwrap();
        let store = open(&path).unwrap();
        let read = store.job_events(&JobId::from_bits(1), 0, 1 << 20).await;
        assert!(matches!(read, Err(StoreError::Corrupt(_))), "{damage}: {read:?}");
        store.close();
    }
}

#[tokio::test]
async fn bad_input_57_a_flipped_bit_in_a_stored_event_is_an_error_and_never_other_content() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = open(&path).unwrap();
    store.commit(batch(1, vec![new_job(1), append(1, 0, 3, 40)])).await.unwrap();
    store.close();
    let whole = fs::read(&path).unwrap();
    let places: Vec<_> = (0..whole.len() - 40).filter(|at| whole[*at..at + 40] == [b'x'; 40]).collect();
    assert_eq!(places.len(), 3, "each payload is there once");
    for bit in 0..8 {
        // Most of these leave a payload that is as good a text as what was written.
        let mut flipped = whole.clone();
        flipped[places[bit % 3] + bit] ^= 1 << bit;
        fs::write(&path, flipped).unwrap();
        let store = open(&path).unwrap();
        let read = store.job_events(&JobId::from_bits(1), 0, 1 << 20).await;
        assert!(matches!(read, Err(StoreError::Corrupt(_))), "bit {bit}: {read:?}");
        store.close();
    }
    fs::write(&path, whole).unwrap();
    let store = open(&path).unwrap();
    assert_eq!(store.job_events(&JobId::from_bits(1), 0, 1 << 20).await.unwrap().items.len(), 3);
}

#[tokio::test]
async fn bad_input_57_a_row_in_the_place_of_another_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = open(&path).unwrap();
    store.commit(batch(1, vec![new_job(1), append(1, 0, 2, 9)])).await.unwrap();
    store.commit(batch(2, vec![new_job(2), append(2, 0, 2, 9)])).await.unwrap();
    store.close();
    let damage = "UPDATE segment SET sum = (SELECT sum FROM segment AS other WHERE other.job <> segment.job)";
    Connection::open(&path).unwrap().execute_batch(damage).unwrap();
    let store = open(&path).unwrap();
    let read = store.job_events(&JobId::from_bits(1), 0, 1 << 20).await;
    assert!(matches!(read, Err(StoreError::Corrupt(_))), "{read:?}");
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

/// What takes a file back to the schema before its own.
const BACK: [&str; 7] = [
    "DROP TABLE secret",
    "ALTER TABLE job DROP COLUMN cancelling",
    "ALTER TABLE job DROP COLUMN bytes",
    "DROP TABLE job_note",
    "DROP TABLE credential",
    "ALTER TABLE segment DROP COLUMN sum",
    "CREATE TABLE batch_mark(at INTEGER NOT NULL, pos INTEGER NOT NULL)",
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
        ];
        store.commit(batch(1, ops)).await.unwrap();
        let before = store.job_events(&job, 0, 1 << 20).await.unwrap();
        store.close();
        let old = Connection::open(&path).unwrap();
        BACK[version - 1..].iter().rev().for_each(|step| old.execute_batch(step).unwrap());
        old.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
        drop(old);

        let store = open(&path).unwrap();
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
