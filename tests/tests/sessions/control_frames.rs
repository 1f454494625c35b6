//! Acks, pongs and closes that come at odd times, and many at once (§6.4, §6.5, §6.7).

use std::sync::Arc;
use std::time::Duration;

use arcp_core::transport::Close;
use arcp_tests::peer::{is_terminal, numbers};
use arcp_tests::sessions::{FEATURES, code, contiguous_from, cut_after, open, resume, resumed};
use arcp_tests::stores::servers;
use arcp_tests::{ALICE, ALL, Memories, agents, guarded, tokens};
use arcp_tower::runtime::Commands;
use arcp_tower::{AckGateLayer, AuthLayer, Config, Layer as _, Runtime, SessionCtx, each_session_fn};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn bad_input_24_ten_thousand_acks_in_any_order_count_as_the_highest_of_them() {
    for server in servers(&Config::default()).await {
        let (mut peer, welcome) = open(&server, ALICE).await;
        let job = peer.submit("chatty", json!({ "count": 99 })).await;
        let frames = peer.job(&job).await;
        let mut acks: Vec<String> = (0..10_000_u64)
            .map(|n| {
                let payload = json!({ "last_processed_seq": n * 7919 % 61 });
                peer.message("session.ack", &payload).1.to_string()
            })
            .collect();
        acks.push(peer.message("session.ping", &json!({ "nonce": "behind all of them" })).1.to_string());
        let said = peer.flood(acks, 1).await;
        assert!(said[0].contains("behind all of them"), "an ack has no answer: {}", said[0]);
        peer.works().await;
        drop(peer);
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 60).await;
        let rest = peer.during(Duration::from_secs(1)).await;
        assert!(rest[..40] == frames[60..] && contiguous_from(61, &rest));
    }
}

#[tokio::test(start_paused = true)]
async fn t46_bad_input_24_an_ack_beyond_what_this_connection_was_sent_is_refused_and_takes_nothing_away() {
    for server in servers(&Config::default()).await {
        let (welcome, _, frames) = cut_after(&server, 1500).await;
        // Almost nothing fits into this connection, so most of the replay is not sent yet.
        let mut narrow = server.narrow(1);
        narrow.send("session.hello", resume(ALICE, &welcome, 3)).await;
        let again = narrow.next().await;
        narrow.welcomed(again.clone());
        let id = narrow.send("session.ack", json!({ "last_processed_seq": 1501 })).await;
        assert_eq!(code(&narrow.reply(&id).await), "INVALID_REQUEST");
        drop(narrow);
        let (mut peer, _) = resumed(&server, ALICE, &again, 3).await;
        assert!(peer.during(Duration::from_secs(10)).await == frames[3..]);
    }
}

#[tokio::test(start_paused = true)]
async fn bad_input_25_pongs_that_nobody_asked_for_and_odd_clocks_harm_nothing() {
    let config = Config::default();
    let mut peer = Memories::of(guarded(&config), &config).open(ALICE, &ALL).await;
    let times = ["0001-01-01T00:00:00Z", "9999-12-31T23:59:60Z", "2026-01-01T00:00:00", "yesterday", ""];
    for (n, time) in times.iter().enumerate() {
        peer.send("session.pong", json!({ "ping_nonce": "of nobody", "received_at": time })).await;
        peer.send("session.pong", json!({ "ping_nonce": "" })).await;
        peer.send("session.ping", json!({ "nonce": format!("n{n}"), "sent_at": time })).await;
        let pong = peer.next().await;
        assert_eq!(
            (&pong["type"], &pong["payload"]["ping_nonce"]),
            (&json!("session.pong"), &json!(format!("n{n}")))
        );
        assert!(pong["payload"]["received_at"].as_str().unwrap().starts_with("20"), "our own time: {pong}");
    }
    let id = peer.send("session.pong", json!({})).await;
    assert_eq!(code(&peer.reply(&id).await), "INVALID_REQUEST");
    peer.works().await;
}

#[tokio::test(start_paused = true)]
async fn bad_input_26_what_comes_behind_a_close_is_not_done_and_a_second_close_is_not_answered() {
    for server in servers(&Config::default()).await {
        let (mut peer, welcome) = open(&server, ALICE).await;
        let close = peer.message("session.close", &json!({ "reason": "done" })).1;
        let submit = peer.message("job.submit", &json!({ "agent": "echo", "input": 1 })).1;
        for message in [&close, &submit, &close] {
            peer.send_text(message.to_string()).await;
        }
        assert_eq!(peer.closed().await.code, Close::NORMAL);
        let said = peer.during(Duration::ZERO).await;
        let kinds: Vec<_> = said.iter().map(|frame| frame["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["session.closed"]);
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
        let id = peer.send("session.list_jobs", json!({})).await;
        assert_eq!(peer.reply(&id).await["payload"]["jobs"], json!([]));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_before_a_close_is_answered_before_it() {
    for server in servers(&Config::default()).await {
        let (mut peer, welcome) = open(&server, ALICE).await;
        let submit = peer.message("job.submit", &json!({ "agent": "echo", "input": 1 })).1;
        let close = peer.message("session.close", &json!({})).1;
        for message in [&submit, &close] {
            peer.send_text(message.to_string()).await;
        }
        assert_eq!(peer.closed().await.code, Close::NORMAL);
        let said = peer.during(Duration::ZERO).await;
        let accepted = said.iter().find(|frame| frame["type"] == "job.accepted").expect("an answer");
        assert!(said.iter().any(|frame| frame["type"] == "session.closed"));
        let seen = numbers(&said).last().copied().unwrap_or(0);
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
        let frames = peer.job(accepted["job_id"].as_str().unwrap()).await;
        assert!(is_terminal(&frames[0]) && seen <= 1);
    }
}

#[tokio::test(start_paused = true)]
async fn bad_input_26_a_close_in_the_middle_of_a_replay_loses_nothing_of_it() {
    for server in servers(&Config::default()).await {
        let (welcome, _, frames) = cut_after(&server, 1500).await;
        let mut narrow = server.narrow(2);
        let again = narrow.say_hello(resume(ALICE, &welcome, 0)).await;
        narrow.welcomed(again.clone());
        let mut seen: Vec<Value> = Vec::new();
        for _ in 0..5 {
            seen.push(narrow.next().await);
        }
        narrow.send("session.close", json!({})).await;
        assert_eq!(narrow.closed().await.code, Close::NORMAL);
        seen.extend(narrow.during(Duration::ZERO).await.into_iter().filter(|f| f["event_seq"].is_u64()));
        assert!(frames.starts_with(&seen) && seen.len() < 1500, "{} came", seen.len());
        let (mut peer, _) = resumed(&server, ALICE, &again, seen.len() as u64).await;
        assert!(peer.during(Duration::from_secs(10)).await == frames[seen.len()..]);
    }
}

#[tokio::test(start_paused = true)]
async fn t45_without_a_window_a_client_that_acks_is_not_gated_for_ever() {
    for server in servers(&Config::default().with(|c| c.window = 0)).await {
        let mut peer = server.open(ALICE, &FEATURES).await;
        let job = peer.submit("chatty", json!({ "count": 200 })).await;
        let mut last = 0;
        loop {
            let frame = peer.next().await;
            let Some(seq) = frame["event_seq"].as_u64() else { continue };
            assert_eq!(seq, last + 1);
            last = seq;
            peer.ack(seq).await;
            if is_terminal(&frame) {
                assert_eq!(frame["job_id"], json!(job));
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_not_read_while_its_commands_wait_is_not_taken_for_silent() {
    let config = Config::default().with(|c| (c.heartbeat, c.max_pending) = (Duration::from_secs(10), 4));
    let gate = Arc::new(Semaphore::new(0));
    let closed = gate.clone();
    let gated = each_session_fn(move |_: &SessionCtx, inner: Commands| {
        AckGateLayer::waiting(closed.clone()).layer(inner)
    });
    let runtime = agents::all(Runtime::builder()).config(config.clone()).build().unwrap();
    let server = Memories::of(AuthLayer::new(tokens()).layer(gated.layer(runtime)), &config);
    let mut peer = server.open(ALICE, &[&ALL[..], &["heartbeat"]].concat()).await;
    let mut asked = Vec::new();
    for n in 0..6 {
        asked.push(peer.send("job.submit", json!({ "agent": "echo", "input": n })).await);
    }
    for _ in 0..12 {
        sleep(Duration::from_secs(5)).await;
        peer.send("session.ping", json!({ "nonce": "n" })).await;
    }
    gate.add_permits(1);
    for id in asked {
        assert_eq!(peer.reply(&id).await["type"], "job.accepted");
    }
}
