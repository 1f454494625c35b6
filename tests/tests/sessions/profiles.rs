//! The same exchange in the form that each kind of client wants (dialects c.1 to c.8).

use std::time::Duration;

use arcp_core::transport::Memory;
use arcp_tests::stores::servers;
use arcp_tests::{ALICE, ALL, Memories, Peer, features, guarded};
use arcp_tower::{Config, Mount};
use serde_json::{Value, json};

/// The profiles, as the first frame chooses them.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Default,
    Python,
    Draft,
}
use Kind::{Default, Draft, Python};

const KINDS: [Kind; 3] = [Default, Python, Draft];

fn hello(kind: Kind, token: &str) -> Value {
    let mut hello = features(token, &ALL);
    match kind {
        Default => {}
        Python => hello["capabilities"]["agents"] = json!([]),
        Draft => hello["capabilities"]["x-vendor.arcp.profile"] = json!("draft"),
    }
    hello
}

fn memories() -> Memories<impl Mount> {
    let config = Config::default().with(|c| c.grace = Duration::from_secs(1));
    Memories::of(guarded(&config), &config)
}

async fn open(memories: &Memories<impl Mount>, kind: Kind) -> Peer<Memory> {
    let mut peer = memories.connect();
    let welcome = peer.say_hello(hello(kind, ALICE)).await;
    peer.welcomed(welcome);
    peer
}

/// The frames that answer a message: those that come before the pong to a ping behind it.
async fn answers(
    peer: &mut Peer<Memory>,
    kind: &str,
    job: Option<&str>,
    payload: Value,
) -> (String, Vec<Value>) {
    let id = match job {
        Some(job) => peer.send_of(kind, job, payload).await,
        None => peer.send(kind, payload).await,
    };
    let frames = peer.during(Duration::from_millis(10)).await;
    (id, frames)
}

/// What a client sees of a refusal: each frame's type, and whether it names a job.
fn shape(frames: &[Value]) -> Vec<(String, bool)> {
    let one = |frame: &Value| (frame["type"].as_str().unwrap().to_owned(), frame["job_id"].is_string());
    frames.iter().map(one).collect()
}

fn shapes(wanted: &[(&str, bool)]) -> Vec<(String, bool)> {
    wanted.iter().map(|(kind, job)| ((*kind).to_owned(), *job)).collect()
}

#[tokio::test(start_paused = true)]
async fn t17_t18_a_welcome_has_what_each_client_needs() {
    let memories = memories();
    for kind in KINDS {
        let mut peer = memories.connect();
        let (id, message) = peer.message("session.hello", &hello(kind, ALICE));
        peer.send_text(message.to_string()).await;
        let welcome = peer.next().await;
        let payload = &welcome["payload"];
        assert_eq!(welcome["arcp"], "1.1");
        assert!(welcome["session_id"].as_str().unwrap().starts_with("sess_"));
        assert_eq!(welcome["id"] == id.as_str(), kind == Default, "{kind:?} matches replies by id");
        assert_eq!(payload["session_id"] == welcome["session_id"], kind != Draft, "{kind:?}");
        assert_eq!(payload["accepted_at"].is_string(), kind != Draft, "{kind:?}");
        assert!(payload["resume_token"].as_str().is_some_and(|token| token.len() > 20));
        assert!(payload["resume_window_sec"].as_u64().is_some_and(|window| window > 0));
        assert_eq!(payload["capabilities"]["encodings"], json!(["json"]));
        let echo = json!({ "name": "echo", "versions": ["1.0.0", "2.0.0"], "default": "2.0.0" });
        assert!(payload["capabilities"]["agents"].as_array().unwrap().contains(&echo));
        // One that was registered without a version.
        let slow = json!({ "name": "slow", "versions": ["1.0.0"], "default": "1.0.0" });
        assert!(payload["capabilities"]["agents"].as_array().unwrap().contains(&slow));
        assert!(!welcome.to_string().contains("null"), "{welcome}");
    }
}

#[tokio::test(start_paused = true)]
async fn p6_a_welcome_says_what_is_kept_and_what_that_survives() {
    let bound = Config::default().with(|c| c.max_session_bytes = 100 << 20);
    for (store, server) in ["volatile", "volatile", "power"].into_iter().zip(servers(&bound).await) {
        let in_memory = store == "volatile";
        for kind in KINDS {
            let mut peer = server.connect();
            let welcome = peer.say_hello(hello(kind, ALICE)).await;
            let said = welcome["payload"]["capabilities"].clone();
            assert_eq!(said["x-vendor.arcp.durability"], store, "{kind:?}");
            let bytes = said["x-vendor.arcp.unacknowledged_bytes"].as_u64().unwrap();
            assert!(bytes == 100 << 20 || (in_memory && bytes >= 8 << 20), "{kind:?} {bytes}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_acceptance_has_what_each_client_needs() {
    let memories = memories();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for kind in KINDS {
        let mut peer = open(&memories, kind).await;
        let (id, mut message) = peer.message("job.submit", &json!({ "agent": "echo", "input": 1 }));
        message["trace_id"] = json!(format!("00-{trace}-00f067aa0ba902b7-01"));
        peer.send_text(message.to_string()).await;
        let accepted = peer.reply(&id).await;
        let payload = &accepted["payload"];
        assert_eq!(accepted["type"], "job.accepted");
        assert_eq!(accepted["id"] == id.as_str(), kind == Default, "{kind:?}");
        assert_eq!(accepted["job_id"], payload["job_id"]);
        assert_eq!(payload["agent"], "echo@2.0.0");
        assert_eq!(payload["lease"], json!({}), "never omitted, never null");
        assert_eq!((accepted["trace_id"].as_str(), payload["trace_id"].as_str()), (Some(trace), Some(trace)));
        assert!(payload["accepted_at"].as_str().unwrap().ends_with('Z'));
        assert!(accepted["event_seq"].is_null(), "an acceptance has no number");
        assert!(!accepted.to_string().contains("null"), "{accepted}");
        let frames = peer.job(accepted["job_id"].as_str().unwrap()).await;
        assert_eq!(frames[0]["event_seq"], 1);
        assert_eq!(frames[0]["trace_id"], trace);
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_is_repeated_as_output_only_by_default_and_only_if_it_is_small() {
    let memories = memories();
    for kind in KINDS {
        let mut peer = open(&memories, kind).await;
        for (bytes, small) in [(10, true), ((256 << 10) - 2, true), (256 << 10, false), (900 << 10, false)] {
            let job = peer.submit("large", json!(bytes)).await;
            let end = peer.job(&job).await.pop().unwrap();
            let payload = &end["payload"];
            assert_eq!(end["type"], "job.result");
            assert_eq!(payload["final_status"], "success");
            assert_eq!(payload["result"].as_str().unwrap().len(), bytes);
            let output = payload.get("output");
            assert_eq!(output.is_some(), kind == Default && small, "{kind:?} {bytes}");
            assert!(output.is_none_or(|output| *output == payload["result"]));
            assert_eq!(payload["job_id"] == job.as_str(), kind != Draft, "{kind:?}");
            assert!(payload["completed_at"].is_string());
        }
        let job = peer.submit("echo", Value::Null).await;
        let end = peer.job(&job).await.pop().unwrap();
        assert_eq!(end["payload"].get("result"), Some(&Value::Null), "null is a result");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_cancelled_or_timed_out_is_an_error_and_for_python_a_result() {
    let memories = memories();
    for kind in KINDS {
        let mut peer = open(&memories, kind).await;
        let cancelled = peer.submit("slow", json!({})).await;
        peer.kind("job.event").await;
        let (id, mut frames) =
            answers(&mut peer, "job.cancel", Some(&cancelled), json!({ "reason": "enough" })).await;
        assert_eq!(shape(&frames[..1]), shapes(&[("job.cancelled", true)]));
        assert_eq!(frames[0]["payload"]["reason"], "enough");
        assert_eq!(frames[0]["payload"]["request_id"], id.as_str());
        assert_eq!(frames[0]["id"] == id.as_str(), kind == Default);
        assert!(frames[0]["event_seq"].is_null());
        let cancelled = frames.pop().unwrap();
        let submit = json!({ "agent": "slow", "input": {}, "max_runtime_sec": 1 });
        let timed_out = peer.submit_with(submit).await;
        let timed_out = peer.job(&timed_out).await.pop().unwrap();
        for (end, status, code) in
            [(cancelled, "cancelled", "CANCELLED"), (timed_out, "timed_out", "TIMEOUT")]
        {
            assert_eq!(end["payload"]["final_status"], status, "{kind:?} {end}");
            assert!(end["event_seq"].is_u64());
            if kind == Python {
                assert_eq!(end["type"], "job.result");
                assert!(end["payload"]["code"].is_null());
            } else {
                assert_eq!((&end["type"], &end["payload"]["code"]), (&json!("job.error"), &json!(code)));
                assert_eq!(end["payload"]["retryable"], false);
            }
        }
        let job = peer.submit("fails", json!({ "ms": 0 })).await;
        let end = peer.job(&job).await.pop().unwrap();
        assert_eq!(end["type"], "job.error");
        assert_eq!(end["payload"]["message"], "boom");
    }
}

#[tokio::test(start_paused = true)]
async fn t4_a_refusal_is_said_as_each_client_hears_it() {
    let memories = memories();
    let (a, b, of_job) = (("job.error", false), ("session.error", false), ("job.error", true));
    let named = |job: &str| json!({ "job_id": job });
    let unknown = "job_00000000000000000000000000";
    for kind in KINDS {
        let mut owner = open(&memories, kind).await;
        let job = owner.submit("slow", json!({})).await;
        let mut peer = open(&memories, kind).await;
        let per = |default: &[(&str, bool)], python: &[(&str, bool)], draft: &[(&str, bool)]| {
            shapes(match kind {
                Default => default,
                Python => python,
                Draft => draft,
            })
        };
        let cases = [
            ("job.submit", None, json!({ "agent": "nobody" }), per(&[a, b], &[b], &[b])),
            ("job.submit", None, json!({ "agent": "../x" }), per(&[a, b], &[b], &[b])),
            ("session.list_jobs", None, json!({}), per(&[a, b], &[b], &[b])),
            ("job.subscribe", None, named(unknown), per(&[a, b], &[b], &[b])),
            ("job.cancel", Some(unknown), json!({}), per(&[of_job], &[of_job], &[b])),
            ("job.cancel", Some(&*job), json!({}), per(&[a, b], &[], &[b])),
            ("session.ack", None, json!({ "last_processed_seq": 99 }), per(&[b], &[], &[b])),
            ("session.dance", None, json!({}), per(&[b], &[], &[b])),
            ("session.ping", None, json!({}), per(&[b], &[], &[b])),
        ];
        for (request, job, payload, mut wanted) in cases {
            let (id, frames) = answers(&mut peer, request, job, payload).await;
            if kind == Draft && request == "job.cancel" {
                // One frame, and it says which job it was about, though only in its payload.
                wanted = shapes(&[b]);
                assert!(frames[0]["payload"]["job_id"].is_string());
            }
            assert_eq!(shape(&frames), wanted, "{kind:?} {request} {frames:?}");
            for frame in &frames {
                assert_eq!(frame["payload"]["request_id"], id.as_str(), "{kind:?} {request}");
                assert!(frame["event_seq"].is_null());
                let own_id = frame["type"] == "job.error" && frame["job_id"].is_null();
                assert_eq!(frame["id"] == id.as_str(), own_id, "{kind:?} {request} {frame}");
                assert!(!frame.to_string().contains("null"), "{frame}");
            }
        }
        peer.send_text("no json").await;
        let frames = peer.during(Duration::from_millis(10)).await;
        assert_eq!(shape(&frames), per(&[b], &[], &[b]), "{kind:?}");
        peer.works().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_hello_is_said_as_each_client_hears_it() {
    let memories = memories();
    for kind in KINDS {
        let mut peer = memories.connect();
        peer.send("session.hello", hello(kind, "wrong")).await;
        assert_eq!(peer.closed().await.code, 1008);
        let frames = peer.during(Duration::ZERO).await;
        let wanted: &[_] = match kind {
            Default => &[("session.error", false), ("job.error", false)],
            Python | Draft => &[("session.error", false)],
        };
        assert_eq!(shape(&frames), shapes(wanted), "{kind:?}");
        assert!(frames.iter().all(|frame| frame["payload"]["code"] == "UNAUTHENTICATED"));
        assert!(frames.iter().all(|frame| frame["session_id"].is_string()), "some drop a frame without");
    }
}

#[tokio::test(start_paused = true)]
async fn for_python_a_refused_submit_beside_a_live_job_is_a_job_that_ends_at_once() {
    let memories = memories();
    let mut peer = open(&memories, Python).await;
    let live = peer.submit("slow", json!({})).await;
    peer.pick(|frame| frame["job_id"] == live.as_str()).await;
    for (agent, name, code) in [
        ("nobody", "nobody", "AGENT_NOT_AVAILABLE"),
        ("echo@9.9.9", "echo@9.9.9", "AGENT_VERSION_NOT_AVAILABLE"),
        ("../x", "unknown", "INVALID_REQUEST"),
    ] {
        let (id, frames) = answers(&mut peer, "job.submit", None, json!({ "agent": agent })).await;
        assert_eq!(shape(&frames), shapes(&[("job.accepted", true), ("job.error", true)]), "{frames:?}");
        assert_eq!(frames[0]["payload"]["request_id"], id.as_str());
        assert_eq!(frames[0]["payload"]["agent"], name);
        assert_eq!(frames[0]["job_id"], frames[1]["job_id"]);
        assert_eq!(frames[1]["payload"]["code"], code);
        assert_eq!(frames[1]["payload"]["final_status"], "error");
        assert!(frames[1]["event_seq"].is_u64(), "it is the end of a job");
    }
    // The live job was not harmed, and a job that never was cannot be found.
    assert_eq!(peer.cancel(&live).await["type"], "job.cancelled");
    assert_eq!(peer.job(&live).await.last().unwrap()["payload"]["final_status"], "cancelled");
    let (_, frames) = answers(&mut peer, "job.submit", None, json!({ "agent": "nobody" })).await;
    assert_eq!(shape(&frames), shapes(&[("session.error", false)]), "alone again");
}

#[tokio::test(start_paused = true)]
async fn for_python_a_watched_jobs_history_waits_until_the_client_can_have_taken_the_answer() {
    let memories = memories();
    let mut owner = open(&memories, Default).await;
    let job = owner.submit("echo", json!(1)).await;
    owner.job(&job).await;
    for kind in KINDS {
        let mut peer = open(&memories, kind).await;
        let began = tokio::time::Instant::now();
        peer.subscribe(&job, true).await;
        peer.job(&job).await;
        assert_eq!(began.elapsed() > Duration::ZERO, kind == Python, "{kind:?}");
    }
}
