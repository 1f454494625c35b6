//! What is forgotten, and when (§6.3, §6.5, §7.2): driven by the clock, whether there is traffic or
//! not, and the same after a restart.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::flaky::{FlakyStore, Step};
use arcp_core::store::{MemoryStore, Store};
use arcp_tests::peer::numbers;
use arcp_tests::sessions::{code, contiguous_from, open, resume, resumed, say, start};
use arcp_tests::stores::kept;
use arcp_tests::{ALICE, timed};
use arcp_tower::Config;
use serde_json::{Value, json};
use tokio::time::sleep;

const GONE: &str = "RESUME_WINDOW_EXPIRED";

fn store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::default())
}

/// A window of a minute, retention of an hour, a sweep every ten seconds.
fn config() -> Config {
    timed(|c| {
        c.resume_window = Duration::from_secs(60);
        c.retention = Duration::from_secs(3600);
        c.sweep = Duration::from_secs(10);
    })
}

fn session_of(welcome: &Value) -> arcp_core::SessionId {
    welcome["session_id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn t39_a_caught_up_session_is_resumable_for_its_window_and_then_gone_from_the_store() {
    for restart in [false, true] {
        // An idle connection is closed in time; this one is to be lost later.
        let (store, config) = (store(), config().with(|c| c.idle_timeout = Duration::from_secs(86_400)));
        let mut server = start(Some(store.clone()), &config).await;
        let (peer, welcome) = open(&server, ALICE).await;
        // Long after it was opened: the window begins when the connection is lost.
        sleep(Duration::from_secs(7200)).await;
        drop(peer);
        sleep(Duration::from_secs(55)).await;
        if restart {
            server = start(Some(store.clone()), &config).await;
        }
        let (peer, welcome) = resumed(&server, ALICE, &welcome, 0).await;
        sleep(Duration::from_secs(600)).await;
        drop(peer);
        sleep(Duration::from_secs(61)).await;
        let (_, refused) = say(&server, resume(ALICE, &welcome, 0)).await;
        assert_eq!(code(&refused), GONE, "restart: {restart}");
        sleep(Duration::from_secs(10)).await;
        assert_eq!(store.session(&session_of(&welcome)).await.unwrap(), None, "restart: {restart}");
    }
}

#[tokio::test(start_paused = true)]
async fn p6_t38_what_was_not_acknowledged_outlives_the_window() {
    let server = start(Some(store()), &config()).await;
    let (mut peer, welcome) = open(&server, ALICE).await;
    let job = peer.submit("chatty", json!({ "count": 5 })).await;
    let frames = peer.job(&job).await;
    drop(peer);
    sleep(Duration::from_secs(3500)).await;
    let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
    assert!(peer.job(&job).await == frames);
}

#[tokio::test(start_paused = true)]
async fn p6_what_was_not_acknowledged_outlives_the_window_after_a_kill_too() {
    for store in kept() {
        let config = config();
        let server = start(Some(store.clone()), &config).await;
        let (mut peer, welcome) = open(&server, ALICE).await;
        let job = peer.submit("chatty", json!({ "count": 5 })).await;
        let frames = peer.job(&job).await;
        // Another one is to be sent the end of a job yet.
        let (mut other, waiting) = open(&server, ALICE).await;
        other.submit("slow", json!({})).await;
        other.kind("job.event").await;
        other.send("session.ack", json!({ "last_processed_seq": 1 })).await;
        other.ping("n").await;
        sleep(Duration::from_secs(1)).await;
        std::mem::forget((peer, other, server));
        let server = start(Some(store.clone()), &config).await;
        sleep(Duration::from_secs(3500)).await;
        let (mut peer, welcome) = resumed(&server, ALICE, &welcome, 0).await;
        assert!(peer.job(&job).await == frames);
        let (mut other, _) = resumed(&server, ALICE, &waiting, 1).await;
        assert_eq!(other.kind("job.error").await["payload"]["details"]["reason"], "runtime_restarted");
        std::mem::forget((peer, other, server));
        let server = start(Some(store), &config).await;
        sleep(Duration::from_secs(3611)).await;
        let (_, refused) = say(&server, resume(ALICE, &welcome, 0)).await;
        assert_eq!(code(&refused), GONE);
    }
}

#[tokio::test(start_paused = true)]
async fn by_default_what_was_not_acknowledged_is_there_for_a_day() {
    let config = timed(|_| {});
    for store in [None, Some(store() as Arc<dyn Store>)] {
        let server = start(store, &config).await;
        let (mut peer, welcome) = open(&server, ALICE).await;
        let job = peer.submit("chatty", json!({ "count": 5 })).await;
        let frames = peer.job(&job).await;
        drop(peer);
        sleep(Duration::from_secs(86_000)).await;
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
        assert!(peer.job(&job).await == frames);
    }
}

#[tokio::test(start_paused = true)]
async fn p5_a_session_that_a_killed_process_left_has_its_window_from_the_restart_on() {
    let (store, config) = (store(), config());
    let server = start(Some(store.clone()), &config).await;
    let (peer, welcome) = open(&server, ALICE).await;
    std::mem::forget(peer);
    // Nothing was written when the process ended; an hour later the next one comes.
    sleep(Duration::from_secs(3600)).await;
    let server = start(Some(store.clone()), &config).await;
    sleep(Duration::from_secs(55)).await;
    let (peer, welcome) = resumed(&server, ALICE, &welcome, 0).await;
    std::mem::forget(peer);
    let server = start(Some(store.clone()), &config).await;
    sleep(Duration::from_secs(75)).await;
    let (_, refused) = say(&server, resume(ALICE, &welcome, 0)).await;
    assert_eq!(code(&refused), GONE);
    assert_eq!(store.session(&session_of(&welcome)).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_resume_below_what_was_forgotten_is_refused_and_disturbs_nobody() {
    let store = store();
    let server = start(Some(store), &config()).await;
    let (mut peer, welcome) = open(&server, ALICE).await;
    let job = peer.submit("chatty", json!({ "count": 5 })).await;
    assert!(contiguous_from(1, &peer.job(&job).await));
    peer.send("session.ack", json!({ "last_processed_seq": 6 })).await;
    // The token is confirmed, so that the same one is presented throughout.
    peer.ping("n").await;
    let mut newest = welcome.clone();
    for wait in [0, 1800] {
        sleep(Duration::from_secs(wait)).await;
        let (mut other, again) = say(&server, resume(ALICE, &welcome, 2)).await;
        assert_eq!(code(&again), "", "acknowledged, and still kept");
        assert_eq!(numbers(&other.during(Duration::from_secs(1)).await), [3, 4, 5, 6]);
        (peer, newest) = (other, again);
    }
    sleep(Duration::from_secs(2000)).await;
    let (_, refused) = say(&server, resume(ALICE, &welcome, 2)).await;
    assert_eq!(code(&refused), GONE);
    let job = peer.submit("echo", json!("still here")).await;
    assert_eq!(numbers(&peer.job(&job).await), [7]);
    let (mut peer, _) = resumed(&server, ALICE, &newest, 6).await;
    assert_eq!(numbers(&peer.job(&job).await), [7]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_still_runs_is_not_replayed_from_below_what_it_lost() {
    let server = start(Some(store()), &config()).await;
    let (mut peer, welcome) = open(&server, ALICE).await;
    let job = peer.submit("chatty", json!({ "count": 8, "delay_ms": 1_000_000 })).await;
    for _ in 0..3 {
        peer.kind("job.event").await;
    }
    peer.send("session.ack", json!({ "last_processed_seq": 3 })).await;
    peer.ping("n").await;
    let (mut peer, mut newest) = resumed(&server, ALICE, &welcome, 3).await;
    peer.ping("n").await;
    sleep(Duration::from_secs(4200)).await;
    for (from, refusal) in [(0, GONE), (1, GONE), (3, "")] {
        let (mut other, answer) = say(&server, resume(ALICE, &newest, from)).await;
        assert_eq!(code(&answer), refusal, "from {from}");
        if refusal.is_empty() {
            let rest = other.job(&job).await;
            assert!(contiguous_from(4, &rest) && rest.len() == 6);
            newest = answer;
        } else {
            peer.ping("whoever has the session is not disturbed").await;
        }
    }
    resumed(&server, ALICE, &newest, 9).await;
}

#[tokio::test(start_paused = true)]
async fn t39_t40_ended_jobs_and_their_events_go_after_their_time_without_any_traffic() {
    let store = store();
    let server = start(Some(store.clone()), &config()).await;
    let (mut peer, _) = open(&server, ALICE).await;
    let job = peer.submit("chatty", json!({ "count": 5 })).await;
    peer.job(&job).await;
    peer.send("session.ack", json!({ "last_processed_seq": 6 })).await;
    sleep(Duration::from_secs(3500)).await;
    let id = job.parse().unwrap();
    assert!(store.job("alice", &id).await.unwrap().is_some());
    sleep(Duration::from_secs(200)).await;
    assert_eq!(store.job("alice", &id).await.unwrap(), None);
    assert!(store.job_events(&id, 0, 1 << 20).await.unwrap().items.is_empty());
}

#[tokio::test(start_paused = true)]
async fn bad_input_34_a_key_is_held_for_its_lifetime_and_no_longer_across_restarts_too() {
    for stored in [false, true] {
        let config = config().with(|c| c.key_lifetime = Duration::from_secs(1000));
        let store: Option<Arc<dyn Store>> = if stored { Some(store()) } else { None };
        let server = start(store.clone(), &config).await;
        let (mut peer, _) = open(&server, ALICE).await;
        let submit = json!({ "agent": "echo", "input": 1, "idempotency_key": "once" });
        let job = peer.submit_with(submit.clone()).await;
        sleep(Duration::from_secs(990)).await;
        let server = if stored { start(store, &config).await } else { server };
        let (mut peer, _) = open(&server, ALICE).await;
        assert_eq!(peer.submit_with(submit.clone()).await, job);
        sleep(Duration::from_secs(11)).await;
        assert_ne!(peer.submit_with(submit).await, job);
    }
}

#[tokio::test(start_paused = true)]
async fn the_number_of_a_job_is_listed_after_a_restart_as_before() {
    let (store, config) = (store(), config());
    let list = |server: arcp_tests::Memories<_>| async move {
        let (mut peer, _) = open(&server, ALICE).await;
        let id = peer.send("session.list_jobs", json!({})).await;
        peer.reply(&id).await["payload"]["jobs"].clone()
    };
    let server = start(Some(store.clone()), &config).await;
    let (mut peer, _) = open(&server, ALICE).await;
    for count in [3, 5] {
        let job = peer.submit("chatty", json!({ "count": count })).await;
        peer.job(&job).await;
        sleep(Duration::from_millis(5)).await;
    }
    peer.send("session.ack", json!({ "last_processed_seq": 10 })).await;
    peer.ping("n").await;
    let before = list(server).await;
    assert_eq!((&before[0]["last_event_seq"], &before[1]["last_event_seq"]), (&json!(10), &json!(4)));
    sleep(Duration::from_secs(100)).await;
    assert_eq!(list(start(Some(store), &config).await).await, before);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_of_a_listing_is_good_after_a_restart() {
    let (store, config) = (store(), config());
    let server = start(Some(store.clone()), &config).await;
    let (mut peer, _) = open(&server, ALICE).await;
    let first = peer.submit("echo", json!(1)).await;
    sleep(Duration::from_millis(5)).await;
    peer.submit("echo", json!(2)).await;
    let id = peer.send("session.list_jobs", json!({ "limit": 1 })).await;
    let cursor = peer.reply(&id).await["payload"]["next_cursor"].clone();
    let server = start(Some(store), &config).await;
    let (mut peer, _) = open(&server, ALICE).await;
    let id = peer.send("session.list_jobs", json!({ "limit": 1, "cursor": cursor })).await;
    assert_eq!(peer.reply(&id).await["payload"]["jobs"][0]["job_id"], json!(first));
}

#[tokio::test(start_paused = true)]
async fn without_a_store_a_watched_job_that_ran_on_too_far_refuses_the_resume() {
    let config = config().with(|c| (c.window, c.log_events, c.log_bytes) = (8, 16, 1));
    let server = start(None, &config).await;
    let (mut owner, _) = open(&server, ALICE).await;
    let (mut watcher, welcome) = open(&server, ALICE).await;
    let job = owner.submit("chatty", json!({ "count": 100, "delay_ms": 10 })).await;
    watcher.send("job.subscribe", json!({ "job_id": job })).await;
    watcher.kind("job.event").await;
    drop(watcher);
    owner.job(&job).await;
    let (_, refused) = say(&server, resume(ALICE, &welcome, 1)).await;
    assert_eq!(code(&refused), GONE, "welcomed, it would be closed at once, each time");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_slow_is_not_the_clients_fault() {
    let store = Arc::new(FlakyStore::new(MemoryStore::default()));
    let server = start(Some(store.clone()), &config()).await;
    let (peer, welcome) = open(&server, ALICE).await;
    drop(peer);
    sleep(Duration::from_secs(1)).await;
    let (step, hold) = Step::pass().held();
    store.plan_read(step);
    let (_, refused) = say(&server, resume(ALICE, &welcome, 0)).await;
    assert_eq!(code(&refused), "INTERNAL_ERROR", "{refused}");
    assert_eq!(refused["payload"]["retryable"], true);
    hold.release();
    resumed(&server, ALICE, &welcome, 0).await;
}

#[tokio::test(start_paused = true)]
async fn times_that_no_clock_can_hold_are_as_good_as_a_year() {
    let config = Config::default().with(|c| {
        (c.retention, c.resume_window, c.close_timeout) = (Duration::MAX, Duration::MAX, Duration::MAX);
    });
    let server = arcp_tests::Memories::of(arcp_tests::guarded(&config), &config);
    for _ in 0..2 {
        let mut peer = server.open(ALICE, &arcp_tests::ALL).await;
        let job = peer.submit("echo", json!(1)).await;
        assert_eq!(peer.job(&job).await.last().unwrap()["type"], "job.result");
        drop(peer);
        tokio::time::sleep(Duration::from_secs(86_400)).await;
    }
}
