//! Idempotency keys (§7.2): which submits are one, and how long a key is held.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arcp_core::store::{MemoryStore, Store};
use arcp_core::transport::Memory;
use arcp_tests::sessions::{FEATURES, code, open, resumed, start};
use arcp_tests::stores::{servers, stores};
use arcp_tests::{ALICE, BOB, Memories, Peer, timed, tokens};
use arcp_tower::{AuthLayer, Config, Job, Runtime, agent_fn};
use serde_json::{Value, json};

pub(crate) async fn ask(peer: &mut Peer<Memory>, payload: Value) -> Value {
    let id = peer.send("job.submit", payload).await;
    peer.reply(&id).await
}

/// Submits a payload as it is written.
pub(crate) async fn ask_raw(peer: &mut Peer<Memory>, payload: &str) -> Value {
    let (id, message) = peer.message("job.submit", &json!("HERE"));
    peer.send_text(message.to_string().replace("\"HERE\"", payload)).await;
    peer.reply(&id).await
}

pub(crate) async fn jobs(peer: &mut Peer<Memory>) -> usize {
    let id = peer.send("session.list_jobs", json!({ "limit": 1000 })).await;
    peer.reply(&id).await["payload"]["jobs"].as_array().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn t56_bad_input_34_the_same_parameters_however_they_are_written_are_the_same_job() {
    for server in servers(&Config::default()).await {
        let (mut peer, _) = open(&server, ALICE).await;
        let written = [
            r#"{"agent":"echo","input":{"a":1,"b":[2,"x"]},"idempotency_key":"k"}"#,
            r#"{"idempotency_key":"k","input":{"b":[2,"x"],"a":1},"agent":"echo"}"#,
            r#"{ "agent" : "echo", "input" : { "a" : 1.0, "b" : [ 20e-1, "\u0078" ] }, "idempotency_key" : "k" }"#,
            r#"{"agent":"echo","input":{"a":1,"b":[2,"x"]},"idempotency_key":"k","lease_request":{}}"#,
        ];
        let mut jobs = Vec::new();
        for payload in written {
            let accepted = ask_raw(&mut peer, payload).await;
            assert_eq!(accepted["type"], "job.accepted", "{payload}");
            jobs.push(accepted["job_id"].clone());
        }
        assert!(jobs.iter().all(|job| *job == jobs[0]), "{jobs:?}");
        let other = [
            r#"{"agent":"echo","input":{"a":1,"b":["x",2]},"idempotency_key":"k"}"#,
            r#"{"agent":"echo","input":{"a":1.0000000000000000001,"b":[2,"x"]},"idempotency_key":"k"}"#,
            r#"{"agent":"echo@2.0.0","input":{"a":1,"b":[2,"x"]},"idempotency_key":"k"}"#,
            r#"{"agent":"slow","input":{"a":1,"b":[2,"x"]},"idempotency_key":"k"}"#,
            r#"{"agent":"echo","input":{"a":1,"b":[2,"x"]},"idempotency_key":"k","max_runtime_sec":9}"#,
        ];
        for payload in other {
            let refused = ask_raw(&mut peer, payload).await;
            assert_eq!(code(&refused), "DUPLICATE_KEY", "{payload}");
            assert_eq!(refused["payload"]["details"]["existing_job_id"], jobs[0]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bad_input_34_a_new_default_version_does_not_make_a_repeat_another_request() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let submit = json!({ "agent": "echo", "input": 1, "idempotency_key": "k" });
    let mut jobs = Vec::new();
    for newest in ["echo@1.0.0", "echo@3.0.0"] {
        let echo = || agent_fn(|input: Value, _: Job| async move { Ok(input) });
        let builder = Runtime::builder().agent("echo@1.0.0", echo());
        let builder = if newest == "echo@1.0.0" { builder } else { builder.agent(newest, echo()) };
        let runtime = builder.store(store.clone()).open().await.unwrap();
        let server = Memories::of(runtime.layer(AuthLayer::new(tokens())), &Config::default());
        let mut peer = server.open(ALICE, &FEATURES).await;
        let accepted = ask(&mut peer, submit.clone()).await;
        assert_eq!(accepted["payload"]["agent"], "echo@1.0.0");
        jobs.push(accepted["job_id"].clone());
    }
    assert_eq!(jobs[0], jobs[1]);
}

#[tokio::test(start_paused = true)]
async fn p8_t59_t60_bad_input_34_a_thousand_submits_at_once_are_one_job_and_each_hears_its_end() {
    for store in stores() {
        let starts = Arc::new(AtomicUsize::new(0));
        let counted = starts.clone();
        let agent = agent_fn(move |_: Value, _: Job| {
            counted.fetch_add(1, Ordering::SeqCst);
            async { Ok("done") }
        });
        let builder = Runtime::builder().agent("once", agent);
        let runtime = match store {
            Some(store) => builder.store(store).open().await.unwrap(),
            None => builder.build().unwrap(),
        };
        let server = Memories::of(runtime.layer(AuthLayer::new(tokens())), &Config::default());
        let mut tasks = Vec::new();
        for _ in 0..50 {
            let server = server.clone();
            tasks.push(tokio::spawn(async move {
                let mut peer = server.open(ALICE, &FEATURES).await;
                let submit = json!({ "agent": "once", "input": 1, "idempotency_key": "k" });
                let mut ids = Vec::new();
                for _ in 0..20 {
                    ids.push(peer.send("job.submit", submit.clone()).await);
                }
                let mut jobs = Vec::new();
                for id in ids {
                    jobs.push(peer.reply(&id).await["job_id"].as_str().unwrap().to_owned());
                }
                let end = peer.job(&jobs[0]).await;
                assert_eq!(end.last().unwrap()["payload"]["result"], "done");
                jobs
            }));
        }
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.unwrap());
        }
        assert_eq!(all.len(), 1000);
        assert!(all.iter().all(|job| *job == all[0]));
        assert_eq!(starts.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn bad_input_34_a_key_is_held_across_a_restart_and_across_a_resume() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let server = start(Some(store.clone()), &Config::default()).await;
    let (mut peer, welcome) = open(&server, ALICE).await;
    let submit = json!({ "agent": "echo", "input": { "a": 1 }, "idempotency_key": "k" });
    let first = ask(&mut peer, submit.clone()).await;
    let job = first["job_id"].as_str().unwrap().to_owned();
    let end = peer.job(&job).await;
    drop((peer, server));
    let server = start(Some(store), &Config::default()).await;
    let (mut same, _) = resumed(&server, ALICE, &welcome, 1).await;
    let (mut other, _) = open(&server, ALICE).await;
    for peer in [&mut same, &mut other] {
        let again = ask(peer, submit.clone()).await;
        for field in ["job_id", "agent", "accepted_at", "lease", "trace_id"] {
            assert_eq!(again["payload"][field], first["payload"][field], "{field}");
        }
        let repeated = peer.job(&job).await;
        assert_eq!(repeated.len(), 1, "the terminal, and nothing else");
        assert_eq!(repeated[0]["payload"], end[0]["payload"]);
    }
    assert_eq!(jobs(&mut other).await, 1);
}

#[tokio::test(start_paused = true)]
async fn s5_keys_of_principals_do_not_meet() {
    for server in servers(&Config::default()).await {
        let (mut alice, _) = open(&server, ALICE).await;
        let (mut bob, _) = open(&server, BOB).await;
        let hers = ask(&mut alice, json!({ "agent": "echo", "input": 1, "idempotency_key": "k" })).await;
        let his = ask(&mut bob, json!({ "agent": "echo", "input": 2, "idempotency_key": "k" })).await;
        assert_eq!(his["type"], "job.accepted");
        assert!(his["job_id"] != hers["job_id"]);
        let end = bob.job(his["job_id"].as_str().unwrap()).await;
        assert_eq!(end[0]["payload"]["result"], 2);
    }
}

#[tokio::test(start_paused = true)]
async fn t58_bad_input_34_a_submit_that_failed_does_not_burn_its_key() {
    for server in servers(&Config::default().with(|c| (c.max_jobs, c.max_feeds) = (2, 4))).await {
        let (mut peer, _) = open(&server, ALICE).await;
        for bad in [
            json!({ "agent": "nobody", "input": 1, "idempotency_key": "k" }),
            json!({ "agent": "typed", "input": 1, "idempotency_key": "k" }),
            json!({ "agent": "echo", "input": 1, "idempotency_key": "k", "max_runtime_sec": 0 }),
        ] {
            assert!(!code(&ask(&mut peer, bad).await).is_empty());
        }
        let slow = peer.submit("slow", json!({ "ms": 60_000 })).await;
        peer.submit("slow", json!({ "ms": 60_000 })).await;
        let submit = json!({ "agent": "echo", "input": 1, "idempotency_key": "k" });
        let refused = ask(&mut peer, submit.clone()).await;
        assert_eq!(refused["payload"]["details"]["reason"], "limit");
        assert_eq!(jobs(&mut peer).await, 2, "a job that was refused is not listed");
        peer.job(&slow).await;
        let job = peer.submit_with(submit).await;
        assert_eq!(peer.job(&job).await[0]["payload"]["result"], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn bad_input_35_a_key_that_is_none_is_refused_by_name() {
    for server in servers(&Config::default()).await {
        let (mut peer, _) = open(&server, ALICE).await;
        for bad in [json!(""), json!("x".repeat(257)), json!("x".repeat(1 << 20)), json!("a\0b"), json!(7)] {
            let refused =
                ask(&mut peer, json!({ "agent": "echo", "input": 1, "idempotency_key": bad })).await;
            assert_eq!(code(&refused), "INVALID_REQUEST");
            assert!(refused["payload"]["message"].as_str().unwrap().contains("idempotency_key"));
        }
        let longest = json!({ "agent": "echo", "input": 1, "idempotency_key": "x".repeat(256) });
        peer.submit_with(longest).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_time_is_over_is_free() {
    // The wall clock says when, so the time is none at all.
    for server in servers(&Config::default().with(|c| c.key_lifetime = Duration::ZERO)).await {
        let (mut peer, _) = open(&server, ALICE).await;
        let submit = json!({ "agent": "echo", "input": 1, "idempotency_key": "k" });
        let first = peer.submit_with(submit.clone()).await;
        assert_ne!(peer.submit_with(submit).await, first);
    }
}

#[tokio::test(start_paused = true)]
async fn t55_another_lease_or_time_limit_is_another_request() {
    for server in servers(&Config::default()).await {
        let (mut peer, _) = open(&server, ALICE).await;
        let with = |more: Value| {
            let mut submit = json!({ "agent": "echo", "input": 1, "idempotency_key": "k" });
            submit.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            submit
        };
        let job = peer.submit_with(with(json!({ "lease_request": { "fs.read": ["/a", "/b"] } }))).await;
        for other in [
            json!({}),
            json!({ "lease_request": { "fs.read": ["/b", "/a"] } }),
            json!({ "lease_request": { "fs.read": ["/a"] } }),
            json!({ "lease_request": { "fs.read": ["/a", "/b"], "fs.write": ["/a"] } }),
            json!({ "lease_request": { "fs.read": ["/a", "/b"] }, "max_runtime_sec": 60 }),
        ] {
            let refused = ask(&mut peer, with(other.clone())).await;
            assert_eq!(code(&refused), "DUPLICATE_KEY", "{other}");
            assert_eq!(refused["payload"]["details"]["existing_job_id"], json!(job));
        }
        // What differs only in what is not said, or in what a client may not say, is the same.
        for same in [json!({ "lease_constraints": {} }), json!({ "parent_job_id": "job_of_nobody" })] {
            let mut submit = with(json!({ "lease_request": { "fs.read": ["/a", "/b"] } }));
            submit.as_object_mut().unwrap().extend(same.as_object().unwrap().clone());
            assert_eq!(peer.submit_with(submit).await, job, "{same}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p8_without_a_key_each_submit_is_a_job_of_its_own() {
    for server in servers(&Config::default()).await {
        let (mut peer, _) = open(&server, ALICE).await;
        let submit = json!({ "agent": "echo", "input": 1 });
        let message = peer.message("job.submit", &submit).1.to_string();
        // Even the very same message.
        for _ in 0..2 {
            peer.send_text(message.clone()).await;
        }
        let said = peer.during(Duration::from_secs(1)).await;
        assert_eq!(said.iter().filter(|frame| frame["type"] == "job.accepted").count(), 2);
        assert_eq!(jobs(&mut peer).await, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_used_again_after_its_time_is_held_for_its_new_time() {
    let config = timed(|c| {
        (c.key_lifetime, c.max_keys) = (Duration::from_secs(60), 3);
        c.sweep = Duration::from_secs(86_400);
    });
    let server = start(None, &config).await;
    let (mut peer, _) = open(&server, ALICE).await;
    let submit = |key: &str| json!({ "agent": "echo", "input": 1, "idempotency_key": key });
    let first = peer.submit_with(submit("k")).await;
    tokio::time::sleep(Duration::from_secs(61)).await;
    let second = peer.submit_with(submit("k")).await;
    assert_ne!(first, second);
    for other in ["a", "b"] {
        peer.submit_with(submit(other)).await;
    }
    assert_eq!(peer.submit_with(submit("k")).await, second, "it is one of the three newest");
}

#[tokio::test(start_paused = true)]
async fn p8_nobodys_keys_are_forgotten_for_how_many_somebody_else_uses() {
    for (most, bytes) in [(10, 64 << 20), (65_536, 20_000)] {
        let config = timed(|c| (c.max_keys, c.max_keys_bytes) = (most, bytes));
        let server = start(None, &config).await;
        let (mut alice, _) = open(&server, ALICE).await;
        let (mut bob, _) = open(&server, BOB).await;
        let submit = |key: String| {
            let lease = json!({ "fs.read": [format!("/{}", "x".repeat(1000))] });
            json!({ "agent": "echo", "input": 1, "idempotency_key": key, "lease_request": lease })
        };
        let job = alice.submit_with(submit("mine".to_owned())).await;
        let first = bob.submit_with(submit("0".to_owned())).await;
        for n in 1..40 {
            bob.submit_with(submit(n.to_string())).await;
        }
        assert_eq!(alice.submit_with(submit("mine".to_owned())).await, job);
        assert_ne!(bob.submit_with(submit("0".to_owned())).await, first, "his own oldest are");
    }
}
