//! Control traffic passes whatever else waits (§6.4, §6.5), and nobody who reads slowly slows others.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use arcp_core::transport::Memory;
use arcp_tests::peer::{is_terminal, numbers};
use arcp_tests::{ALICE, ALL, BOB, Memories, Peer, guarded, runtime, tokens};
use arcp_tower::layer::Quota;
use arcp_tower::runtime::CommandFuture;
use arcp_tower::{AuthLayer, Config, Mount, PrincipalRateLayer, each_session};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tower::ServiceBuilder;
use tower::util::MapFutureLayer;

pub(crate) const BEATING: [&str; 6] =
    ["heartbeat", "ack", "subscribe", "progress", "result_chunk", "agent_versions"];

/// A session whose window is shut: it acknowledged once, and then not. `job` has more to say.
pub(crate) async fn shut(config: &Config, count: u64) -> (Memories<impl Mount>, Peer<Memory>, String, u64) {
    let memories = Memories::of(guarded(config), config);
    let mut peer = memories.open(ALICE, &ALL).await;
    let job = peer.submit("chatty", json!({ "count": count, "delay_ms": 1 })).await;
    peer.pick(|frame| frame["event_seq"] == 1).await;
    peer.ack(1).await;
    let frames = peer.during(Duration::from_secs(60)).await;
    let last = *numbers(&frames).last().unwrap();
    assert!(last < count, "the window is shut");
    assert!(!frames.iter().any(is_terminal));
    (memories, peer, job, last)
}

/// Everything that must work at once, while something else is held. `job` is one that runs.
pub(crate) async fn control_works(peer: &mut Peer<Memory>, job: &str) {
    let began = Instant::now();
    for n in 0..100 {
        peer.ping(&format!("n{n}")).await;
    }
    peer.send("session.pong", json!({ "ping_nonce": "of nobody" })).await;
    // An ack that is refused is answered; one that is taken is not.
    let id = peer.send("session.ack", json!({ "last_processed_seq": u32::MAX })).await;
    assert_eq!(peer.reply(&id).await["payload"]["code"], "INVALID_REQUEST");
    assert_eq!(peer.cancel(job).await["type"], "job.cancelled");
    assert_eq!(began.elapsed(), Duration::ZERO, "nothing of this waits");
}

pub(crate) async fn close_works(peer: &mut Peer<Memory>) {
    let began = Instant::now();
    peer.send("session.close", json!({ "reason": "done" })).await;
    let closed = peer.kind("session.closed").await;
    assert_eq!(closed["payload"]["reason"], "done");
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(peer.closed().await.code, 1000);
}

#[tokio::test(start_paused = true)]
async fn p18_control_traffic_is_answered_while_the_ack_window_is_shut() {
    let config = Config::default().with(|c| c.window = 8);
    let (_memories, mut peer, job, last) = shut(&config, 1000).await;
    assert!(last <= 1 + 8 + 1, "one acknowledged, a window, and the word about it: {last}");
    control_works(&mut peer, &job).await;
    let end = peer.job(&job).await.pop().unwrap();
    assert_eq!(end["payload"]["code"], "CANCELLED", "the end needs no credit");
    peer.ack(end["event_seq"].as_u64().unwrap()).await;
    peer.works().await;
    close_works(&mut peer).await;
}

#[tokio::test(start_paused = true)]
async fn t45_a_session_can_be_closed_while_its_ack_window_is_shut() {
    let config = Config::default().with(|c| c.window = 8);
    let (memories, mut peer, job, _) = shut(&config, 1000).await;
    close_works(&mut peer).await;
    // The job goes on: nobody waits for a session that is gone.
    let mut watcher = memories.open(ALICE, &ALL).await;
    watcher.subscribe(&job, true).await;
    assert_eq!(watcher.job(&job).await.last().unwrap()["payload"]["result"]["emitted"], 1000);

    // Nor does a runtime that stops wait for an ack.
    let (_memories, mut peer, ..) = shut(&config, 1000).await;
    let began = Instant::now();
    config.shutdown.cancel();
    assert_eq!(peer.closed().await.code, 1012);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_ack_opens_the_window_by_as_much_as_it_says() {
    let config = Config::default().with(|c| c.window = 8);
    let (_memories, mut peer, job, mut last) = shut(&config, 200).await;
    let mut frames = Vec::new();
    while !frames.last().is_some_and(is_terminal) {
        peer.ack(last).await;
        let more = peer.during(Duration::from_secs(10)).await;
        let come = numbers(&more).len();
        assert!((1..=8 + 2).contains(&come), "a window, the word about it, and the end: {come}");
        last = *numbers(&more).last().unwrap();
        frames.extend(more);
    }
    assert_eq!(frames.last().unwrap()["job_id"], job.as_str());
}

#[tokio::test(start_paused = true)]
async fn control_traffic_is_answered_while_a_principals_rate_holds() {
    let config = Config::default();
    let quota = Quota::per_second(NonZeroU32::MIN);
    let stack = ServiceBuilder::new()
        .layer(AuthLayer::new(tokens()))
        .layer(PrincipalRateLayer::new(quota))
        .service(runtime(&config));
    let memories = Memories::of(stack, &config);
    let mut peer = memories.open(ALICE, &ALL).await;
    let job = peer.submit("slow", json!({})).await;
    let began = Instant::now();
    for _ in 0..3 {
        peer.send("job.submit", json!({ "agent": "echo", "input": 1 })).await;
    }
    control_works(&mut peer, &job).await;
    // The rate is the principal's, whatever the session; it is nobody else's.
    let mut other = memories.open(BOB, &ALL).await;
    other.works().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    for second in 1..=3 {
        peer.kind("job.accepted").await;
        assert_eq!(began.elapsed().as_secs(), second, "one a second");
    }
    let mut sibling = memories.open(ALICE, &ALL).await;
    sibling.works().await;
    assert_eq!(began.elapsed().as_secs(), 4);
    close_works(&mut peer).await;
}

#[tokio::test(start_paused = true)]
async fn control_traffic_is_answered_while_towers_rate_limit_holds() {
    let config = Config::default();
    let hour = Duration::from_secs(3600);
    let stack = ServiceBuilder::new()
        .layer(AuthLayer::new(tokens()))
        .layer(each_session(tower::limit::RateLimitLayer::new(1, hour)))
        .service(runtime(&config));
    let memories = Memories::of(stack, &config);
    let mut peer = memories.open(ALICE, &BEATING[1..]).await;
    let began = Instant::now();
    let job = peer.submit("slow", json!({})).await;
    let held = peer.send("job.submit", json!({ "agent": "echo", "input": 1 })).await;
    control_works(&mut peer, &job).await;
    // A limit below `each_session` is each session's own.
    memories.open(ALICE, &ALL).await.works().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(peer.reply(&held).await["type"], "job.accepted");
    assert_eq!(began.elapsed().as_secs(), 3600);
    close_works(&mut peer).await;
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_survives_a_rate_limit_that_holds_for_an_hour() {
    let config = Config::default();
    let limit = tower::limit::RateLimitLayer::new(1, Duration::from_secs(3600));
    let stack = ServiceBuilder::new()
        .layer(AuthLayer::new(tokens()))
        .layer(each_session(limit))
        .service(runtime(&config));
    let mut peer = Memories::of(stack, &config).open(ALICE, &BEATING).await;
    peer.submit("echo", json!(1)).await;
    let held = peer.send("job.submit", json!({ "agent": "echo", "input": 2 })).await;
    loop {
        let frame = peer.next().await;
        if frame["type"] == "session.ping" {
            peer.send("session.pong", json!({ "ping_nonce": frame["payload"]["nonce"] })).await;
        } else if frame["payload"]["request_id"] == held.as_str() {
            assert_eq!(frame["type"], "job.accepted");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn control_traffic_is_answered_while_towers_concurrency_limit_holds() {
    let config = Config::default();
    let gate = Arc::new(Semaphore::new(1));
    let held = gate.clone();
    // Commands are quick by themselves; these wait for a permit, one of them at a time.
    let waits = MapFutureLayer::new(move |command: CommandFuture| {
        let gate = held.clone();
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            command.await
        })
    });
    let stack = ServiceBuilder::new()
        .layer(AuthLayer::new(tokens()))
        .layer(each_session(ServiceBuilder::new().concurrency_limit(1).layer(waits).into_inner()))
        .service(runtime(&config));
    let mut peer = Memories::of(stack, &config).open(ALICE, &ALL).await;
    let job = peer.submit("slow", json!({})).await;
    let mut ids = Vec::new();
    for n in 0..50 {
        ids.push(peer.send("job.submit", json!({ "agent": "echo", "input": n })).await);
        if n == 20 {
            control_works(&mut peer, &job).await;
        }
    }
    peer.ping("still").await;
    gate.add_permits(ids.len());
    for id in ids {
        assert_eq!(peer.reply(&id).await["type"], "job.accepted");
    }
    close_works(&mut peer).await;
}

#[tokio::test(start_paused = true)]
async fn t41_the_runtime_pings_every_interval_whatever_the_traffic_is() {
    let config = Config::default();
    let mut peer = Memories::of(guarded(&config), &config).open(ALICE, &BEATING).await;
    peer.submit("chatty", json!({ "count": 400, "delay_ms": 1000 })).await;
    let began = Instant::now();
    let mut pings = Vec::new();
    while pings.len() < 10 {
        let frame = peer.next().await;
        match frame["type"].as_str().unwrap() {
            "session.ping" => {
                pings.push(began.elapsed().as_secs());
                let nonce = frame["payload"]["nonce"].clone();
                assert!(frame["payload"]["sent_at"].is_string());
                peer.send("session.pong", json!({ "ping_nonce": nonce })).await;
            }
            _ => peer.ping("busy").await,
        }
    }
    assert_eq!(pings, (1..=10).map(|n| n * 30).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn p18_t33_t43_two_silent_intervals_close_with_heartbeat_lost_and_jobs_go_on() {
    let config = Config::default().with(|c| c.heartbeat = Duration::from_secs(10));
    let memories = Memories::of(guarded(&config), &config);
    let mut silent = memories.connect();
    let welcome = silent.hello(ALICE, &BEATING).await;
    assert_eq!(welcome["payload"]["heartbeat_interval_sec"], 10);
    let job = silent.submit("slow", json!({ "ms": 60_000 })).await;
    let began = Instant::now();
    let lost = silent.kind("session.error").await;
    assert_eq!(began.elapsed().as_secs(), 20);
    assert_eq!(lost["payload"]["code"], "HEARTBEAT_LOST");
    let close = silent.closed().await;
    assert_eq!((close.code, close.reason.as_str()), (1008, "HEARTBEAT_LOST"));

    let mut watcher = memories.open(ALICE, &ALL).await;
    assert_eq!(watcher.subscribe(&job, true).await["payload"]["current_status"], "running");
    assert_eq!(watcher.job(&job).await.last().unwrap()["payload"]["result"], "slept");
    assert_eq!(began.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn without_the_feature_there_are_no_heartbeats() {
    let config = Config::default();
    let mut peer = Memories::of(guarded(&config), &config).connect();
    let welcome = peer.hello(ALICE, &ALL).await;
    assert!(welcome["payload"]["heartbeat_interval_sec"].is_null());
    assert!(peer.during(Duration::from_secs(3600)).await.is_empty());
    peer.works().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_acks_is_never_gated() {
    let config = Config::default().with(|c| c.window = 8);
    let memories = Memories::of(guarded(&config), &config);
    for names in [&ALL[..], &["progress"]] {
        let mut peer = memories.open(ALICE, names).await;
        let job = peer.submit("chatty", json!({ "count": 5000 })).await;
        let lines = peer.job(&job).await.iter().filter(|f| f["payload"]["kind"] == "log").count();
        assert_eq!(lines, 5000);
    }
}

#[tokio::test(start_paused = true)]
async fn t18_a_heartbeat_is_kept_as_it_is_announced_in_whole_seconds() {
    for (millis, seconds) in [(0, 1u64), (1, 1), (400, 1), (1500, 2)] {
        let config = Config::default().with(|c| c.heartbeat = Duration::from_millis(millis));
        let mut peer = Memories::of(guarded(&config), &config).connect();
        let welcome = peer.hello(ALICE, &BEATING).await;
        assert_eq!(welcome["payload"]["heartbeat_interval_sec"], seconds, "{millis} ms");
        let began = Instant::now();
        let lost = peer.pick(|frame| frame["payload"]["code"] == "HEARTBEAT_LOST").await;
        let took = began.elapsed().as_millis();
        let twice = 2000 * u128::from(seconds);
        assert!((twice..twice + 100).contains(&took), "{millis}: {took} {lost}");
    }
}
