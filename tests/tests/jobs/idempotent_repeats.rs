//! What a repeat of a submit (§7.2) is answered, and what it hears.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::flaky::{FlakyStore, Step};
use arcp_core::store::{MemoryStore, StoreError};
use arcp_tests::ALICE;
use arcp_tests::sessions::{code, open, resumed, start};
use arcp_tests::stores::{kept, servers};
use arcp_tower::Config;
use serde_json::{Value, json};

use super::idempotency::{ask, jobs};

#[tokio::test(start_paused = true)]
async fn a_session_that_repeated_the_submit_hears_the_job_and_may_cancel_it() {
    for server in servers(&Config::default()).await {
        let (mut first, _) = open(&server, ALICE).await;
        let (mut second, welcome) = open(&server, ALICE).await;
        let (mut third, _) = open(&server, ALICE).await;
        let submit = json!({ "agent": "slow", "input": {}, "idempotency_key": "k" });
        let job = first.submit_with(submit.clone()).await;
        first.kind("job.event").await;
        assert_eq!(second.submit_with(submit).await, job);
        assert_eq!(code(&third.cancel(&job).await), "PERMISSION_DENIED");
        // It goes on after a resume.
        drop(second);
        let (mut second, _) = resumed(&server, ALICE, &welcome, 0).await;
        assert_eq!(second.cancel(&job).await["type"], "job.cancelled");
        for peer in [&mut first, &mut second] {
            assert_eq!(peer.job(&job).await.last().unwrap()["payload"]["code"], "CANCELLED");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_very_many_sessions_that_repeated_a_submit_the_last_may_cancel_its_job() {
    for server in servers(&Config::default().with(|c| c.max_controllers = 3)).await {
        let (mut first, _) = open(&server, ALICE).await;
        let submit = json!({ "agent": "slow", "input": {}, "idempotency_key": "k" });
        let job = first.submit_with(submit.clone()).await;
        let mut others = Vec::new();
        for _ in 0..4 {
            let (mut other, _) = open(&server, ALICE).await;
            assert_eq!(other.submit_with(submit.clone()).await, job);
            others.push(other);
        }
        assert_eq!(code(&others[0].cancel(&job).await), "PERMISSION_DENIED");
        // Who repeats it once more is one of the last.
        assert_eq!(others[0].submit_with(submit).await, job);
        assert_eq!(others[0].cancel(&job).await["type"], "job.cancelled");
        assert_eq!(first.job(&job).await.last().unwrap()["payload"]["code"], "CANCELLED");
    }
}

/// A frame without what differs from one answer to the next.
fn acceptance(mut frame: Value) -> String {
    frame.as_object_mut().unwrap().remove("id");
    frame.as_object_mut().unwrap().remove("session_id");
    frame["payload"].as_object_mut().unwrap().remove("request_id");
    frame.to_string()
}

#[tokio::test(start_paused = true)]
async fn t54_a_repeat_is_answered_with_the_same_acceptance_to_the_byte() {
    let lease = json!({ "fs.read": ["/workspace/**"], "x-vendor.acme.gpu": ["h100"] });
    let submit = json!({
        "agent": "slow", "input": { "ms": 60_000, "keeps": 1.0 }, "idempotency_key": "k",
        "lease_request": lease, "max_runtime_sec": 600,
    });
    for server in servers(&Config::default()).await {
        let (mut peer, _) = open(&server, ALICE).await;
        let (mut other, _) = open(&server, ALICE).await;
        let first = ask(&mut peer, submit.clone()).await;
        assert_eq!(first["type"], "job.accepted");
        let first = acceptance(first);
        // While it runs, from elsewhere, and when it has ended.
        for again in 0..3 {
            assert_eq!(acceptance(ask(&mut peer, submit.clone()).await), first, "{again}");
            assert_eq!(acceptance(ask(&mut other, submit.clone()).await), first, "{again}");
            tokio::time::sleep(Duration::from_secs(40)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p8_t54_after_a_restart_a_repeat_is_answered_with_the_same_acceptance_to_the_byte() {
    let lease = json!({ "fs.read": ["/workspace/**"], "x-vendor.acme.gpu": ["h100"] });
    let submit = json!({
        "agent": "slow", "input": { "ms": 60_000, "keeps": 1.0 }, "idempotency_key": "k",
        "lease_request": lease, "max_runtime_sec": 600,
    });
    for store in kept() {
        let server = start(Some(store.clone()), &Config::default()).await;
        let (mut peer, welcome) = open(&server, ALICE).await;
        // The very same message, so that nothing has to be left out.
        let (id, message) = peer.message("job.submit", &submit);
        peer.send_text(message.to_string()).await;
        let first = peer.reply(&id).await["payload"].to_string();
        for again in 0..2 {
            peer.ping("n").await;
            drop(peer);
            let server = start(Some(store.clone()), &Config::default()).await;
            (peer, _) = open(&server, ALICE).await;
            let elsewhere =
                message.to_string().replace(welcome["session_id"].as_str().unwrap(), peer.session());
            peer.send_text(elsewhere).await;
            assert_eq!(peer.reply(&id).await["payload"].to_string(), first, "{again}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bad_input_34_a_repeat_while_the_first_is_not_yet_accepted_is_the_same_job() {
    let store = Arc::new(FlakyStore::new(MemoryStore::default()));
    let server = start(Some(store.clone()), &Config::default()).await;
    let (mut peer, _) = open(&server, ALICE).await;
    let (mut other, _) = open(&server, ALICE).await;
    for ping in [&mut peer, &mut other] {
        ping.ping("the token is confirmed").await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (step, hold) = Step::pass().held();
    store.plan_commit(step);
    let submit = json!({ "agent": "echo", "input": 1, "idempotency_key": "k" });
    let first = peer.send("job.submit", submit.clone()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The store lets the second one through first.
    let again = ask(&mut other, submit).await;
    hold.release();
    let first = peer.reply(&first).await;
    assert_eq!((&first["type"], &again["type"]), (&json!("job.accepted"), &json!("job.accepted")));
    assert_eq!(first["job_id"], again["job_id"]);
    let job = first["job_id"].as_str().unwrap();
    for peer in [&mut peer, &mut other] {
        assert_eq!(peer.job(job).await.last().unwrap()["payload"]["result"], 1);
    }
    assert_eq!(jobs(&mut peer).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_whose_job_cannot_be_looked_up_is_refused_for_now() {
    let store = Arc::new(FlakyStore::new(MemoryStore::default()));
    let server = start(Some(store.clone()), &Config::default()).await;
    let (mut peer, _) = open(&server, ALICE).await;
    let submit = json!({ "agent": "echo", "input": 1, "idempotency_key": "k" });
    let job = peer.submit_with(submit.clone()).await;
    peer.job(&job).await;
    drop((peer, server));
    let server = start(Some(store.clone()), &Config::default()).await;
    let (mut peer, _) = open(&server, ALICE).await;
    store.fail_reads(1, &StoreError::Unavailable { retry_after: Duration::ZERO });
    let refused = ask(&mut peer, submit.clone()).await;
    assert_eq!(refused["payload"]["details"]["reason"], "store");
    assert_eq!(refused["payload"]["retryable"], true);
    assert_eq!(peer.submit_with(submit).await, job);
    assert_eq!(peer.job(&job).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_is_answered_where_there_is_no_room_for_another_job() {
    // Its own job is what takes the room.
    for server in servers(&Config::default().with(|c| (c.max_jobs, c.max_feeds) = (1, 1))).await {
        let (mut peer, _) = open(&server, ALICE).await;
        let (mut other, _) = open(&server, ALICE).await;
        let submit = json!({ "agent": "slow", "input": { "ms": 60_000 }, "idempotency_key": "k" });
        let job = peer.submit_with(submit.clone()).await;
        for peer in [&mut peer, &mut other] {
            assert_eq!(peer.submit_with(submit.clone()).await, job);
            let next = ask(peer, json!({ "agent": "echo", "input": 1, "idempotency_key": "next" })).await;
            assert_eq!(next["payload"]["details"]["reason"], "limit");
            let unkeyed = ask(peer, json!({ "agent": "echo", "input": 1 })).await;
            assert_eq!(unkeyed["payload"]["details"]["reason"], "limit");
        }
        for peer in [&mut peer, &mut other] {
            assert_eq!(peer.job(&job).await.last().unwrap()["payload"]["result"], "slept");
        }
        let next = peer.submit_with(json!({ "agent": "echo", "input": 1, "idempotency_key": "next" })).await;
        assert_eq!(peer.job(&next).await.len(), 1, "a refusal does not burn a key");
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeat_is_refused_to_a_session_that_may_follow_no_more_jobs_and_taken_when_it_may_again() {
    for server in servers(&Config::default().with(|c| c.max_feeds = 2)).await {
        let (mut owner, _) = open(&server, ALICE).await;
        let submit = json!({ "agent": "slow", "input": { "ms": 60_000 }, "idempotency_key": "k" });
        let job = owner.submit_with(submit.clone()).await;
        let (mut other, _) = open(&server, ALICE).await;
        let mut full = Vec::new();
        for seconds in [10, 3600] {
            full.push(other.submit("slow", json!({ "ms": seconds * 1000 })).await);
        }
        let refused = ask(&mut other, submit.clone()).await;
        assert_eq!(refused["payload"]["details"]["reason"], "limit", "{refused}");
        assert_eq!(refused["payload"]["retryable"], true);
        // It was not taken for the job's submitter either.
        assert_eq!(code(&other.cancel(&job).await), "PERMISSION_DENIED");
        other.job(&full[0]).await;
        assert_eq!(other.submit_with(submit).await, job);
        for peer in [&mut owner, &mut other] {
            assert_eq!(peer.job(&job).await.last().unwrap()["payload"]["result"], "slept");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_repeats_a_submit_on_another_thread_hears_its_end_too() {
    for server in servers(&Config::default()).await {
        let mut peers = Vec::new();
        for _ in 0..8 {
            peers.push(open(&server, ALICE).await.0);
        }
        for round in 0..100 {
            let submit = json!({ "agent": "echo", "input": round, "idempotency_key": format!("{round}") });
            let tasks: Vec<_> = peers
                .into_iter()
                .map(|mut peer| {
                    let submit = submit.clone();
                    tokio::spawn(async move {
                        let job = peer.submit_with(submit).await;
                        let end = peer.job(&job).await.pop().unwrap();
                        assert_eq!(end["payload"]["result"], round);
                        (peer, job)
                    })
                })
                .collect();
            let mut jobs = Vec::new();
            peers = Vec::new();
            for task in tasks {
                let within = tokio::time::timeout(Duration::from_secs(20), task);
                let (peer, job) = within.await.expect("it ends for everybody").unwrap();
                peers.push(peer);
                jobs.push(job);
            }
            assert!(jobs.iter().all(|job| *job == jobs[0]), "{jobs:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeat_whose_job_was_forgotten_is_refused_and_not_accepted_in_vain() {
    let config = arcp_tests::timed(|c| {
        (c.retention, c.sweep) = (Duration::from_secs(100), Duration::from_secs(10));
        c.resume_window = Duration::from_secs(100);
    });
    for server in servers(&config).await {
        let (mut peer, _) = open(&server, ALICE).await;
        let submit = json!({ "agent": "echo", "input": 1, "idempotency_key": "k" });
        let accepted = ask(&mut peer, submit.clone()).await;
        let job = accepted["job_id"].as_str().unwrap().to_owned();
        let last = peer.job(&job).await.pop().unwrap()["event_seq"].as_u64().unwrap();
        peer.ack(last).await;
        tokio::time::sleep(Duration::from_secs(500)).await;
        let again = ask(&mut peer, submit).await;
        assert_eq!(code(&again), "DUPLICATE_KEY", "{again}");
        assert_eq!(again["payload"]["details"]["existing_job_id"], json!(job));
        peer.works().await;
    }
}
