//! What an answer to a commit promises.

use std::fs;
use std::sync::Arc;

use arcp_core::JobId;
use arcp_core::store::{Bounds, Committed, Store, StoreError, Trim};
use arcp_store_sqlite::{SqliteConfig, SqliteStore};
use rusqlite::Connection;

use crate::rows::{append, at, batch, new_job, open};

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
