//! How long and how much (§6.3, §6.5): a resume that comes too late is refused, and never gets less.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::{MemoryStore, Store};
use arcp_store_sqlite::{SqliteConfig, SqliteStore};
use arcp_tests::peer::numbers;
use arcp_tests::sessions::{FEATURES, Stack, code, contiguous_from, open, resume, resumed, say, start};
use arcp_tests::stores::{kept, servers};
use arcp_tests::{ALICE, BOB, Memories, features, timed};
use arcp_tower::Config;
use serde_json::{Value, json};
use tokio::time::sleep;

const GONE: &str = "RESUME_WINDOW_EXPIRED";

#[tokio::test(start_paused = true)]
async fn p5_bad_input_21_the_window_runs_from_the_loss_of_the_connection() {
    let config = Config::default().with(|c| c.resume_window = Duration::from_secs(60));
    let server = start(None, &config).await;
    let (mut peer, welcome) = open(&server, ALICE).await;
    assert_eq!(welcome["payload"]["resume_window_sec"], 60);
    // Long after the welcome.
    sleep(Duration::from_secs(600)).await;
    peer.ping("n").await;
    drop(peer);
    sleep(Duration::from_secs(59)).await;
    let (peer, welcome) = resumed(&server, ALICE, &welcome, 0).await;
    drop(peer);
    sleep(Duration::from_secs(61)).await;
    let (_, refused) = say(&server, resume(ALICE, &welcome, 0)).await;
    assert_eq!(code(&refused), GONE);
}

#[tokio::test(start_paused = true)]
async fn p6_t24_what_the_caps_force_out_is_refused_and_never_thinned() {
    // Two jobs in turn make many runs.
    for server in servers(&Config::default().with(|c| c.max_runs = 4)).await {
        let (mut peer, welcome) = open(&server, ALICE).await;
        let mut last = 0;
        for _ in 0..10 {
            let job = peer.submit("chatty", json!({ "count": 1 })).await;
            last = numbers(&peer.job(&job).await)[1];
        }
        drop(peer);
        let mut welcome = welcome;
        let mut reached = false;
        for from in 0..=last {
            let (mut peer, answer) = say(&server, resume(ALICE, &welcome, from)).await;
            if code(&answer).is_empty() {
                reached = true;
                let frames = peer.during(Duration::from_secs(1)).await;
                assert!(frames.len() as u64 == last - from && contiguous_from(from + 1, &frames), "{from}");
                welcome = answer;
            } else {
                assert!(code(&answer) == GONE && !reached, "{from}: {}", code(&answer));
            }
            assert_eq!(reached, from >= last - 8, "{from}");
        }
    }
}

/// Resumes a session from every number of it, one after the other: below some
/// number it is refused, and from there on nothing is missing. Returns that number.
async fn refused_below(server: &Memories<Stack>, token: &str, mut welcome: Value, last: u64) -> u64 {
    let mut floor = None;
    for from in 0..=last {
        let (mut peer, answer) = say(server, resume(token, &welcome, from)).await;
        if code(&answer).is_empty() {
            floor.get_or_insert(from);
            let frames = peer.during(Duration::from_secs(1)).await;
            assert!(frames.len() as u64 == last - from && contiguous_from(from + 1, &frames), "{from}");
            welcome = answer;
        } else {
            assert!(code(&answer) == GONE && floor.is_none(), "{from}: {}", code(&answer));
        }
    }
    floor.expect("from the newest number on it is always possible")
}

/// A session that never acknowledges, after ten jobs with a line of 1,000 bytes and a result each, and
/// after a sweep.
async fn unacknowledged(server: &Memories<Stack>, token: &str) -> Value {
    let (mut peer, welcome) = open(server, token).await;
    for _ in 0..10 {
        let job = peer.submit("chatty", json!({ "count": 1, "bytes": 1000 })).await;
        peer.job(&job).await;
        sleep(Duration::from_millis(5)).await;
    }
    drop(peer);
    sleep(Duration::from_secs(61)).await;
    welcome
}

#[tokio::test(start_paused = true)]
async fn p6_t24_s40_what_the_caps_by_bytes_force_out_is_refused_and_never_thinned() {
    for store in kept() {
        let server =
            start(Some(store.clone()), &timed(|c| (c.max_session_bytes, c.backlog_bytes) = (8000, 2000)))
                .await;
        let (first, second) = (unacknowledged(&server, ALICE).await, unacknowledged(&server, ALICE).await);
        for welcome in [first, second] {
            let floor = refused_below(&server, ALICE, welcome, 20).await;
            assert!((6..14).contains(&floor), "{floor}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s40_what_the_cap_of_a_principal_forces_out_is_its_oldest_and_nobody_elses() {
    for store in kept() {
        let server = start(Some(store.clone()), &timed(|c| c.max_principal_bytes = 19_000)).await;
        let bobs = unacknowledged(&server, BOB).await;
        let (first, second) = (unacknowledged(&server, ALICE).await, unacknowledged(&server, ALICE).await);
        let floor = refused_below(&server, ALICE, first, 20).await;
        assert!((2..18).contains(&floor), "{floor}");
        assert_eq!(refused_below(&server, ALICE, second, 20).await, 0);
        assert_eq!(refused_below(&server, BOB, bobs, 20).await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn s40_what_the_cap_in_all_forces_out_is_the_oldest_whose_ever_it_is() {
    for store in kept() {
        let server = start(Some(store.clone()), &timed(|c| c.max_kept_bytes = 19_000)).await;
        let bobs = unacknowledged(&server, BOB).await;
        let alices = unacknowledged(&server, ALICE).await;
        let floor = refused_below(&server, BOB, bobs, 20).await;
        assert!((2..18).contains(&floor), "{floor}");
        assert_eq!(refused_below(&server, ALICE, alices, 20).await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_has_yet_to_be_sent_what_is_forced_out_is_refused_as_a_whole() {
    for store in kept() {
        let server =
            start(Some(store.clone()), &timed(|c| (c.max_session_bytes, c.backlog_bytes) = (8000, 2000)))
                .await;
        let (mut peer, welcome) = open(&server, ALICE).await;
        let submit = json!({ "count": 50, "bytes": 1000, "delay_ms": 100 });
        let job = peer.submit("chatty", submit.clone()).await;
        peer.kind("job.event").await;
        drop(peer);
        sleep(Duration::from_secs(61)).await;
        for from in [0, 1] {
            let (_, refused) = say(&server, resume(ALICE, &welcome, from)).await;
            assert_eq!(code(&refused), GONE);
        }
        // The job came to its end all the same.
        let (mut peer, _) = open(&server, ALICE).await;
        let id = peer.send("session.list_jobs", json!({})).await;
        let listed = peer.reply(&id).await["payload"]["jobs"][0].clone();
        assert_eq!((&listed["job_id"], &listed["status"]), (&json!(job), &json!("success")));
    }
}

/// The disk is looked after as it fills, and not only by the clock.
#[tokio::test]
async fn a_client_that_never_acknowledges_does_not_fill_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("arcp.db");
    let mut sqlite = SqliteConfig::default();
    sqlite.wal_bytes = 1 << 20;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path, sqlite).unwrap());
    let config = Config::default().with(|c| {
        (c.max_session_bytes, c.backlog_bytes) = (2 << 20, 1 << 18);
        c.sweep = Duration::from_secs(3600);
    });
    let server = start(Some(store), &config).await;
    let (mut peer, _) = open(&server, ALICE).await;
    for round in 1..=8 {
        let job = peer.submit("chatty", json!({ "count": 2000, "bytes": 2000 })).await;
        let frames = peer.job(&job).await;
        assert_eq!(frames.len(), 2001, "nothing is missing while the connection is there");
        let size = std::fs::metadata(&path).unwrap().len();
        assert!(size < 16 << 20, "{size} bytes after {} MB", 4 * round);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_store_ended_jobs_that_a_session_had_yet_to_be_sent_are_bounded_too() {
    let server = start(None, &timed(|c| c.max_ended_bytes = 20_000)).await;
    let (mut peer, welcome) = open(&server, ALICE).await;
    for _ in 0..4 {
        peer.submit("chatty", json!({ "count": 10, "bytes": 1000, "delay_ms": 100 })).await;
    }
    drop(peer);
    sleep(Duration::from_secs(10)).await;
    let (_, refused) = say(&server, resume(ALICE, &welcome, 0)).await;
    assert_eq!(code(&refused), GONE);
}

#[tokio::test(start_paused = true)]
async fn without_a_store_a_log_that_had_to_go_is_refused_and_never_thinned() {
    let server = start(None, &Config::default().with(|c| c.max_session_logs = 3)).await;
    let (mut peer, mut welcome) = open(&server, ALICE).await;
    for _ in 0..6 {
        let job = peer.submit("chatty", json!({ "count": 1 })).await;
        peer.job(&job).await;
    }
    drop(peer);
    for from in 0..=12 {
        let (mut peer, answer) = say(&server, resume(ALICE, &welcome, from)).await;
        assert_eq!(code(&answer), if from < 6 { GONE } else { "" }, "{from}");
        if from >= 6 {
            let frames = peer.during(Duration::from_secs(1)).await;
            assert!(frames.len() as u64 == 12 - from && contiguous_from(from + 1, &frames));
            welcome = answer;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ran_too_far_ahead_is_refused_without_a_store_and_replayed_with_one() {
    let small = Config::default().with(|c| (c.window, c.log_events, c.max_unwritten) = (8, 16, 8));
    for (kept, server) in servers(&small).await.into_iter().enumerate() {
        let (mut peer, welcome) = open(&server, ALICE).await;
        let job = peer.submit("chatty", json!({ "count": 100, "delay_ms": 10 })).await;
        let first = peer.kind("job.event").await;
        drop(peer);
        sleep(Duration::from_secs(10)).await;
        let (mut peer, answer) = say(&server, resume(ALICE, &welcome, 1)).await;
        if kept == 0 {
            assert_eq!(code(&answer), GONE);
        } else {
            assert_eq!(first["event_seq"], 1);
            let frames = peer.job(&job).await;
            assert!(frames.len() == 100 && contiguous_from(2, &frames));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn beyond_its_principals_cap_a_session_without_a_connection_goes_first() {
    let server = start(None, &Config::default().with(|c| c.max_sessions = 3)).await;
    let (_kept, kept) = open(&server, ALICE).await;
    let (cut, first) = open(&server, ALICE).await;
    drop(cut);
    let (_bob, _) = open(&server, BOB).await;
    sleep(Duration::from_secs(1)).await;
    let (_a, _) = open(&server, ALICE).await;
    let (_, still) = say(&server, resume(ALICE, &first, 0)).await;
    assert_eq!(code(&still), "");
    let (_b, _) = open(&server, ALICE).await;
    let (_, refused) = say(&server, features(ALICE, &FEATURES)).await;
    assert_eq!(refused["payload"]["details"]["reason"], "limit", "{refused}");
    resumed(&server, ALICE, &kept, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_runs_is_replayed_however_many_others_came_and_went_meanwhile() {
    for server in servers(&Config::default().with(|c| c.max_session_logs = 4)).await {
        let (mut peer, welcome) = open(&server, ALICE).await;
        let long = peer.submit("chatty", json!({ "count": 3, "delay_ms": 60_000 })).await;
        let mut last = 0;
        for _ in 0..10 {
            let job = peer.submit("chatty", json!({ "count": 1 })).await;
            last = peer.job(&job).await.pop().unwrap()["event_seq"].as_u64().unwrap();
        }
        let frames = peer.job(&long).await;
        drop(peer);
        let (mut peer, _) = resumed(&server, ALICE, &welcome, last).await;
        assert_eq!(peer.job(&long).await, frames[frames.len() - 3..]);
    }
}

#[tokio::test(start_paused = true)]
async fn inputs_that_are_together_larger_than_a_store_fill_it_for_nobody() {
    let config = timed(|c| {
        (c.max_session_bytes, c.backlog_bytes) = (4 << 20, 1 << 20);
        c.sweep = Duration::from_secs(3600);
    });
    let server = start(Some(Arc::new(MemoryStore::with_room(16 << 20))), &config).await;
    let (mut alice, _) = open(&server, ALICE).await;
    let (mut bob, _) = open(&server, BOB).await;
    for n in 0..60 {
        let large = alice.submit("slow", json!({ "ms": 1, "pad": "x".repeat(1 << 19) })).await;
        alice.job(&large).await;
        let small = bob.submit("echo", json!(n)).await;
        assert_eq!(bob.job(&small).await.last().unwrap()["payload"]["result"], n, "{n}");
        sleep(Duration::from_millis(100)).await;
    }
}
