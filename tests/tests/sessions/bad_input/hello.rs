//! What is said before there is a session.

use arcp_core::transport::Close;
use arcp_tests::{ALICE, ALL, BOB, Memories, Server, features, guarded};
use arcp_tower::Config;
use serde_json::{Value, json};

use super::refusal;

#[tokio::test]
async fn t9_bad_input_18_a_hello_that_is_refused_says_why_and_closes_with_1008() {
    let server = Server::guarded(&Config::default()).await;
    let mut good = server.open(BOB, &ALL).await;
    let auth = |auth: Value| json!({ "auth": auth, "capabilities": {} });
    let huge = "t".repeat(8 << 10);
    let cases = [
        (features("wrong", &ALL), "UNAUTHENTICATED"),
        (features(&ALICE[1..], &ALL), "UNAUTHENTICATED"),
        (features(&huge, &ALL), "UNAUTHENTICATED"),
        (features("alice\ntoken", &ALL), "UNAUTHENTICATED"),
        (features("", &ALL), "UNAUTHENTICATED"),
        (json!({ "capabilities": {} }), "UNAUTHENTICATED"),
        (auth(Value::Null), "UNAUTHENTICATED"),
        (auth(json!({ "scheme": "bearer" })), "UNAUTHENTICATED"),
        (auth(json!({ "scheme": "basic", "token": ALICE })), "UNAUTHENTICATED"),
        (auth(json!({ "scheme": "none" })), "UNAUTHENTICATED"),
        (auth(json!({ "scheme": "none", "token": ALICE })), "UNAUTHENTICATED"),
        (auth(json!({ "scheme": "bearer", "token": 7 })), "INVALID_REQUEST"),
        (auth(json!({ "scheme": 7, "token": ALICE })), "INVALID_REQUEST"),
        (auth(json!(ALICE)), "INVALID_REQUEST"),
    ];
    for (payload, code) in cases {
        let mut bad = server.connect().await;
        let answer = bad.say_hello(payload.clone()).await;
        assert_eq!(refusal(&answer).0, code, "{answer}");
        assert_eq!(answer["type"], "session.error");
        assert!(!answer.to_string().contains(ALICE), "a secret is not repeated");
        assert_eq!(bad.closed().await.code, Close::POLICY, "{payload}");
        good.ping("g").await;
    }
    let mut odd = server.connect().await;
    let mut hello = features(ALICE, &[]);
    hello["capabilities"]["features"] = json!("ack");
    let answer = odd.say_hello(hello).await;
    assert_eq!(refusal(&answer).0, "INVALID_REQUEST");
    assert!(refusal(&answer).1.starts_with("payload.capabilities.features"), "{answer}");
    assert_eq!(odd.closed().await.code, Close::POLICY);
    good.works().await;
    server.stop().await;
}

#[tokio::test]
async fn bad_input_19_features_that_nobody_knows_are_left_out() {
    let server = Server::guarded(&Config::default()).await;
    let mut odd = server.connect().await;
    let names: Vec<String> = (0..500).map(|i| format!("f{i}")).chain(["ack".into(), "ack".into()]).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let welcome = odd.hello(ALICE, &names).await;
    assert_eq!(welcome["payload"]["capabilities"]["features"], json!(["ack"]));
    server.stop().await;
}

#[tokio::test]
async fn bad_input_17_s15_anything_before_a_hello_is_refused_and_closes_with_1008() {
    let server = Server::guarded(&Config::default()).await;
    let mut good = server.open(BOB, &ALL).await;
    let submit = json!({ "arcp": "1.1", "id": "a", "type": "job.submit", "payload": { "agent": "echo" } });
    let ping = json!({ "arcp": "1.1", "id": "a", "type": "session.ping", "payload": { "nonce": "x" } });
    let open = json!({ "arcp": "1.1", "id": "a", "type": "session.open", "payload": {} });
    let old = json!({ "arcp": "0.9", "id": "a", "type": "session.hello", "payload": {} });
    for text in [
        submit.to_string(),
        ping.to_string(),
        open.to_string(),
        old.to_string(),
        "garbage".into(),
        "[]".into(),
    ] {
        let mut bad = server.connect().await;
        bad.send_text(text.clone()).await;
        let answer = bad.next().await;
        assert_eq!(refusal(&answer).0, "INVALID_REQUEST", "{text}: {answer}");
        assert_eq!(bad.closed().await.code, Close::POLICY, "{text}");
        good.ping("g").await;
    }
    good.works().await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn s15_without_a_hello_a_connection_is_refused_after_five_seconds() {
    let config = Config::default();
    let memories = Memories::of(guarded(&config), &config);
    let mut silent = memories.connect();
    let began = tokio::time::Instant::now();
    let answer = silent.next().await;
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(refusal(&answer), ("INVALID_REQUEST", "session.hello must come within 5s"));
    assert_eq!(silent.closed().await.code, Close::POLICY);
}

#[tokio::test]
async fn bad_input_18_s15_a_first_frame_above_16_kib_closes_with_1009() {
    let server = Server::guarded(&Config::default()).await;
    let mut good = server.open(BOB, &ALL).await;
    for pad in [16 << 10, 18 << 10, 60 << 10, 1 << 20] {
        let mut bad = server.connect().await;
        let mut hello = features(ALICE, &ALL);
        hello["pad"] = json!("p".repeat(pad));
        bad.send("session.hello", hello).await;
        assert_eq!(bad.closed().await.code, Close::TOO_LARGE, "{pad}");
        good.ping("g").await;
    }
    let mut just = server.connect().await;
    let mut hello = features(ALICE, &ALL);
    hello["pad"] = json!("p".repeat(15 << 10));
    let welcome = just.say_hello(hello).await;
    just.welcomed(welcome);
    just.works().await;
    good.works().await;
    server.stop().await;
}
