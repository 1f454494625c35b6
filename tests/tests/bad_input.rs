//! What a runtime answers to what no peer should send, and that it harms nobody else (ruling 8).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use arcp_core::transport::{Close, WebSocket};
use arcp_tests::wire::{BINARY, Frame, PING, TEXT, frame, header, request};
use arcp_tests::{ALICE, ALL, BOB, Memories, Peer, Server, features, guarded};
use arcp_tower::Config;
use serde_json::{Value, json};
use tokio::net::TcpStream;

type Socket = Peer<WebSocket<TcpStream>>;

/// The `session.error` of a refusal; every one of them has a code, words and `retryable`.
fn refusal(frame: &Value) -> (&str, &str) {
    let payload = &frame["payload"];
    assert!(matches!(frame["type"].as_str(), Some("session.error" | "job.error")), "{frame}");
    assert!(payload["retryable"].is_boolean(), "{frame}");
    assert!(frame["event_seq"].is_null(), "a refusal has no number: {frame}");
    (payload["code"].as_str().unwrap(), payload["message"].as_str().unwrap())
}

/// A server, a session that is abused, and one that must not notice.
async fn abused() -> (Server, Socket, Socket) {
    let server = Server::guarded(&Config::default()).await;
    let bad = server.open(ALICE, &ALL).await;
    let good = server.open(BOB, &ALL).await;
    (server, bad, good)
}

#[tokio::test]
async fn a_frame_that_is_no_message_is_refused_by_field_and_rule_and_the_session_lives() {
    let (server, mut bad, mut good) = abused().await;
    let deep = format!(
        r#"{{"arcp":"1.1","type":"job.submit","payload":{{"agent":"echo","input":{}{}}}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let with = |member: &str| format!(r#"{{"arcp":"1.1","type":"session.ping",{member}}}"#);
    let long = "x".repeat(10_240);
    let cases: Vec<(String, &str)> = vec![
        (String::new(), "message: "),
        (" ".into(), "message: "),
        ("not json".into(), "message: "),
        ("{\"arcp\":\"1.1\",\"id\":".into(), "message: "),
        ("\u{feff}{}".into(), "message: "),
        ("null".into(), "message: must be a JSON object"),
        ("[]".into(), "message: must be a JSON object"),
        ("\"x\"".into(), "message: must be a JSON object"),
        ("1".into(), "message: must be a JSON object"),
        ("{}{}".into(), "message: must be one JSON object"),
        (format!("{0}\n{0}", with("\"payload\":{}")), "message: must be one JSON object"),
        ("[".repeat(10_000), "message: must nest at most 128 deep"),
        (deep, "message: must nest at most 128 deep"),
        (r#"{"arcp":"1.1"}"#.into(), "type: must be there"),
        (r#"{"type":"session.ping"}"#.into(), "arcp: must be a version"),
        (r#"{"arcp":"2","type":"session.ping"}"#.into(), "arcp: must be a version"),
        (r#"{"arcp":"1.x","type":"session.ping"}"#.into(), "arcp: must be a version"),
        (r#"{"arcp":1.1,"type":"session.ping"}"#.into(), "arcp: must be a text"),
        (r#"{"arcp":"1.1","type":""}"#.into(), "type: must have 1 to 128"),
        (format!(r#"{{"arcp":"1.1","type":"{long}"}}"#), "type: must have 1 to 128"),
        (r#"{"arcp":"1.1","type":7}"#.into(), "type: must be a text"),
        (r#"{"arcp":"1.1","type":null}"#.into(), "type: must be there"),
        (with("\"id\":7"), "id: must be a text"),
        (with("\"id\":[]"), "id: must be a text"),
        (with("\"session_id\":{}"), "session_id: must be a text"),
        (with("\"job_id\":true"), "job_id: must be a text"),
        (with("\"trace_id\":12"), "trace_id: must be a text"),
        (with("\"trace_id\":\"xyz\""), "trace_id: must be"),
        (with("\"event_seq\":\"1\""), "event_seq: must be a whole number"),
        (with("\"event_seq\":-1"), "event_seq: must be a whole number"),
        (with("\"event_seq\":1.0"), "event_seq: must be a whole number"),
        (with("\"event_seq\":1e2"), "event_seq: must be a whole number"),
        (with("\"event_seq\":18446744073709551616"), "event_seq: must be a whole number"),
        (with("\"event_seq\":1e400"), "event_seq: must be a whole number"),
        (with("\"event_seq\":NaN"), "message: must be one JSON object"),
        (with("\"payload\":[]"), "payload: must be an object"),
        (with("\"payload\":\"{}\""), "payload: must be an object"),
        (with("\"type\":\"session.ping\""), "type: must be there once"),
        (with("\"\\u0074ype\":\"session.ping\""), "type: must be there once"),
        (with("\"payload\":{},\"payload\":{}"), "payload: must be there once"),
        (with("\"event_seq\":1,\"event_seq\":2"), "event_seq: must be there once"),
        (with("\"id\":\"a\\\"b\""), "id: must be 1 to 128 printable"),
        (with("\"id\":\"a\\nb\""), "id: must be 1 to 128 printable"),
        (with("\"id\":\"a\\u0000b\""), "id: must be 1 to 128 printable"),
        (with("\"id\":\"\\ud800\""), "id: must be"),
        (with("\"id\":\"\""), "id: must be 1 to 128 printable"),
        (with(&format!("\"id\":\"{long}\"")), "id: must be 1 to 128 printable"),
        (with("\"session_id\":\"a\\\"b\""), "session_id: must be 1 to 128 printable"),
        (with("\"job_id\":\"a\\nb\""), "job_id: must be 1 to 128 printable"),
    ];
    for (text, wanted) in cases {
        let shown: String = text.chars().take(80).collect();
        bad.send_text(text).await;
        let answer = bad.next().await;
        let (code, message) = refusal(&answer);
        assert_eq!(code, "INVALID_REQUEST", "{shown}");
        assert!(message.starts_with(wanted), "{shown}: {message}");
        good.ping("g").await;
        bad.ping("b").await;
    }
    bad.works().await;
    good.works().await;
    server.stop().await;
}

#[tokio::test]
async fn a_refused_version_names_those_that_are_supported() {
    let (server, mut bad, _good) = abused().await;
    bad.send_text(r#"{"arcp":"2","id":"the-id","type":"session.ping","payload":{"nonce":"x"}}"#).await;
    let answer = bad.next().await;
    assert_eq!(answer["payload"]["request_id"], "the-id");
    assert_eq!(answer["payload"]["details"]["supported"], json!(["1.1"]));
    server.stop().await;
}

#[tokio::test]
async fn a_message_without_a_place_is_refused_and_the_session_lives() {
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
async fn a_message_that_names_another_session_is_refused() {
    let (server, mut bad, mut good) = abused().await;
    for session in [good.session().to_owned(), "sess_of_nobody".to_owned()] {
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
async fn a_hello_that_is_refused_says_why_and_closes_with_1008() {
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
async fn features_that_nobody_knows_are_left_out() {
    let server = Server::guarded(&Config::default()).await;
    let mut odd = server.connect().await;
    let names: Vec<String> = (0..500).map(|i| format!("f{i}")).chain(["ack".into(), "ack".into()]).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let welcome = odd.hello(ALICE, &names).await;
    assert_eq!(welcome["payload"]["capabilities"]["features"], json!(["ack"]));
    server.stop().await;
}

#[tokio::test]
async fn anything_before_a_hello_is_refused_and_closes_with_1008() {
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
async fn without_a_hello_a_connection_is_refused_after_five_seconds() {
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
async fn a_first_frame_above_16_kib_closes_with_1009() {
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

/// Writes `bytes` on an open session's socket, and returns the code it is closed with, and the
/// texts that came before.
async fn closed_after(server: &Server, bytes: Vec<u8>) -> (u16, Vec<Value>) {
    let (code, texts, _) = ended_by(server, bytes).await;
    (code, texts)
}

/// The same, and the welcome.
async fn ended_by(server: &Server, bytes: Vec<u8>) -> (u16, Vec<Value>, Value) {
    let mut wire = server.wire().await;
    let hello =
        json!({ "arcp": "1.1", "id": "h", "type": "session.hello", "payload": features(ALICE, &ALL) });
    wire.write(&frame(TEXT, hello.to_string().as_bytes())).await;
    let Frame::Text(welcome) = wire.read().await else { panic!("no welcome") };
    assert!(welcome.contains("session.welcome"));
    let mut frames = wire.write_until_closed(bytes).await;
    let Some(Frame::Close(code)) = frames.pop() else { panic!("no close frame") };
    let texts = frames.into_iter().map(|frame| match frame {
        Frame::Text(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?}"),
    });
    (code, texts.collect(), serde_json::from_str(&welcome).unwrap())
}

#[tokio::test]
async fn a_session_whose_connection_a_bad_frame_ended_goes_on_with_the_next() {
    let server = Server::guarded(&Config::default()).await;
    let cases = [
        (header(TEXT, 65 << 20), Close::TOO_LARGE),
        (frame(TEXT, b"\"\xff\xfe\""), Close::NOT_UTF8),
        (frame(0x83, b"{}"), Close::PROTOCOL),
        (frame(BINARY, b"{}"), Close::UNSUPPORTED),
    ];
    for (bytes, wanted) in cases {
        let (code, _, welcome) = ended_by(&server, bytes).await;
        assert_eq!(code, wanted);
        let mut next = server.connect().await;
        let mut hello = features(ALICE, &ALL);
        hello["resume"] = json!({
            "session_id": welcome["session_id"],
            "resume_token": welcome["payload"]["resume_token"],
            "last_event_seq": 0,
        });
        let again = next.say_hello(hello).await;
        let again = next.welcomed(again);
        assert_eq!(again["session_id"], welcome["session_id"], "{code}");
        next.works().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_breach_of_the_websocket_closes_with_its_code_and_harms_nobody_else() {
    let server = Server::guarded(&Config::default()).await;
    let mut good = server.open(BOB, &ALL).await;
    let job = good.submit("slow", json!({})).await;
    let unmasked = [&[TEXT, 2][..], b"{}"].concat();
    let mut huge = header(TEXT, 65 << 20);
    huge.resize(huge.len() + (65 << 20), b'x');
    let mut fragments = frame(0x01, b"{\"arcp\":");
    for _ in 0..40 {
        fragments.extend(frame(0x00, &vec![b' '; 64 << 10]));
    }
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("65 MiB", huge, Close::TOO_LARGE),
        ("65 MiB that never come", header(TEXT, 65 << 20), Close::TOO_LARGE),
        ("2^63 bytes that never come", header(TEXT, usize::MAX >> 1), Close::TOO_LARGE),
        ("fragments that pass the limit together", fragments, Close::TOO_LARGE),
        ("text that is no UTF-8", frame(TEXT, b"\"\xff\xfe\""), Close::NOT_UTF8),
        (
            "a fragment that is no UTF-8",
            [frame(0x01, b"\"\xc3"), frame(0x80, b"(\"")].concat(),
            Close::NOT_UTF8,
        ),
        ("an unmasked frame", unmasked, Close::PROTOCOL),
        ("a reserved bit", frame(0xC1, b"{}"), Close::PROTOCOL),
        ("a reserved opcode", frame(0x83, b"{}"), Close::PROTOCOL),
        ("a fragmented ping", frame(0x09, b"hi"), Close::PROTOCOL),
        ("a ping of 126 bytes", frame(PING, &[b'p'; 126]), Close::PROTOCOL),
        ("a continuation of nothing", frame(0x80, b"{}"), Close::PROTOCOL),
    ];
    for (what, bytes, code) in cases {
        assert_eq!(closed_after(&server, bytes).await, (code, vec![]), "{what}");
        good.ping(what).await;
    }
    let (code, texts) = closed_after(&server, frame(BINARY, b"{}")).await;
    assert_eq!(code, Close::UNSUPPORTED);
    assert_eq!(refusal(&texts[0]), ("INVALID_REQUEST", "message: must be a text frame"));
    good.works().await;
    assert_eq!(good.cancel(&job).await["type"], "job.cancelled");
    server.stop().await;
}

#[tokio::test]
async fn a_message_just_below_2_mib_is_taken() {
    let server = Server::guarded(&Config::default()).await;
    let mut peer = server.open(ALICE, &ALL).await;
    let length = (2 << 20) - 512;
    let job = peer.submit("length", json!("é".repeat(length / 2))).await;
    assert_eq!(peer.job(&job).await.last().unwrap()["payload"]["result"], length);
    server.stop().await;
}

#[tokio::test]
async fn a_frame_that_the_peer_cuts_off_ends_its_connection_only() {
    let server = Server::guarded(&Config::default()).await;
    let mut good = server.open(BOB, &ALL).await;
    let hello =
        json!({ "arcp": "1.1", "id": "h", "type": "session.hello", "payload": features(ALICE, &ALL) });
    let hello = frame(TEXT, hello.to_string().as_bytes());
    for cut in [0, 1, 5, hello.len() / 2, hello.len() - 1] {
        let mut wire = server.wire().await;
        wire.write(&hello[..cut]).await;
        drop(wire);
    }
    for cut in [1, 7, 1000] {
        let mut wire = server.wire().await;
        wire.write(&hello).await;
        assert!(matches!(wire.read().await, Frame::Text(_)));
        wire.write(&[header(TEXT, 2000), vec![b' '; 1000]].concat()[..cut]).await;
        drop(wire);
    }
    server.settles_to(1).await;
    good.works().await;
    server.stop().await;
}

#[tokio::test]
async fn ten_thousand_pings_at_once_are_all_answered() {
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
async fn a_bad_ack_is_refused_and_moves_nothing() {
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
async fn a_cancellation_that_is_not_ones_own_is_refused() {
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
async fn bad_input_28_an_agents_name_that_is_none_is_refused_and_one_that_nobody_has_is_not_available() {
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

#[tokio::test]
async fn http_that_is_no_upgrade_is_answered_and_harms_nobody() {
    let server = Server::guarded(&Config::default()).await;
    let mut good = server.open(BOB, &ALL).await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let cases = [
        ("GET", String::new(), "426"),
        ("GET", format!("{upgrade}{key}"), "426"),
        ("GET", format!("{upgrade}{key}Sec-WebSocket-Version: 8\r\n"), "426"),
        ("GET", format!("{key}Sec-WebSocket-Version: 13\r\n"), "426"),
        ("GET", format!("Connection: Upgrade\r\nUpgrade: h2c\r\n{key}Sec-WebSocket-Version: 13\r\n"), "426"),
        ("GET", format!("{upgrade}Sec-WebSocket-Version: 13\r\n"), "400"),
        ("POST", format!("{upgrade}{key}Sec-WebSocket-Version: 13\r\nContent-Length: 0\r\n"), "426"),
    ];
    for (method, headers, status) in cases {
        let head = format!("{method} /arcp HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        let answer = request(&mut server.tcp().await, &head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}{answer}");
        let says_how = answer.to_lowercase().contains("upgrade: websocket");
        assert_eq!(says_how, status == "426", "{answer}");
    }
    good.works().await;
    server.stop().await;
}
