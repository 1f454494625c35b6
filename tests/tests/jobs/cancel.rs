//! `job.cancel` (§7.4): who may, when, and that it is answered once and for all. Each on no store, on
//! one in memory, and on a file.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::flaky::{FlakyStore, Step};
use arcp_core::store::{MemoryStore, Store, StoreError};
use arcp_tests::peer::is_terminal;
use arcp_tests::sessions::{code, open, resumed, start};
use arcp_tests::stores::{kept, servers};
use arcp_tests::{ALICE, ALL, BOB, Memories, Process, guarded, timed};
use arcp_tower::Config;
use serde_json::{Value, json};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn t64_a_cancelled_job_says_so_first_and_ends_once_and_as_cancelled() {
    for server in servers(&Config::default()).await {
        let (mut peer, _) = open(&server, ALICE).await;
        for agent in ["slow", "stubborn"] {
            let job = peer.submit(agent, json!({})).await;
            peer.kind("job.event").await;
            let began = Instant::now();
            peer.send_of("job.cancel", &job, json!({ "reason": "enough" })).await;
            let said = peer.during(Duration::from_secs(60)).await;
            let kinds: Vec<_> = said.iter().map(|frame| frame["type"].as_str().unwrap()).collect();
            assert_eq!(kinds, ["job.cancelled", "job.error"]);
            let end = &said[1]["payload"];
            assert_eq!((&end["code"], &end["final_status"]), (&json!("CANCELLED"), &json!("cancelled")));
            assert_eq!((&said[0]["job_id"], &said[0]["payload"]["reason"]), (&json!(job), &json!("enough")));
            assert!(began.elapsed() <= Duration::from_secs(60));
        }
        peer.works().await;
    }
}

#[tokio::test(start_paused = true)]
async fn t32_a_session_that_was_resumed_may_cancel_its_jobs() {
    for server in servers(&Config::default()).await {
        let (mut peer, mut welcome) = open(&server, ALICE).await;
        let job = peer.submit("slow", json!({})).await;
        for _ in 0..3 {
            drop(peer);
            (peer, welcome) = resumed(&server, ALICE, &welcome, 0).await;
            peer.ping("it is mine").await;
        }
        assert_eq!(peer.cancel(&job).await["type"], "job.cancelled");
        assert_eq!(peer.job(&job).await.last().unwrap()["payload"]["code"], "CANCELLED");
    }
}

#[tokio::test(start_paused = true)]
async fn t65_bad_input_36_a_job_that_has_ended_cannot_be_cancelled_and_one_that_is_unknown_is_not_found() {
    for server in servers(&Config::default()).await {
        let (mut owner, _) = open(&server, ALICE).await;
        let (mut sibling, _) = open(&server, ALICE).await;
        let (mut stranger, _) = open(&server, BOB).await;
        for agent in ["echo", "fails"] {
            let job = owner.submit(agent, json!({ "ms": 1 })).await;
            let end = owner.job(&job).await.pop().unwrap();
            for _ in 0..2 {
                let refused = owner.cancel(&job).await;
                assert_eq!(code(&refused), "INVALID_REQUEST");
                assert_eq!(refused["payload"]["details"]["reason"], "already_ended");
            }
            assert_eq!(code(&sibling.cancel(&job).await), "PERMISSION_DENIED");
            assert_eq!(code(&stranger.cancel(&job).await), "JOB_NOT_FOUND");
            // Nothing came of it.
            owner.subscribe(&job, true).await;
            assert_eq!(owner.kind(end["type"].as_str().unwrap()).await["payload"], end["payload"]);
        }
        assert_eq!(code(&owner.cancel("job_00000000000000000000000000").await), "JOB_NOT_FOUND");
        owner.works().await;
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_a_job_that_has_ended_is_known_to_have() {
    for store in kept() {
        let server = start(Some(store.clone()), &Config::default()).await;
        let (mut peer, welcome) = open(&server, ALICE).await;
        let ended = peer.submit("echo", json!(1)).await;
        peer.job(&ended).await;
        let killed = peer.submit("slow", json!({})).await;
        peer.kind("job.event").await;
        drop((peer, server));
        let server = start(Some(store), &Config::default()).await;
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 1).await;
        let (mut sibling, _) = open(&server, ALICE).await;
        for job in [&ended, &killed] {
            assert_eq!(peer.cancel(job).await["payload"]["details"]["reason"], "already_ended");
            assert_eq!(code(&sibling.cancel(job).await), "PERMISSION_DENIED");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bad_input_36_many_cancellations_at_once_are_one() {
    for server in servers(&Config::default()).await {
        let (mut peer, _) = open(&server, ALICE).await;
        let job = peer.submit("stubborn", json!({ "ms": 1000 })).await;
        peer.kind("job.event").await;
        let asked: Vec<String> =
            (0..500).map(|_| peer.message("job.cancel", &json!({ "job_id": job })).1.to_string()).collect();
        let said = peer.flood(asked, 500).await;
        assert!(said.iter().all(|frame| frame.contains("job.cancelled")));
        let rest = peer.during(Duration::from_secs(120)).await;
        assert_eq!(rest.iter().filter(|frame| is_terminal(frame)).count(), 1);
        peer.works().await;
    }
}

#[tokio::test(start_paused = true)]
async fn p10_whoever_was_told_that_a_job_is_cancelled_finds_it_cancelled_whatever_becomes_of_the_process() {
    for store in kept() {
        // The agent has not obeyed yet when the process is killed.
        let process = Arc::new(Process::of(store.clone()));
        let server = start(Some(process.clone()), &timed(|_| {})).await;
        let (mut peer, welcome) = open(&server, ALICE).await;
        let job = peer.submit("stubborn", json!({})).await;
        peer.kind("job.event").await;
        assert_eq!(peer.cancel(&job).await["type"], "job.cancelled");
        process.kill();
        drop((peer, server));
        let server = start(Some(store), &timed(|_| {})).await;
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 1).await;
        let end = &peer.job(&job).await[0]["payload"];
        assert_eq!((&end["code"], &end["final_status"]), (&json!("CANCELLED"), &json!("cancelled")));
    }
}

#[tokio::test(start_paused = true)]
async fn p10_nobody_is_told_of_a_cancellation_that_is_not_kept() {
    let store = Arc::new(FlakyStore::new(MemoryStore::default()));
    let server = start(Some(store.clone()), &Config::default()).await;
    let (mut peer, _) = open(&server, ALICE).await;
    let job = peer.submit("slow", json!({})).await;
    peer.kind("job.event").await;
    let (step, hold) = Step::pass().held();
    store.plan_commit(step);
    peer.send_of("job.cancel", &job, json!({})).await;
    assert!(peer.during(Duration::from_secs(60)).await.is_empty());
    peer.ping("and nothing else waits for it").await;
    hold.release();
    assert_eq!(peer.job(&job).await.len(), 2);

    let job = peer.submit("slow", json!({ "ms": 60_000 })).await;
    peer.kind("job.event").await;
    store.fail_commits(8, &StoreError::Full);
    let refused = peer.cancel(&job).await;
    assert_eq!(code(&refused), "INTERNAL_ERROR");
    assert_eq!(refused["payload"]["details"]["reason"], "store");
    assert_eq!(peer.job(&job).await[0]["payload"]["result"], "slept");
    let row = store.job("alice", &job.parse().unwrap()).await.unwrap().unwrap();
    assert!(!row.cancelling);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_waits_for_its_client_is_cancelled_and_runs_out_of_time_like_its_agent() {
    let config = Config::default().with(|c| (c.window, c.grace) = (4, Duration::from_secs(30)));
    for (more, code) in [(json!({ "max_runtime_sec": 2 }), "TIMEOUT"), (json!({}), "CANCELLED")] {
        // It acknowledges once, and then nothing: the window shuts.
        let mut peer = Memories::of(guarded(&config), &config).open(ALICE, &ALL).await;
        let first = peer.submit("chatty", json!({ "count": 1 })).await;
        let frames = peer.job(&first).await;
        let last = frames.last().unwrap()["event_seq"].clone();
        peer.send("session.ack", json!({ "last_processed_seq": last })).await;
        peer.submit("chatty", json!({ "count": 100 })).await;
        let mut submit = json!({ "agent": "large", "input": 3 << 20 });
        submit.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let job = peer.submit_with(submit).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let began = tokio::time::Instant::now();
        if code == "CANCELLED" {
            peer.send_of("job.cancel", &job, json!({})).await;
        }
        let end = peer.job(&job).await.pop().unwrap();
        assert_eq!(end["payload"]["code"], code, "{end}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn t70_a_submit_that_is_refused_is_answered_and_its_time_never_runs_out() {
    for server in servers(&Config::default()).await {
        let (mut peer, _) = open(&server, ALICE).await;
        let keyed = json!({ "agent": "echo", "input": 1, "idempotency_key": "k" });
        let job = peer.submit_with(keyed).await;
        peer.job(&job).await;
        for (refused, expected) in [
            (json!({ "agent": "nobody" }), "AGENT_NOT_AVAILABLE"),
            (json!({ "agent": "slow", "lease_request": { "no.such": ["*"] } }), "INVALID_REQUEST"),
            (json!({ "agent": "echo", "input": 2, "idempotency_key": "k" }), "DUPLICATE_KEY"),
        ] {
            let mut submit = refused;
            submit["max_runtime_sec"] = json!(1);
            let id = peer.send("job.submit", submit).await;
            assert_eq!(code(&peer.reply(&id).await), expected);
            let after = peer.during(Duration::from_secs(3600)).await;
            // Some peers are answered in two forms.
            let answers = |frame: &Value| frame["payload"]["request_id"] == json!(id);
            assert!(after.iter().all(answers), "{after:?}");
        }
        peer.works().await;
    }
}
