//! How long and how much (§6.3, §6.5): a resume that comes too late is refused, and never gets less.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use arcp_tests::peer::numbers;
use arcp_tests::sessions::{FEATURES, code, contiguous_from, open, resume, resumed, say, start};
use arcp_tests::stores::servers;
use arcp_tests::{ALICE, BOB, features};
use arcp_tower::Config;
use serde_json::json;
use tokio::time::sleep;

const GONE: &str = "RESUME_WINDOW_EXPIRED";

#[tokio::test(start_paused = true)]
async fn the_window_runs_from_the_loss_of_the_connection() {
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
async fn what_the_caps_force_out_is_refused_and_never_thinned() {
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
