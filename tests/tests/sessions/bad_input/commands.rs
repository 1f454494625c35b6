//! Messages that have no place, or break a rule.

use std::time::Duration;

use arcp_core::transport::Close;
use arcp_tests::wire::{TEXT, frame};
use arcp_tests::{ALICE, ALL, BOB, Server, features};
use arcp_tower::Config;
use serde_json::{Value, json};

use super::{abused, ended_by, refusal};

#[tokio::test]
async fn t3_t11_bad_input_17_a_message_without_a_place_is_refused_and_the_session_lives() {
    let (server, mut bad, mut good) = abused().await;
    let hello = features(ALICE, &ALL);
    let unknown = "job_00000000000000000000000000";
    let cases = [
        ("session.hello", hello, "INVALID_REQUEST", "open already"),
        ("session.resume", json!({}), "INVALID_REQUEST", "a resume needs resume_token"),
        ("session.welcome", json!({}), "INVALID_REQUEST", "of the runtime"),
        ("job.event", json!({}), "INVALID_REQUEST", "of the runtime"),
        ("job.accepted", json!({}), "INVALID_REQUEST", "of the runtime"),
        ("session.dance", json!({}), "INVALID_REQUEST", "type: is not known"),
        ("Session.Ping", json!({ "nonce": "x" }), "INVALID_REQUEST", "type: is not known"),
        ("session.ping ", json!({ "nonce": "x" }), "INVALID_REQUEST", "type: is not known"),
        ("x\"\n\u{1b}[31m", json!({}), "INVALID_REQUEST", "type: is not known"),
        ("session.ping", json!({}), "INVALID_REQUEST", "nonce"),
        ("session.ping", json!({ "nonce": 7 }), "INVALID_REQUEST", "payload.nonce: must be a text"),
        ("session.list_jobs", json!({}), "INVALID_REQUEST", "list_jobs was not negotiated"),
        ("job.subscribe", json!({}), "INVALID_REQUEST", "job_id: must be there"),
        ("job.subscribe", json!({ "job_id": unknown }), "JOB_NOT_FOUND", "no job"),
        (
            "job.subscribe",
            json!({ "job_id": unknown, "history": "yes" }),
            "INVALID_REQUEST",
            "payload.history",
        ),
        (
            "job.subscribe",
            json!({ "job_id": unknown, "history": true, "from_event_seq": -1 }),
            "INVALID_REQUEST",
            "payload.from_event_seq",
        ),
        ("job.cancel", json!({}), "INVALID_REQUEST", "job_id: must be there"),
        ("job.cancel", json!({ "job_id": "a\"b" }), "INVALID_REQUEST", "payload.job_id"),
        ("job.cancel", json!({ "job_id": unknown }), "JOB_NOT_FOUND", "no job"),
    ];
    for (kind, payload, code, words) in cases {
        let id = bad.send(kind, payload.clone()).await;
        let answer = bad.reply(&id).await;
        let said = refusal(&answer);
        assert_eq!(said.0, code, "{kind} {payload}: {answer}");
        assert!(said.1.contains(words), "{kind} {payload}: {}", said.1);
        good.ping("g").await;
        bad.ping("b").await;
    }
    bad.works().await;
    good.works().await;
    server.stop().await;
}

#[tokio::test]
async fn s13_bad_input_20_a_message_that_names_another_session_is_refused_and_not_carried_out() {
    let (server, mut bad, mut good) = abused().await;
    let own = server.open(ALICE, &ALL).await;
    for session in [good.session(), own.session(), "sess_of_nobody"].map(str::to_owned) {
        let (id, mut message) = bad.message("job.submit", &json!({ "agent": "echo", "input": 1 }));
        message["session_id"] = json!(session);
        bad.send_text(message.to_string()).await;
        let answer = bad.reply(&id).await;
        assert_eq!(
            refusal(&answer),
            ("INVALID_REQUEST", "session_id: must be the session of this connection")
        );
    }
    bad.works().await;
    good.works().await;
    server.stop().await;
}

#[tokio::test]
async fn an_input_that_does_not_fit_the_agents_type_names_the_path() {
    let (server, mut bad, _good) = abused().await;
    let cases = [
        (json!({ "items": [{ "count": 1 }, { "count": "s3cret" }] }), "input.items[1].count: must be u32"),
        (json!({ "items": [{}] }), "input.items[0]: lacks the field `count`"),
        (json!({ "items": 7 }), "input.items: must be a list"),
        (json!("s3cret"), "input: must be an object"),
        (Value::Null, "input: must be an object"),
    ];
    for (input, wanted) in cases {
        let id = bad.send("job.submit", json!({ "agent": "typed", "input": input })).await;
        let answer = bad.reply(&id).await;
        assert_eq!(refusal(&answer), ("INVALID_REQUEST", wanted));
        let path = wanted.split_once(": ").unwrap().0;
        assert_eq!(answer["payload"]["details"]["path"], path);
    }
    let job = bad.submit("typed", json!({ "items": [{ "count": 1 }], "more": "is ignored" })).await;
    assert_eq!(bad.job(&job).await.last().unwrap()["payload"]["result"], 1);
    server.stop().await;
}

#[tokio::test]
async fn bad_input_25_ten_thousand_pings_at_once_are_all_answered() {
    let (server, mut bad, mut good) = abused().await;
    let frames: Vec<String> = (0..10_000)
        .map(|i| bad.message("session.ping", &json!({ "nonce": format!("n{i}") })).1.to_string())
        .collect();
    let pongs = bad.flood(frames, 10_000).await;
    for (i, pong) in pongs.iter().enumerate() {
        assert!(pong.contains(&format!("\"ping_nonce\":\"n{i}\"")), "{pong}");
    }
    bad.works().await;
    good.works().await;
    server.stop().await;
}

#[tokio::test]
async fn bad_input_24_a_bad_ack_is_refused_and_moves_nothing() {
    let server = Server::guarded(&Config::default()).await;
    let mut plain = server.open(ALICE, &["progress"]).await;
    let id = plain.send("session.ack", json!({ "last_processed_seq": 0 })).await;
    let answer = plain.reply(&id).await;
    assert_eq!(answer["payload"]["details"], json!({ "feature": "ack" }));
    plain.works().await;

    let mut acking = server.open(ALICE, &ALL).await;
    acking.works().await;
    for bad in ["2", "9007199254740993", "-1", "1.0", "1e0", "18446744073709551616", "\"1\"", "null"] {
        let (id, message) = acking.message("session.ack", &json!({ "last_processed_seq": "@" }));
        acking.send_text(message.to_string().replace("\"@\"", bad)).await;
        let answer = acking.reply(&id).await;
        let (code, words) = refusal(&answer);
        assert_eq!(code, "INVALID_REQUEST", "{bad}");
        assert!(words.starts_with("payload.last_processed_seq: must"), "{bad}: {words}");
    }
    // A good one is taken without a word, and so is one that goes back.
    for good in [1, 0, 1] {
        acking.ack(good).await;
    }
    acking.works().await;
    server.stop().await;
}

#[tokio::test]
async fn s1_s6_t66_a_cancellation_that_is_not_ones_own_is_refused() {
    let server = Server::guarded(&Config::default()).await;
    let mut owner = server.open(ALICE, &ALL).await;
    let mut sibling = server.open(ALICE, &ALL).await;
    let mut stranger = server.open(BOB, &ALL).await;
    let job = owner.submit("slow", json!({})).await;

    let answer = sibling.cancel(&job).await;
    assert_eq!(refusal(&answer).0, "PERMISSION_DENIED");
    assert!(answer["job_id"].is_null(), "it must not look like the end of the job: {answer}");

    let unknown = "job_00000000000000000000000000";
    let same = |frame: &Value, job: &str| {
        let mut frame = frame.clone();
        frame["payload"]["completed_at"] = Value::Null;
        let request = frame["payload"]["request_id"].as_str().unwrap().to_owned();
        let id = frame["id"].as_str().unwrap().to_owned();
        frame.to_string().replace(job, "J").replace(&request, "R").replace(&id, "I")
    };
    let of_other = stranger.cancel(&job).await;
    let of_nobody = stranger.cancel(unknown).await;
    assert_eq!(refusal(&of_other).0, "JOB_NOT_FOUND");
    assert_eq!(same(&of_other, &job), same(&of_nobody, unknown));
    let watch = |job: &str| json!({ "job_id": job, "history": true });
    let id = stranger.send("job.subscribe", watch(&job)).await;
    let of_other = stranger.reply(&id).await;
    let id = stranger.send("job.subscribe", watch(unknown)).await;
    let of_nobody = stranger.reply(&id).await;
    assert_eq!(refusal(&of_other).0, "JOB_NOT_FOUND");
    assert_eq!(same(&of_other, &job), same(&of_nobody, unknown));

    assert_eq!(owner.cancel(&job).await["type"], "job.cancelled");
    let end = owner.job(&job).await.pop().unwrap();
    assert_eq!(
        (end["type"].as_str(), end["payload"]["code"].as_str()),
        (Some("job.error"), Some("CANCELLED"))
    );
    server.stop().await;
}

#[tokio::test]
async fn a_cancellation_may_be_repeated_until_the_job_has_ended() {
    let server = Server::guarded(&Config::default().with(|c| c.grace = Duration::from_millis(200))).await;
    let mut owner = server.open(ALICE, &ALL).await;
    let job = owner.submit("stubborn", json!({})).await;
    assert_eq!(owner.cancel(&job).await["type"], "job.cancelled");
    assert_eq!(owner.cancel(&job).await["type"], "job.cancelled");
    let ends = owner.job(&job).await;
    assert_eq!(ends.last().unwrap()["payload"]["code"], "CANCELLED");

    let answer = owner.cancel(&job).await;
    assert_eq!(refusal(&answer).0, "INVALID_REQUEST");
    assert_eq!(answer["payload"]["details"]["reason"], "already_ended");
    owner.works().await;
    server.stop().await;
}

#[tokio::test]
async fn a_job_that_is_named_twice_must_be_named_alike() {
    let (server, mut bad, _good) = abused().await;
    let job = bad.submit("slow", json!({})).await;
    let id = bad.send_of("job.cancel", &job, json!({ "job_id": "job_of_nobody" })).await;
    let answer = bad.reply(&id).await;
    assert_eq!(refusal(&answer).1, "job_id: must be the same in the payload");
    server.stop().await;
}

#[tokio::test]
async fn bad_input_30_33_a_submit_that_breaks_a_rule_is_refused_by_name() {
    let (server, mut bad, mut good) = abused().await;
    let many: Vec<String> = (0..1025).map(|i| format!("/{i}")).collect();
    let with = |more: Value| {
        let mut submit = json!({ "agent": "echo", "input": 1 });
        submit.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        submit
    };
    let lease = |lease: Value| with(json!({ "lease_request": lease }));
    let cases = [
        (lease(json!({ "fs.exec": ["/a"] })), "payload.lease_request"),
        (lease(json!({ "x-vendor.": ["/a"] })), "payload.lease_request"),
        (lease(json!({ "fs.read": "/a" })), "payload.lease_request"),
        (lease(json!({ "fs.read": [1] })), "payload.lease_request"),
        (lease(json!({ "fs.read": [""] })), "payload.lease_request.fs.read: each pattern"),
        (lease(json!({ "fs.read": ["/a\0"] })), "payload.lease_request.fs.read: each pattern"),
        (lease(json!({ "fs.read": ["p".repeat(1025)] })), "payload.lease_request.fs.read: each pattern"),
        (lease(json!({ "fs.read": many })), "payload.lease_request: must have at most 1024 patterns"),
        (with(json!({ "lease_request": [] })), "payload.lease_request"),
        (with(json!({ "max_runtime_sec": 0 })), "payload.max_runtime_sec: must be 1 to"),
        (with(json!({ "max_runtime_sec": -1 })), "payload.max_runtime_sec: must be"),
        (with(json!({ "max_runtime_sec": 1.5 })), "payload.max_runtime_sec: must be"),
        (with(json!({ "max_runtime_sec": 1_u64 << 63 })), "payload.max_runtime_sec: must be 1 to"),
        (with(json!({ "max_runtime_sec": "60" })), "payload.max_runtime_sec: must be"),
        (json!({ "input": 1 }), "payload: lacks the field `agent`"),
        (json!({ "agent": 7 }), "payload.agent: must be"),
    ];
    for (submit, wanted) in cases {
        let id = bad.send("job.submit", submit.clone()).await;
        let answer = bad.reply(&id).await;
        let (code, words) = refusal(&answer);
        assert_eq!(code, "INVALID_REQUEST", "{answer}");
        assert!(words.starts_with(wanted), "{submit}: {words}");
        good.ping("g").await;
    }
    for (submit, feature) in [
        (lease(json!({ "cost.budget": ["USD:1.00"] })), "cost.budget"),
        (lease(json!({ "model.use": ["m/*"] })), "model.use"),
        (with(json!({ "lease_constraints": { "expires_at": "2099-01-01T00:00:00Z" } })), "lease_expires_at"),
    ] {
        let id = bad.send("job.submit", submit).await;
        let answer = bad.reply(&id).await;
        assert_eq!(answer["payload"]["details"], json!({ "feature": feature }));
        assert_eq!(refusal(&answer).0, "INVALID_REQUEST");
    }
    bad.works().await;
    server.stop().await;
}

#[tokio::test]
async fn t73_bad_input_28_an_agents_name_that_is_none_is_refused_and_one_that_nobody_has_is_not_available() {
    let (server, mut bad, mut good) = abused().await;
    let long = "a".repeat(10 << 10);
    for name in ["../x", "A", "", "a@", "@1", "a@b@c", &long, "еcho", "echo@1.0.0 ", " echo", "a\nb", "a\"b"]
    {
        let id = bad.send("job.submit", json!({ "agent": name, "input": 1 })).await;
        let answer = bad.reply(&id).await;
        let (code, words) = refusal(&answer);
        assert_eq!(code, "INVALID_REQUEST", "{name:?}");
        assert!(words.starts_with("payload.agent: must be a lower-case name"), "{name:?}: {words}");
    }
    for (name, code) in [("nobody", "AGENT_NOT_AVAILABLE"), ("echo@9.9.9", "AGENT_VERSION_NOT_AVAILABLE")] {
        let id = bad.send("job.submit", json!({ "agent": name, "input": 1 })).await;
        assert_eq!(refusal(&bad.reply(&id).await).0, code);
    }
    bad.works().await;
    good.works().await;
    server.stop().await;
}

#[tokio::test]
async fn bad_input_29_an_input_that_is_missing_is_null_and_one_too_deep_or_too_large_is_not_taken() {
    let (server, mut bad, mut good) = abused().await;
    let job = bad.submit_with(json!({ "agent": "echo" })).await;
    assert_eq!(bad.job(&job).await.last().unwrap()["payload"]["result"], Value::Null);
    let id = bad.send("job.submit", json!({ "agent": "length" })).await;
    assert_eq!(refusal(&bad.reply(&id).await), ("INVALID_REQUEST", "input: must be a text"));

    let submit = |input: String| {
        format!(
            r#"{{"arcp":"1.1","id":"i","type":"job.submit","payload":{{"agent":"echo","input":{input}}}}}"#
        )
    };
    bad.send_text(submit(format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)))).await;
    let deep = bad.pick(|frame| frame["payload"]["message"] == "message: must nest at most 128 deep").await;
    assert_eq!(refusal(&deep).0, "INVALID_REQUEST");
    bad.works().await;
    // Members of objects and strings with brackets are no depth.
    bad.send_text(submit(format!(r#"["{}"]"#, "[".repeat(10_000)))).await;
    let accepted = bad.kind("job.accepted").await;
    bad.job(accepted["job_id"].as_str().unwrap()).await;
    good.ping("deep").await;

    let large = submit(format!("\"{}\"", "x".repeat(10 << 20)));
    let (code, _, welcome) = ended_by(&server, frame(TEXT, large.as_bytes())).await;
    assert_eq!(code, Close::TOO_LARGE);
    let mut next = server.connect().await;
    let mut hello = features(ALICE, &ALL);
    hello["resume"] = json!({
        "session_id": welcome["session_id"], "resume_token": welcome["payload"]["resume_token"],
        "last_event_seq": 0,
    });
    let again = next.say_hello(hello).await;
    assert_eq!(next.welcomed(again)["session_id"], welcome["session_id"]);
    next.works().await;
    good.works().await;
    server.stop().await;
}
