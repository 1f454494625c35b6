//! What a store remembers: resume in memory and across restarts, with nothing lost (§6.3, §7.2, §8.3).

#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::flaky::FlakyStore;
use arcp_core::store::{MemoryStore, Store};
use arcp_core::transport::Memory;
use arcp_tests::peer::numbers;
use arcp_tests::{ALICE, BOB, Memories, Peer, agents, features, tokens};
use arcp_tower::layer::Auth;
use arcp_tower::{AuthLayer, BearerTokens, Config, Runtime};
use serde_json::{Value, json};

type Stack = Auth<BearerTokens, Runtime>;

const FEATURES: [&str; 6] = ["ack", "subscribe", "list_jobs", "progress", "result_chunk", "agent_versions"];

/// A runtime on a store. Dropping it and starting another one is a restart.
async fn start(store: &Arc<dyn Store>) -> Memories<Stack> {
    start_with(store, &Config::default()).await
}

async fn start_with(store: &Arc<dyn Store>, config: &Config) -> Memories<Stack> {
    let builder = agents::all(Runtime::builder()).config(config.clone()).store(store.clone());
    let runtime = builder.open().await.unwrap();
    Memories::of(runtime.layer(AuthLayer::new(tokens())), config)
}

fn stores() -> Vec<Arc<dyn Store>> {
    let memory = Arc::new(MemoryStore::default());
    vec![memory.clone(), Arc::new(FlakyStore::new(memory))]
}

fn resume(welcome: &Value, last_event_seq: u64) -> Value {
    let mut hello = features(ALICE, &FEATURES);
    hello["resume"] = json!({
        "session_id": welcome["session_id"],
        "resume_token": welcome["payload"]["resume_token"],
        "last_event_seq": last_event_seq,
    });
    hello
}

/// Opens a session and keeps its welcome.
async fn open(server: &Memories<Stack>) -> (Peer<Memory>, Value) {
    let mut peer = server.connect();
    let welcome = peer.say_hello(features(ALICE, &FEATURES)).await;
    let kept = welcome.clone();
    peer.welcomed(welcome);
    (peer, kept)
}

async fn resumed(server: &Memories<Stack>, welcome: &Value, last_event_seq: u64) -> (Peer<Memory>, Value) {
    let mut peer = server.connect();
    let again = peer.say_hello(resume(welcome, last_event_seq)).await;
    assert_eq!(again["type"], "session.welcome", "{again}");
    let kept = again.clone();
    peer.welcomed(again);
    (peer, kept)
}

/// Failing on thousands of numbers should not print them.
fn contiguous_from(first: u64, frames: &[Value]) -> bool {
    numbers(frames).into_iter().eq(first..first + frames.len() as u64)
}

#[tokio::test(start_paused = true)]
async fn events_are_contiguous_with_a_store_too() {
    for store in stores() {
        let server = start(&store).await;
        let (mut peer, _) = open(&server).await;
        let job = peer.submit("chatty", json!({ "count": 5000 })).await;
        let frames = peer.job(&job).await;
        let lines = frames.iter().filter(|frame| frame["payload"]["kind"] == "log").count();
        assert_eq!(lines, 5000);
        assert!(contiguous_from(1, &frames));
    }
}

#[tokio::test(start_paused = true)]
async fn t27_a_cut_session_goes_on_where_it_was() {
    for store in stores() {
        let server = start(&store).await;
        let (mut peer, welcome) = open(&server).await;
        let job = peer.submit("chatty", json!({ "count": 100, "delay_ms": 10 })).await;
        let mut first = Vec::new();
        while first.len() < 20 {
            first.push(peer.kind("job.event").await);
        }
        drop(peer);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (mut peer, _) = resumed(&server, &welcome, 15).await;
        let frames = peer.job(&job).await;
        assert_eq!(numbers(&frames), (16..=101).collect::<Vec<_>>());
        for (a, b) in first[15..].iter().zip(&frames) {
            assert_eq!(a, b, "a replay is the same to the byte");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t31_after_a_restart_the_session_is_there_and_its_job_has_ended() {
    for store in stores() {
        let server = start(&store).await;
        let (mut peer, welcome) = open(&server).await;
        let done = peer.submit("chatty", json!({ "count": 3 })).await;
        let before = peer.job(&done).await;
        let job = peer.submit("chatty", json!({ "count": 100_000, "delay_ms": 10 })).await;
        let mut last = 0;
        while last < 10 {
            last = peer.kind("job.event").await["event_seq"].as_u64().unwrap();
        }
        drop((peer, server));

        let server = start(&store).await;
        let (mut peer, again) = resumed(&server, &welcome, 0).await;
        assert_ne!(again["payload"]["resume_token"], welcome["payload"]["resume_token"]);
        assert_eq!(peer.job(&done).await, before);
        let frames = peer.job(&job).await;
        let end = frames.last().unwrap();
        assert_eq!(end["type"], "job.error");
        assert_eq!(end["payload"]["details"]["reason"], "runtime_restarted");
        assert_eq!(end["payload"]["retryable"], true);
        let numbers = numbers(&frames);
        assert_eq!(numbers, (5..=*numbers.last().unwrap()).collect::<Vec<_>>());
        // And it is an ordinary session again.
        let more = peer.submit("echo", json!(1)).await;
        assert_eq!(peer.job(&more).await.len(), 1);
        // Another one can watch what ended, from the store.
        let mut other = server.connect();
        let welcome = other.say_hello(features(ALICE, &FEATURES)).await;
        other.welcomed(welcome);
        let subscribed = other.subscribe(&done, true).await;
        assert_eq!(subscribed["payload"]["current_status"], "success");
        assert_eq!(subscribed["payload"]["subscribed_from"], 4);
        assert_eq!(other.job(&done).await.len(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn resumes_at_the_same_time_do_not_end_the_session() {
    for store in stores() {
        let server = start(&store).await;
        let (peer, welcome) = open(&server).await;
        drop(peer);
        // A client that gave up on a resume, and is back before the server is through with it.
        let mut peers: Vec<_> = (0..3).map(|_| server.connect()).collect();
        let hellos = peers.iter_mut().map(|peer| peer.say_hello(resume(&welcome, 0)));
        for answer in futures_util::future::join_all(hellos).await {
            assert_eq!(answer["type"], "session.welcome", "{answer}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_resume_that_comes_late_does_not_void_the_token_of_the_one_before() {
    for store in stores() {
        let server = start(&store).await;
        let (_first, welcome) = open(&server).await;
        let (_second, newer) = resumed(&server, &welcome, 0).await;
        let (_late, _) = resumed(&server, &welcome, 0).await;
        let (mut peer, _) = resumed(&server, &newer, 0).await;
        peer.works().await;
        // Now that the newest was used, the first is of no more use.
        let refused = server.connect().say_hello(resume(&welcome, 0)).await;
        assert_eq!(refused["payload"]["code"], "RESUME_WINDOW_EXPIRED");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_found_by_its_key_is_followed_across_a_resume_and_a_restart() {
    let submit =
        json!({ "agent": "chatty", "input": { "count": 100, "delay_ms": 10 }, "idempotency_key": "k" });
    for restart in [false, true] {
        for store in stores() {
            let mut server = start(&store).await;
            let (mut owner, _) = open(&server).await;
            let job = owner.submit_with(submit.clone()).await;
            let (mut peer, welcome) = open(&server).await;
            assert_eq!(peer.submit_with(submit.clone()).await, job);
            drop(peer);
            if restart {
                drop((owner, server));
                server = start(&store).await;
            }
            let (mut peer, _) = resumed(&server, &welcome, 0).await;
            let frames = peer.job(&job).await;
            let end = if restart { "job.error" } else { "job.result" };
            assert_eq!(frames.last().unwrap()["type"], end);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t25_all_that_a_store_has_is_replayed_however_few_logs_a_session_holds() {
    for store in stores() {
        let config = Config::default().with(|config| config.max_session_logs = 2);
        let server = start_with(&store, &config).await;
        let (mut peer, welcome) = open(&server).await;
        for i in 0..6 {
            peer.submit("echo", json!(i)).await;
        }
        let open = peer.submit("chatty", json!({ "count": 100_000, "delay_ms": 100 })).await;
        peer.pick(|frame| frame["job_id"] == open && frame["payload"]["kind"] == "log").await;
        drop((peer, server));
        let server = start_with(&store, &config).await;
        for _ in 0..2 {
            let (mut peer, _) = resumed(&server, &welcome, 0).await;
            let frames = peer.job(&open).await;
            assert_eq!(frames.last().unwrap()["type"], "job.error");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stranger_cannot_resume() {
    for store in stores() {
        let server = start(&store).await;
        let (peer, welcome) = open(&server).await;
        drop(peer);
        let mut refusals = Vec::new();
        for change in ["token", "session", "principal"] {
            let mut hello = resume(&welcome, 0);
            match change {
                "token" => hello["resume"]["resume_token"] = json!("rt_wrong"),
                "session" => hello["resume"]["session_id"] = json!("sess_00000000000000000000000000"),
                _ => hello["auth"]["token"] = json!(BOB),
            }
            let mut peer = server.connect();
            let refused = peer.say_hello(hello).await;
            refusals.push((refused["payload"]["code"].clone(), refused["payload"]["message"].clone()));
        }
        assert_eq!(refusals[0].0, "RESUME_WINDOW_EXPIRED");
        assert!(refusals.windows(2).all(|pair| pair[0] == pair[1]), "{refusals:?}");
        resumed(&server, &welcome, 0).await;
    }
}
