//! What goes on when a store works again: what was lost with it costs nobody anything afterwards.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::flaky::{FlakyStore, Step};
use arcp_core::store::{MemoryStore, Store, StoreError};
use arcp_core::transport::Memory;
use arcp_tests::peer::{is_terminal, numbers};
use arcp_tests::sessions::{Stack, code, contiguous_from, open, resume, resumed, say, start};
use arcp_tests::stores::servers;
use arcp_tests::{ALICE, ALL, BOB, Memories, Peer, Process, features, timed};
use arcp_tower::Config;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

/// The frames of a job whose client acknowledges each of them at once.
async fn acknowledged(peer: &mut Peer<Memory>, job: &str) -> Vec<Value> {
    let mut frames = Vec::new();
    while !frames.last().is_some_and(is_terminal) {
        let frame = peer.pick(|frame| frame["job_id"] == job && frame["event_seq"].is_u64()).await;
        peer.ack(frame["event_seq"].as_u64().unwrap()).await;
        frames.push(frame);
    }
    frames
}

#[tokio::test(start_paused = true)]
async fn p18_events_that_could_not_be_kept_take_nothing_from_the_next_job_of_their_connection() {
    for bytes in [0, 1000] {
        // More than the window, or more than the bytes, are lost in all.
        let config = Config::default().with(|c| (c.window, c.backlog_bytes) = (64, 40_000));
        let process = Arc::new(Process::of(Arc::new(MemoryStore::default())));
        let server = start(Some(process.clone()), &config).await;
        let (mut alice, _) = open(&server, ALICE).await;
        for round in 0..8 {
            let chatty = json!({ "count": 1000, "delay_ms": 100, "bytes": bytes });
            let lost = alice.submit("chatty", chatty).await;
            let first = alice.kind("job.event").await;
            alice.ack(first["event_seq"].as_u64().unwrap()).await;
            // Acks are written in their own time, and a connection that cannot keep one ends.
            alice.during(Duration::from_millis(2500)).await;
            process.refuse("alice", &StoreError::Full);
            let silent = alice.during(Duration::from_secs(60)).await;
            assert!(numbers(&silent).is_empty(), "what cannot be kept is not sent");
            process.accept();
            let end = acknowledged(&mut alice, &lost).await.pop().unwrap();
            assert_eq!(end["payload"]["details"]["reason"], "store", "{round}: {end}");
        }
        let job = alice.submit("chatty", json!({ "count": 100, "delay_ms": 1, "bytes": bytes })).await;
        let frames = acknowledged(&mut alice, &job).await;
        assert_eq!(frames.len(), 101);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hello_that_was_given_up_before_it_was_kept_leaves_no_session_for_ever() {
    let config = timed(|c| {
        c.handshake_timeout = Duration::from_secs(5);
        c.resume_window = Duration::from_secs(60);
        c.retention = Duration::from_secs(3600);
        c.sweep = Duration::from_secs(10);
        c.max_sessions = 1;
    });
    let store = Arc::new(FlakyStore::new(MemoryStore::default()));
    let server = start(Some(store.clone()), &config).await;
    let (step, hold) = Step::pass().held();
    store.plan_commit(step);
    let mut peer = server.connect();
    peer.send("session.hello", features(ALICE, &ALL)).await;
    peer.closed().await;
    hold.release();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(store.inner().sessions(), 1, "it was kept after all");
    // Nor does it take the place of another one.
    drop(open(&server, ALICE).await);
    sleep(Duration::from_secs(2 * 3600)).await;
    assert_eq!(store.inner().sessions(), 0);
}

fn python() -> Value {
    let mut hello = features(ALICE, &ALL);
    hello["capabilities"]["agents"] = json!([]);
    hello
}

async fn from_python(server: &Memories<Stack>) -> Peer<Memory> {
    let mut peer = server.connect();
    let welcome = peer.say_hello(python()).await;
    peer.welcomed(welcome);
    peer
}

#[tokio::test(start_paused = true)]
async fn for_python_the_refusal_of_one_job_too_many_comes_to_its_end() {
    for server in servers(&Config::default().with(|c| c.max_feeds = 2)).await {
        let mut peer = from_python(&server).await;
        for _ in 0..2 {
            peer.submit("slow", json!({ "ms": 60_000 })).await;
        }
        let refused = peer.submit("echo", json!(1)).await;
        let end = peer.job(&refused).await.pop().unwrap();
        assert_eq!(end["payload"]["details"]["reason"], "limit", "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn for_python_a_refusal_that_the_store_does_not_take_waits_for_it_and_only_so_many_do() {
    let config = Config::default().with(|c| c.max_in_flight = 4);
    let process = Arc::new(Process::of(Arc::new(MemoryStore::default()) as Arc<dyn Store>));
    let server = start(Some(process.clone()), &config).await;
    let mut peer = from_python(&server).await;
    let slow = peer.submit("slow", json!({ "ms": 600_000 })).await;
    peer.kind("job.event").await;
    process.refuse("alice", &StoreError::Full);
    let mut refused = Vec::new();
    for n in 0..4 {
        refused.push(peer.submit("echo", json!(n)).await);
    }
    let silent = peer.during(Duration::from_secs(30)).await;
    assert!(numbers(&silent).is_empty(), "what cannot be kept is not sent: {silent:?}");
    process.accept();
    let mut ends = Vec::new();
    for _ in &refused {
        let end = peer.pick(is_terminal).await;
        assert_eq!(code(&end), "INTERNAL_ERROR", "{end}");
        ends.push(end);
    }
    assert!(contiguous_from(2, &ends));
    assert!(refused.iter().all(|job| ends.iter().any(|end| end["job_id"] == **job)));
    peer.cancel(&slow).await;

    // More than that end the connection: who asked would wait in vain.
    let mut peer = from_python(&server).await;
    peer.submit("slow", json!({ "ms": 600_000 })).await;
    process.refuse("alice", &StoreError::Full);
    for n in 0..5 {
        peer.send("job.submit", json!({ "agent": "echo", "input": n })).await;
    }
    assert_eq!(peer.closed().await.code, 1011);
}

#[tokio::test(start_paused = true)]
async fn an_ended_job_is_not_found_running_by_who_comes_before_its_end_is_kept() {
    let store = Arc::new(FlakyStore::new(MemoryStore::default()));
    let server = start(Some(store.clone()), &Config::default().with(|c| c.max_ended_jobs = 0)).await;
    let (mut alice, _) = open(&server, ALICE).await;
    let (mut watcher, _) = open(&server, ALICE).await;
    let job = alice.submit("slow", json!({ "ms": 1000 })).await;
    alice.kind("job.event").await;
    let (step, hold) = Step::pass().held();
    store.plan_commit(step);
    sleep(Duration::from_secs(2)).await;
    // It has ended, its end is on its way, and there is no room for ended jobs.
    let (mut bob, _) = open(&server, BOB).await;
    for n in 0..3 {
        let other = bob.submit("echo", json!(n)).await;
        bob.job(&other).await;
    }
    let subscribed = watcher.send("job.subscribe", json!({ "job_id": job, "history": true })).await;
    sleep(Duration::from_secs(1)).await;
    hold.release();
    watcher.reply(&subscribed).await;
    let frames = timeout(Duration::from_secs(10), watcher.job(&job)).await.expect("it hears of the end");
    assert_eq!(frames.last().unwrap()["payload"]["result"], "slept");
}

#[tokio::test(start_paused = true)]
async fn a_resume_that_could_not_be_kept_does_not_end_the_session_that_the_next_one_has() {
    let process = Arc::new(Process::of(Arc::new(MemoryStore::default())));
    let config = timed(|c| c.resume_window = Duration::from_secs(60));
    let server = start(Some(process.clone()), &config).await;
    let (peer, welcome) = open(&server, ALICE).await;
    drop(peer);
    sleep(Duration::from_secs(1)).await;
    process.refuse("alice", &StoreError::Full);
    let (_, refused) = say(&server, resume(ALICE, &welcome, 0)).await;
    assert_eq!(refused["payload"]["details"]["reason"], "store", "{refused}");
    process.accept();
    let (peer, welcome) = resumed(&server, ALICE, &welcome, 0).await;
    // Its connection is there all the time, for much longer than one may be missing.
    sleep(Duration::from_secs(600)).await;
    drop(peer);
    resumed(&server, ALICE, &welcome, 0).await;
}
