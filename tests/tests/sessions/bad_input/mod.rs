//! What a runtime answers to what no peer should send, and that it harms nobody else.

mod commands;
mod frames;
mod hello;
mod http;
mod websocket;

use arcp_tests::wire::{Frame, TEXT, frame};
use arcp_tests::{ALICE, ALL, BOB, Server, Socket, Wire, features};
use arcp_tower::Config;
use serde_json::{Value, json};

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

/// A ping of which `member` is a part.
fn with(member: &str) -> String {
    format!(r#"{{"arcp":"1.1","type":"session.ping",{member}}}"#)
}

/// Each of `cases` is refused by field and rule; the session lives, and no other one notices.
async fn refused_by_name(cases: Vec<(String, &str)>) {
    let (server, mut bad, mut good) = abused().await;
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

/// Writes `bytes` on an open session's socket, and returns the code it is closed with, and the
/// texts that came before.
async fn closed_after(server: &Server, bytes: Vec<u8>) -> (u16, Vec<Value>) {
    let (code, texts, _) = ended_by(server, bytes).await;
    (code, texts)
}

/// The same, and the welcome.
async fn ended_by(server: &Server, bytes: Vec<u8>) -> (u16, Vec<Value>, Value) {
    let (wire, welcome) = greeted(server).await;
    let mut frames = wire.write_until_closed(bytes).await;
    let Some(Frame::Close(code)) = frames.pop() else { panic!("no close frame") };
    let texts = frames.into_iter().map(|frame| match frame {
        Frame::Text(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?}"),
    });
    (code, texts.collect(), welcome)
}

/// An open session by hand, and its welcome.
async fn greeted(server: &Server) -> (Wire, Value) {
    let mut wire = server.wire().await;
    let hello =
        json!({ "arcp": "1.1", "id": "h", "type": "session.hello", "payload": features(ALICE, &ALL) });
    wire.write(&frame(TEXT, hello.to_string().as_bytes())).await;
    let Frame::Text(welcome) = wire.read().await else { panic!("no welcome") };
    assert!(welcome.contains("session.welcome"));
    (wire, serde_json::from_str(&welcome).unwrap())
}

/// Each of `cases` closes its connection with `code` and without a word, and harms nobody else.
async fn closes_with(code: u16, cases: Vec<(&str, Vec<u8>)>) {
    let server = Server::guarded(&Config::default()).await;
    let mut good = server.open(BOB, &ALL).await;
    let job = good.submit("slow", json!({})).await;
    for (what, bytes) in cases {
        assert_eq!(closed_after(&server, bytes).await, (code, vec![]), "{what}");
        good.ping("still").await;
    }
    good.works().await;
    assert_eq!(good.cancel(&job).await["type"], "job.cancelled");
    server.stop().await;
}
