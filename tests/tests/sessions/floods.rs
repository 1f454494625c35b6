//! More than a principal may have at once (§14): it is refused for now, it is bounded, and nobody else
//! notices. Each on no store, on one in memory, and on a file.

use std::collections::HashSet;
use std::time::Duration;

use arcp_tests::peer::is_terminal;
use arcp_tests::sessions::{code, open};
use arcp_tests::stores::servers;
use arcp_tests::{ALICE, BOB};
use arcp_tower::Config;
use serde_json::{Value, json};

#[tokio::test(start_paused = true)]
async fn bad_input_39_a_job_above_the_cap_is_refused_for_now_and_counts_for_its_principal_only() {
    for server in servers(&Config::default().with(|c| c.max_jobs = 50)).await {
        // The cap is the principal's, over all of its sessions.
        let (mut first, _) = open(&server, ALICE).await;
        let (mut second, _) = open(&server, ALICE).await;
        let (mut bob, _) = open(&server, BOB).await;
        let mut running = Vec::new();
        for n in 0..60 {
            let peer = if n % 2 == 0 { &mut first } else { &mut second };
            let id = peer.send("job.submit", json!({ "agent": "slow", "input": { "ms": 60_000 } })).await;
            let answer = peer.reply(&id).await;
            if n < 50 {
                running.push(answer["job_id"].as_str().unwrap().to_owned());
                continue;
            }
            assert_eq!(code(&answer), "INTERNAL_ERROR", "{answer}");
            assert_eq!(answer["payload"]["details"]["reason"], "limit");
            assert_eq!(answer["payload"]["retryable"], true);
            bob.works().await;
        }
        // One that ends makes room for one.
        assert_eq!(first.cancel(&running[0]).await["type"], "job.cancelled");
        first.job(&running[0]).await;
        first.submit("slow", json!({ "ms": 60_000 })).await;
        let id = first.send("job.submit", json!({ "agent": "echo", "input": 1 })).await;
        assert_eq!(first.reply(&id).await["payload"]["details"]["reason"], "limit");
        tokio::time::sleep(Duration::from_secs(61)).await;
        first.works().await;
    }
}

#[tokio::test(start_paused = true)]
async fn bad_input_39_ten_thousand_submits_in_one_go_are_each_answered_in_their_order() {
    for server in servers(&Config::default()).await {
        let (mut peer, _) = open(&server, ALICE).await;
        let (mut bob, _) = open(&server, BOB).await;
        let mut ids = Vec::new();
        let submits: Vec<String> = (0..10_000)
            .map(|n| {
                let (id, message) = peer.message("job.submit", &json!({ "agent": "echo", "input": n }));
                ids.push(id);
                message.to_string()
            })
            .collect();
        // Each is accepted and ends, or is refused, perhaps in two forms.
        let (mut answers, mut accepted, mut ends, mut refused) =
            (Vec::new(), HashSet::new(), HashSet::new(), HashSet::new());
        let mut said = peer.flood(submits, 10_000).await.into_iter();
        loop {
            let frame: Value = match said.next() {
                Some(text) => serde_json::from_str(&text).unwrap(),
                None => peer.next().await,
            };
            if let Some(id) = frame["payload"]["request_id"].as_str() {
                answers.push(id.to_owned());
            }
            if frame["type"] == "job.accepted" {
                accepted.insert(frame["job_id"].to_string());
            } else if is_terminal(&frame) {
                assert!(ends.insert(frame["job_id"].to_string()));
            } else if !code(&frame).is_empty() {
                assert_eq!(frame["payload"]["details"]["reason"], "limit", "{frame}");
                assert_eq!(frame["payload"]["retryable"], true);
                refused.insert(frame["payload"]["request_id"].to_string());
            }
            if accepted.len() + refused.len() == 10_000 && ends.len() == accepted.len() {
                break;
            }
        }
        answers.dedup();
        assert!(answers == ids, "replies leave in the order of the requests");
        assert!(accepted == ends && accepted.len() >= 1000, "{} were refused", refused.len());
        let id = peer.send("session.list_jobs", json!({ "limit": 5000 })).await;
        let listed = peer.reply(&id).await["payload"]["jobs"].as_array().unwrap().len();
        assert_eq!(listed, 1000, "a page has no more, whatever is asked for");
        bob.works().await;
        peer.works().await;
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_above_the_cap_are_refused_for_now_and_count_for_their_principal_only() {
    for server in servers(&Config::default().with(|c| c.max_sessions = 5)).await {
        let mut held = Vec::new();
        for _ in 0..5 {
            held.push(open(&server, ALICE).await.0);
        }
        for _ in 0..20 {
            let mut peer = server.connect();
            let answer = peer.say_hello(arcp_tests::features(ALICE, &["ack"])).await;
            assert_eq!(code(&answer), "INTERNAL_ERROR");
            assert_eq!(answer["payload"]["details"]["reason"], "limit");
            assert_eq!(answer["payload"]["retryable"], true);
            open(&server, BOB).await.0.works().await;
        }
        for mut peer in held {
            peer.works().await;
        }
    }
}
