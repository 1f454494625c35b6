//! What was not negotiated cannot be asked for (§6.2), and with nothing negotiated jobs still run.

use arcp_tests::sessions::code;
use arcp_tests::stores::servers;
use arcp_tests::{ALICE, features};
use arcp_tower::Config;
use serde_json::json;

/// What is advertised here.
const ALL: [&str; 7] =
    ["heartbeat", "ack", "list_jobs", "subscribe", "progress", "result_chunk", "agent_versions"];

#[tokio::test(start_paused = true)]
async fn t14_bad_input_19_each_request_of_a_feature_that_was_left_out_is_refused_by_its_name() {
    let job = "job_00000000000000000000000000";
    let requests = [
        ("ack", "session.ack", json!({ "last_processed_seq": 0 })),
        ("list_jobs", "session.list_jobs", json!({})),
        ("subscribe", "job.subscribe", json!({ "job_id": job })),
        ("subscribe", "job.unsubscribe", json!({ "job_id": job })),
        ("agent_versions", "job.submit", json!({ "agent": "echo@1.0.0", "input": 1 })),
    ];
    for server in servers(&Config::default()).await {
        for (feature, kind, payload) in &requests {
            let others: Vec<&str> =
                ALL.into_iter().filter(|name| name != feature && *name != "heartbeat").collect();
            let mut without = server.open(ALICE, &others).await;
            let id = without.send(kind, payload.clone()).await;
            let refused = without.reply(&id).await;
            assert_eq!(code(&refused), "INVALID_REQUEST", "{kind}");
            assert_eq!(refused["payload"]["details"], json!({ "feature": feature }));
            assert!(refused["job_id"].is_null());
            without.works().await;
            // With it alone, it is understood.
            let mut with = server.open(ALICE, &[*feature]).await;
            let id = with.send(kind, payload.clone()).await;
            let ping = with.send("session.ping", json!({ "nonce": "behind" })).await;
            let answer = with.pick(|f| f["payload"]["request_id"] == id || f["type"] == "session.pong").await;
            assert!(answer["payload"]["details"]["feature"].is_null(), "{kind} {ping}: {answer}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t15_with_nothing_in_common_jobs_still_run_and_end() {
    for server in servers(&Config::default()).await {
        for none in [json!({}), json!({ "features": [] }), json!({ "features": ["x-vendor.acme.dance"] })] {
            let mut peer = server.connect();
            let mut hello = features(ALICE, &[]);
            hello["capabilities"] = none;
            let welcome = peer.say_hello(hello).await;
            peer.welcomed(welcome.clone());
            assert_eq!(welcome["payload"]["capabilities"]["features"], json!([]));
            peer.works().await;
            let job = peer.submit("chatty", json!({ "count": 5 })).await;
            assert_eq!(peer.job(&job).await.len(), 6);
            let job = peer.submit("slow", json!({})).await;
            assert_eq!(peer.cancel(&job).await["type"], "job.cancelled");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_resume_goes_on_with_what_was_negotiated_first() {
    use arcp_tests::sessions::{open, resume, say};
    for server in servers(&Config::default()).await {
        let (peer, welcome) = open(&server, ALICE).await;
        drop(peer);
        // A hello that asks for less changes nothing: what was numbered depends on it.
        let mut hello = resume(ALICE, &welcome, 0);
        hello["capabilities"]["features"] = json!([]);
        let (mut peer, again) = say(&server, hello).await;
        let of = |welcome: &serde_json::Value| welcome["payload"]["capabilities"]["features"].clone();
        assert_eq!(of(&again), of(&welcome));
        let id = peer.send("session.list_jobs", json!({})).await;
        assert_eq!(peer.reply(&id).await["type"], "session.jobs");
    }
}

#[tokio::test(start_paused = true)]
async fn t16_model_use_is_there_where_nobody_issues_credentials() {
    for server in servers(&Config::default()).await {
        let mut peer = server.connect();
        let welcome = peer.hello(ALICE, &["cost.budget", "model.use", "provisioned_credentials"]).await;
        assert_eq!(welcome["payload"]["capabilities"]["features"], json!(["cost.budget", "model.use"]));
        let lease = json!({ "model.use": ["tier-fast/*"] });
        let job = peer.submit_with(json!({ "agent": "echo", "input": 1, "lease_request": lease })).await;
        assert_eq!(peer.job(&job).await.len(), 1);
    }
}
