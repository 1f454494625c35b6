//! Jobs that delegate, and the session that follows them: who is told, and what its connections change.

use std::time::Duration;

use arcp_core::store::flaky::Step;
use arcp_tests::vault::lasting;
use arcp_tests::{ALICE, Memories, actor, agents, timed, tokens};
use arcp_tower::{AuthLayer, Runtime};
use serde_json::json;
use tokio::time::sleep;

use crate::delegation::{FEATURES, stage};

#[tokio::test(start_paused = true)]
async fn only_a_client_that_wants_it_is_told_of_jobs_that_it_did_not_submit() {
    for (profile, told) in [(None, false), (Some("draft"), true)] {
        let config = timed(|_| {});
        let mut peer = stage(&config).connect();
        let mut hello = arcp_tests::features(ALICE, &FEATURES);
        if let Some(profile) = profile {
            hello["capabilities"]["x-vendor.arcp.profile"] = json!(profile);
        }
        let welcome = peer.say_hello(hello).await;
        peer.welcomed(welcome);
        let steps = json!([{ "delegate": ["slow", { "ms": 100 }, {}] }]);
        let submit =
            json!({ "agent": "actor", "input": steps, "lease_request": { "agent.delegate": ["*"] } });
        let id = peer.send("job.submit", submit).await;
        let frames = peer.during(Duration::from_secs(10)).await;
        let job = frames.iter().find(|frame| frame["payload"]["request_id"] == id).unwrap()["job_id"].clone();
        let of_child: Vec<_> =
            frames.iter().filter(|frame| frame["job_id"].is_string() && frame["job_id"] != job).collect();
        assert_eq!(!of_child.is_empty(), told, "{profile:?}: {frames:?}");
        if told {
            assert_eq!(of_child[0]["type"], "job.accepted", "before its first event");
            assert_eq!(of_child[0]["payload"]["parent_job_id"], job);
            assert!(of_child[0]["payload"]["delegate_id"].as_str().unwrap().starts_with("del_"));
            assert_eq!(of_child.last().unwrap()["type"], "job.result");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_delegates_while_its_session_is_taken_over_and_the_new_connection_is_told() {
    let store = lasting();
    let runtime = agents::all(actor(Runtime::builder().config(timed(|_| {})))).store(store.clone());
    let layered = runtime.open().await.unwrap().layer(AuthLayer::new(tokens()));
    let server = Memories::of(layered, &timed(|_| {}));
    let mut hello = arcp_tests::features(ALICE, &FEATURES);
    hello["capabilities"]["x-vendor.arcp.profile"] = json!("draft");
    let mut first = server.connect();
    let welcome = first.say_hello(hello.clone()).await;
    first.welcomed(welcome.clone());
    let steps = json!([{ "sleep_ms": 2000 }, { "delegate": ["slow", { "ms": 100 }, {}] }]);
    let job = first
        .submit_with(
            json!({ "agent": "actor", "input": steps, "lease_request": { "agent.delegate": ["*"] } }),
        )
        .await;
    sleep(Duration::from_secs(1)).await;
    // The session and its runs are read; then it is the new connection's in the store, and not here yet.
    store.plan_read(Step::pass());
    store.plan_read(Step::pass());
    let (step, hold) = Step::pass().held();
    store.plan_read(step);
    let token = &welcome["payload"]["resume_token"];
    hello["resume"] =
        json!({ "session_id": welcome["session_id"], "resume_token": token, "last_event_seq": 0 });
    let mut second = server.connect();
    second.send("session.hello", hello).await;
    sleep(Duration::from_millis(1500)).await;
    hold.release();
    let again = second.next().await;
    assert_eq!(again["type"], "session.welcome", "{again}");
    let frames = second.during(Duration::from_secs(10)).await;
    let of_child: Vec<_> =
        frames.iter().filter(|frame| frame["job_id"].is_string() && frame["job_id"] != job).collect();
    assert_eq!(of_child.last().unwrap()["type"], "job.result", "{frames:?}");
    let end = frames.iter().find(|frame| frame["job_id"] == job && frame["type"] == "job.result").unwrap();
    assert_eq!(end["payload"]["result"][1]["result"], "slept", "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_job_delegates_when_its_session_is_over_and_nobody_is_told_of_it() {
    let config = timed(|c| {
        (c.resume_window, c.retention) = (Duration::from_secs(1), Duration::from_secs(5));
        c.idle_timeout = Duration::from_secs(86_400);
    });
    let server = stage(&config);
    let mut watcher = server.open(ALICE, &FEATURES).await;
    let mut hello = arcp_tests::features(ALICE, &FEATURES);
    hello["capabilities"]["x-vendor.arcp.profile"] = json!("draft");
    let mut first = server.connect();
    let welcome = first.say_hello(hello).await;
    first.welcomed(welcome);
    let steps = json!([{ "sleep_ms": 60_000 }, { "delegate": ["slow", { "ms": 100 }, {}] }]);
    let job = first
        .submit_with(
            json!({ "agent": "actor", "input": steps, "lease_request": { "agent.delegate": ["*"] } }),
        )
        .await;
    watcher.subscribe(&job, true).await;
    drop(first);
    let end = watcher.job(&job).await.pop().unwrap();
    assert_eq!(end["payload"]["result"][1]["result"], "slept", "{end}");
}
