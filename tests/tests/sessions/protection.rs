//! What a runtime does by itself against those who only hold things (§14), and the sentences about it.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::MemoryStore;
use arcp_core::transport::Close;
use arcp_tests::peer::is_terminal;
use arcp_tests::sessions::{FEATURES, code, contiguous_from, open, resume, resumed, say, start};
use arcp_tests::stores::servers;
use arcp_tests::wire::{Frame, PING, TEXT, frame};
use arcp_tests::{ALICE, ALL, BOB, Memories, Peer, features, guarded, runtime, socket, tokens};
use arcp_tower::{AuthLayer, Config, Principal, SessionCapLayer};
use serde_json::json;
use tokio::time::Instant;
use tower::ServiceBuilder;

#[tokio::test(start_paused = true)]
async fn s15_two_thousand_that_never_say_hello_hold_a_bounded_number_of_places_and_keep_nobody_out() {
    let config = Config::default().with(|c| c.max_handshakes = 500);
    let server = Memories::of(guarded(&config), &config);
    let mut silent: Vec<_> = (0..2000).map(|_| server.transport(4)).collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(config.door.strangers(), 500);
    // Who means it is let in at once, however many wait.
    let began = Instant::now();
    let mut peer = server.open(ALICE, &ALL).await;
    peer.works().await;
    assert!(began.elapsed() < Duration::from_millis(10));
    assert_eq!(config.door.strangers(), 499);
    // Those who waited longest were sent away at once, the others when their time was over.
    let mut codes = Vec::new();
    for (_, served) in &mut silent {
        codes.push(served.await.unwrap().map_or(0, |close| close.code));
    }
    let of = |code: u16| codes.iter().filter(|c| **c == code).count();
    assert_eq!((of(Close::TRY_LATER), of(Close::POLICY)), (1501, 499));
    assert!(began.elapsed() < config.handshake_timeout + 2 * config.close_timeout);
    assert_eq!(config.door.strangers(), 0);
    peer.works().await;
}

#[tokio::test(start_paused = true)]
async fn bad_input_48_s15_two_thousand_that_say_a_byte_a_second_are_sent_away_in_time_and_keep_nobody_out() {
    let config = Config::default();
    let mount = guarded(&config);
    let hello = json!({ "arcp": "1.1", "type": "session.hello", "payload": features(ALICE, &ALL) });
    let hello = frame(TEXT, hello.to_string().as_bytes());
    let began = Instant::now();
    let slow: Vec<_> = (0..2000)
        .map(|_| {
            let wire = socket(mount.clone(), &config);
            tokio::spawn(wire.crawl_until_closed(hello.clone(), Duration::from_secs(1)))
        })
        .collect();
    let server = Memories::of(mount, &config);
    for _ in 0..4 {
        let mut peer = server.open(ALICE, &ALL).await;
        peer.works().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let (mut late, mut crowded) = (0, 0);
    for task in slow {
        match task.await.unwrap().pop() {
            Some(Frame::Close(Close::POLICY)) => late += 1,
            Some(Frame::Close(Close::TRY_LATER)) => crowded += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(late + crowded, 2000);
    assert!(late >= config.max_handshakes - 4, "{late} had their time, {crowded} made room");
    assert!(began.elapsed() < config.handshake_timeout + 2 * config.close_timeout);
    assert_eq!(config.door.strangers(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_websocket_pings_a_second_are_answered_and_more_than_the_frame_rate_wait() {
    let config = Config::default().with(|c| (c.frame_rate, c.frame_burst) = (2000, 2000));
    let mut wire = socket(guarded(&config), &config);
    let say = |kind: &str, payload: serde_json::Value| {
        let message = json!({ "arcp": "1.1", "id": "a", "type": kind, "payload": payload });
        frame(TEXT, message.to_string().as_bytes())
    };
    wire.write(&say("session.hello", features(ALICE, &ALL))).await;
    assert!(matches!(wire.read().await, Frame::Text(_)));
    let began = Instant::now();
    for second in 0_u32..10 {
        for n in 0..1000_u32 {
            let count = (1000 * second + n).to_be_bytes();
            wire.write(&frame(PING, &count)).await;
            assert_eq!(wire.read().await, Frame::Pong(count.into()));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(began.elapsed() < Duration::from_millis(10_100), "none of them waited: {:?}", began.elapsed());
    // Ten thousand at once are as many as five seconds are for; of their pongs the last is as good as all.
    let began = Instant::now();
    let mut flood = frame(PING, b"").repeat(10_000);
    flood.extend(say("session.ping", json!({ "nonce": "behind them" })));
    let frames = wire.write_until(flood, |frame| matches!(frame, Frame::Text(_))).await;
    assert!(matches!(frames.last(), Some(Frame::Text(pong)) if pong.contains("behind them")));
    let took = began.elapsed();
    assert!(took > Duration::from_secs(3) && took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn open_sessions_of_a_principal_are_capped_and_who_comes_back_is_let_in() {
    let (config, cap) = (Config::default(), SessionCapLayer::new(3));
    let stack =
        ServiceBuilder::new().layer(AuthLayer::new(tokens())).layer(cap.clone()).service(runtime(&config));
    let server = Memories::of(stack, &config);
    let alice = Principal::new("alice");
    let mut peers = Vec::new();
    for _ in 0..3 {
        let mut peer = server.connect();
        let welcome = peer.hello(ALICE, &FEATURES).await;
        peers.push((peer, welcome));
    }
    for _ in 0..20 {
        let answer = server.connect().say_hello(features(ALICE, &[])).await;
        assert_eq!(code(&answer), "INTERNAL_ERROR", "{answer}");
        assert_eq!(
            (&answer["payload"]["details"]["reason"], &answer["payload"]["retryable"]),
            (&json!("limit"), &json!(true))
        );
    }
    server.open(BOB, &ALL).await.works().await;
    // A session that is taken over counts once.
    let (mut before, welcome) = peers.pop().unwrap();
    let mut after = server.connect();
    let again = after.say_hello(resume(ALICE, &welcome, 0)).await;
    after.welcomed(again);
    assert_eq!(before.closed().await.code, Close::TAKEN_OVER);
    assert_eq!(cap.open(&alice), 3);
    // One that ends makes room for one.
    drop((before, after));
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(cap.open(&alice), 2);
    let mut peer = server.open(ALICE, &ALL).await;
    // A connection that goes on with another session leaves its own.
    drop(peers);
    peer.works().await;
    assert_eq!(cap.open(&alice), 1);
}

#[tokio::test(start_paused = true)]
async fn s40_a_peer_that_takes_nothing_is_closed_in_time_and_resumes_and_a_slow_one_is_not() {
    let config = Config::default().with(|c| c.stall_timeout = Duration::from_secs(30));
    for server in servers(&config).await {
        let submit = json!({ "agent": "chatty", "input": { "count": 100 } });
        let (io, slow_served) = server.transport(1);
        let mut slow = Peer::new(io, Duration::from_secs(60));
        slow.hello(ALICE, &FEATURES).await;
        slow.send("job.submit", submit.clone()).await;
        for _ in 0..10 {
            slow.next().await;
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        assert!(!slow_served.is_finished());
        slow.during(Duration::from_secs(1)).await;
        slow.works().await;
        let (io, served) = server.transport(1);
        let mut deaf = Peer::new(io, Duration::from_secs(60));
        let welcome = deaf.hello(ALICE, &FEATURES).await;
        deaf.send("job.submit", submit).await;
        let began = Instant::now();
        assert_eq!(served.await.unwrap().map(|close| close.code), Some(Close::LAGGING));
        assert!(began.elapsed() >= Duration::from_secs(30) && began.elapsed() < Duration::from_secs(33));
        // It reads now what it was sent, and the rest on its next connection.
        let seen = deaf.during(Duration::ZERO).await;
        let last = seen.iter().filter_map(|frame| frame["event_seq"].as_u64()).max().unwrap_or(0);
        let (mut peer, _) = resumed(&server, ALICE, &welcome, last).await;
        let rest = peer.during(Duration::from_secs(1)).await;
        assert!(contiguous_from(last + 1, &rest) && is_terminal(rest.last().unwrap()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_is_said_is_closed_unless_it_waits_for_a_job() {
    let config = Config::default().with(|c| c.idle_timeout = Duration::from_secs(600));
    let server = start(None, &config).await;
    let (mut idle, welcome) = open(&server, ALICE).await;
    let (mut waits, _) = open(&server, ALICE).await;
    let job = waits.submit("slow", json!({ "ms": 3_600_000 })).await;
    let began = Instant::now();
    assert_eq!(idle.closed().await.code, Close::AWAY);
    assert!(began.elapsed() >= Duration::from_secs(600) && began.elapsed() < Duration::from_secs(601));
    waits.job(&job).await;
    assert!(began.elapsed() > Duration::from_secs(3500));
    let (_, answer) = say(&server, resume(ALICE, &welcome, 0)).await;
    assert!(matches!(answer["type"].as_str(), Some("session.welcome" | "session.error")), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn s45_every_cancel_and_every_subscribe_leaves_a_record_before_it_is_answered() {
    let store = Arc::new(MemoryStore::default());
    let server = start(Some(store.clone()), &Config::default()).await;
    let (mut peer, welcome) = open(&server, ALICE).await;
    let (mut other, _) = open(&server, ALICE).await;
    let (mut bob, _) = open(&server, BOB).await;
    let job = peer.submit("slow", json!({})).await;
    let records = || -> Vec<serde_json::Value> {
        store.audit().iter().map(|(_, record)| serde_json::from_str(record.as_str()).unwrap()).collect()
    };
    let last = || records().last().cloned().unwrap();
    let expect = |principal: &str, owner: Option<&str>, allowed: bool| {
        let last = last();
        assert_eq!((&last["what"], &last["job_id"]), (&json!("job.cancel"), &json!(job)), "{last}");
        assert_eq!((&last["principal"], &last["allowed"]), (&json!(principal), &json!(allowed)), "{last}");
        assert_eq!(last["owner"].as_str(), owner, "{last}");
    };
    assert_eq!(code(&bob.cancel(&job).await), "JOB_NOT_FOUND");
    expect("bob", None, false);
    assert_eq!(code(&other.cancel(&job).await), "PERMISSION_DENIED");
    expect("alice", Some("alice"), false);
    assert_eq!(peer.cancel(&job).await["type"], "job.cancelled");
    expect("alice", Some("alice"), true);
    peer.job(&job).await;
    assert_eq!(code(&peer.cancel(&job).await), "INVALID_REQUEST");
    expect("alice", Some("alice"), false);
    other.subscribe(&job, true).await;
    assert_eq!((&last()["what"], &last()["allowed"]), (&json!("job.subscribe"), &json!(true)));
    drop(peer);
    let (_peer, _) = resumed(&server, ALICE, &welcome, 0).await;
    assert_eq!((&last()["what"], &last()["allowed"]), (&json!("session.resume"), &json!(true)));
    assert_eq!(records().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn s44_a_trace_that_is_none_is_not_echoed() {
    for server in servers(&Config::default()).await {
        let (mut peer, _) = open(&server, ALICE).await;
        for bad in ["0".repeat(32), "g".repeat(32), "x".repeat(4096), "\n\u{1b}[2J".to_owned(), String::new()]
        {
            let (id, mut message) = peer.message("job.submit", &json!({ "agent": "echo", "input": 1 }));
            message["trace_id"] = json!(bad);
            peer.send_text(message.to_string()).await;
            let answer = peer.reply(&id).await;
            let said = answer.to_string();
            let echoed = answer["trace_id"] == json!(bad)
                || (!bad.is_empty() && said.contains(&json!(bad).to_string()));
            assert!(!echoed, "{said}");
        }
        peer.works().await;
    }
}
