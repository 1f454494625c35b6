//! What is held in memory, counted: by sessions that wait, by streams that flow, by clients that
//! never read (§6.5, §14).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod ended;
mod floods;
mod lapsed;

use std::alloc::System;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arcp_core::store::Store;
use arcp_core::transport::Transport;
use arcp_store_sqlite::{SqliteConfig, SqliteStore};
use arcp_tests::wire::{self, Frame};
use arcp_tests::{ALICE, Io, Memories, Peer, Server, features, sessions, timed};
use arcp_tower::Config;
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, Stats, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Counts are the process's: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that are held now.
fn held() -> usize {
    let Stats { bytes_allocated, bytes_deallocated, .. } = ALLOCATOR.stats();
    bytes_allocated - bytes_deallocated
}

/// Waits until no more than `bytes` are held, and says how many are.
async fn settles_to(bytes: usize) -> usize {
    for _ in 0..500 {
        if held() <= bytes {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    held()
}

/// Where numbers and events are kept.
#[derive(Debug, Clone, Copy)]
enum Kept {
    InMemory,
    InSqlite,
}

impl Kept {
    fn store(self, dir: &tempfile::TempDir) -> Option<Arc<dyn Store>> {
        match self {
            Self::InMemory => None,
            Self::InSqlite => {
                let store = SqliteStore::open(dir.path().join("a.db"), SqliteConfig::default()).unwrap();
                Some(Arc::new(store))
            }
        }
    }
}

/// A session over TCP, of which the client's side holds a socket and nothing else.
async fn session(server: &Server) -> Io {
    let mut wire = server.wire().await;
    let hello =
        json!({ "arcp": "1.1", "id": "h", "type": "session.hello", "payload": features(ALICE, &["ack"]) });
    wire.write(&wire::frame(wire::TEXT, hello.to_string().as_bytes())).await;
    assert!(matches!(wire.read().await, Frame::Text(welcome) if welcome.contains("session.welcome")));
    wire.into_inner()
}

#[test]
fn a_session_that_does_nothing_holds_at_most_12_kib() {
    const SESSIONS: usize = 400;
    let _alone = alone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::guarded(&Config::default()).await;
        // Everything grows to its size once.
        let _first = [session(&server).await, session(&server).await];
        let before = held();
        let mut open = vec![];
        for _ in 0..SESSIONS {
            open.push(session(&server).await);
        }
        let most = 12 << 10;
        let each = (settles_to(before + SESSIONS * most).await - before) / SESSIONS;
        println!("{each} bytes for each session");
        assert!(each <= most, "{each} bytes for each session");
        drop(open);
        server.stop().await;
    });
}

/// Reads the events of the only job, and acknowledges now and then, until it ends.
async fn drain<T: Transport>(peer: &mut Peer<T>) -> u64 {
    let mut events = 0;
    loop {
        let frame = peer.text().await.unwrap();
        if frame.contains("\"type\":\"job.result\"") {
            let last: Value = serde_json::from_str(&frame).unwrap();
            peer.ack(last["event_seq"].as_u64().unwrap()).await;
            return events;
        }
        if frame.contains("\"type\":\"job.event\"") {
            events += 1;
            if events % 500 == 0 {
                let event: Value = serde_json::from_str(&frame).unwrap();
                peer.ack(event["event_seq"].as_u64().unwrap()).await;
            }
        }
    }
}

#[test]
fn a_session_that_waits_again_holds_hardly_more_than_before_its_job() {
    let _alone = alone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // Ended jobs are kept for their time, or for their number; here they are not what is counted.
        let config = Config::default().with(|config| config.max_ended_jobs = 0);
        let server = Server::guarded(&config).await;
        let mut peer = server.open(ALICE, &["ack"]).await;
        let chatty = |count: u64| json!({ "agent": "chatty", "input": { "count": count, "bytes": 200 } });
        for warm in [10_000, 10] {
            peer.send("job.submit", chatty(warm)).await;
            drain(&mut peer).await;
            peer.ping("rest").await;
        }
        let before = held();
        peer.send("job.submit", chatty(10_000)).await;
        assert!(drain(&mut peer).await >= 10_000);
        peer.ping("rest").await;
        let after = settles_to(before + (16 << 10)).await;
        assert!(after <= before + (16 << 10), "{} bytes more", after - before);
        server.stop().await;
    });
}

#[test]
fn memory_stays_flat_while_a_client_acknowledges_what_it_is_sent() {
    let _alone = alone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for kept in [Kept::InMemory, Kept::InSqlite] {
        let dir = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let config = Config::default().with(|config| config.max_ended_jobs = 0);
            let server = sessions::start(kept.store(&dir), &config).await;
            let (mut peer, _) = sessions::open(&server, ALICE).await;
            let mut after = vec![held()];
            for count in [20_000, 20_000, 60_000] {
                peer.send("job.submit", json!({ "agent": "chatty", "input": { "count": count } })).await;
                assert!(drain(&mut peer).await >= count);
                peer.ping("rest").await;
                after.push(held());
            }
            // Less than a byte for each event of the last job.
            assert!(after[3] < after[2] + 50_000, "{kept:?}: {after:?}");
        });
    }
}

/// Small bounds, so that what passes them stands out.
fn narrow() -> Config {
    Config::default().with(|config| {
        config.window = 1000;
        config.backlog_bytes = 256 << 10;
        config.log_events = 2000;
        config.log_bytes = 1 << 20;
        config.max_unwritten = 1000;
        config.max_sent_frame = 64 << 10;
    })
}

/// What may be held for one job and one session with the bounds of [`narrow`]: the log with its
/// overheads, and what is numbered, committed, or on its way to the store.
const BOUND: usize = 4 << 20;

#[test]
fn s40_a_client_that_never_reads_makes_its_job_wait_and_costs_no_more_than_the_bounds() {
    let _alone = alone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for kept in [Kept::InMemory, Kept::InSqlite] {
        let dir = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let server = sessions::start(kept.store(&dir), &narrow()).await;
            let mut peer = server.narrow(4);
            peer.hello(ALICE, &["ack"]).await;
            let before = held();
            // A gigabyte, if nothing stopped it.
            let input = json!({ "count": 1_000_000, "bytes": 1000 });
            let job = peer.submit("chatty", input).await;
            let (mut last, mut most) = (0, 0);
            // Until it stands still.
            while last != held() {
                last = held();
                for _ in 0..10 {
                    most = most.max(held());
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            assert!(most - before < BOUND, "{kept:?}: {} bytes", most - before);
            assert!(!peer.cancel(&job).await.is_null());
        });
    }
}

#[test]
fn t49_s40_an_observer_that_never_reads_costs_no_more_than_the_bounds() {
    let _alone = alone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for kept in [Kept::InMemory, Kept::InSqlite] {
        let dir = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let server = sessions::start(kept.store(&dir), &narrow()).await;
            let (mut owner, _) = sessions::open(&server, ALICE).await;
            let mut observer = server.narrow(4);
            observer.hello(ALICE, &["subscribe"]).await;
            let before = held();
            let input = json!({ "count": 20_000, "bytes": 1000, "start_delay_ms": 200 });
            let job = owner.submit("chatty", input).await;
            observer.subscribe(&job, true).await;
            let mut most = 0;
            let mut frames = 0;
            loop {
                let frame = owner.text().await.unwrap();
                frames += 1;
                if frame.contains("\"type\":\"job.result\"") {
                    break;
                }
                if frames % 100 == 0 {
                    let frame: Value = serde_json::from_str(&frame).unwrap();
                    owner.ack(frame["event_seq"].as_u64().unwrap()).await;
                    most = most.max(held());
                }
            }
            assert!(frames > 20_000);
            assert!(most - before < BOUND, "{kept:?}: {} bytes", most - before);
        });
    }
}

/// Sessions with a job each, that was submitted under a key and watched, and that are cut.
async fn leave_behind(server: &Memories<sessions::Stack>, round: u64) {
    for n in 0..20 {
        let (mut owner, _) = sessions::open(server, ALICE).await;
        let (mut watcher, _) = sessions::open(server, ALICE).await;
        let job = json!({
            "agent": "chatty", "input": { "count": 200, "bytes": 200, "delay_ms": 1 },
            "idempotency_key": format!("{round}/{n}"),
        });
        let job = owner.submit_with(job).await;
        watcher.subscribe(&job, true).await;
        assert_eq!(owner.job(&job).await.len(), watcher.job(&job).await.len());
    }
}

#[test]
fn t40_without_a_store_sessions_keys_logs_and_watches_go_after_their_time_with_no_traffic() {
    let _alone = alone();
    let builder = &mut tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let config = timed(|_| {});
        let over = config.retention + config.resume_window + config.key_lifetime + 2 * config.sweep;
        let server = sessions::start(None, &config).await;
        let mut left = Vec::new();
        for round in 0..3 {
            let before = held();
            leave_behind(&server, round).await;
            assert!(held() > before + (500 << 10), "there is something to forget");
            tokio::time::sleep(over).await;
            left.push(held());
        }
        // What the first round made room for may stay.
        assert!(left[2] < left[0] + (32 << 10), "{left:?}");
    });
}
