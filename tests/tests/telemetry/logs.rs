//! What peers say, in the log.

use std::fs::File;
use std::path::Path;

use arcp_tests::command::{Serving, arcp};
use serde_json::{Value, json};

use crate::FEATURES;

/// It would forge a line, clear a screen, ring, and turn text around.
const EVIL: &str = "evil\n2020-01-01T00:00:00Z ERROR forged\r\u{1b}[2J\u{9b}31m\u{7}\u{2028}\u{202e}\u{2066}";

/// Serves with all there is to be logged, and lets a client say [`EVIL`] wherever it can. The log.
async fn logged(format: &str, dir: &Path) -> String {
    let path = dir.join(format);
    let mut serve = arcp(&["serve", "--port", "0", "--store", "memory", "--token", "secret=me@example.com"]);
    serve.args(["--demo-agents", "--log-format", format]).env("RUST_LOG", "trace");
    serve.stderr(File::create(&path).unwrap());
    let mut serving = Serving::of(serve, false);
    let mut stranger = serving.connect().await;
    stranger.say_hello(json!({ "auth": { "scheme": EVIL, "token": EVIL }, "capabilities": {} })).await;
    let mut peer = serving.connect().await;
    let mut hello = arcp_tests::features("secret", &FEATURES);
    (hello["client"]["name"], hello["client"]["version"]) = (json!(EVIL), json!(EVIL));
    let welcome = peer.say_hello(hello).await;
    peer.welcomed(welcome);
    let echo = json!({ "agent": "echo", "input": EVIL, "idempotency_key": EVIL });
    for (kind, payload) in [
        (EVIL, json!({})),
        ("job.submit", echo),
        ("job.submit", json!({ "agent": EVIL })),
        ("job.submit", json!({ "agent": "echo", "input": 1, "lease_request": { "tool.call": [EVIL] } })),
        ("job.submit", json!({ "agent": "echo", "input": 1, "lease_request": { EVIL: [EVIL] } })),
        ("job.subscribe", json!({ "job_id": EVIL })),
        ("session.list_jobs", json!({ "cursor": EVIL, "filter": { "agent": EVIL } })),
    ] {
        let id = peer.send(kind, payload).await;
        peer.reply(&id).await;
    }
    let job = peer.submit("slow", json!({})).await;
    let id = peer.send_of("job.cancel", &job, json!({ "reason": EVIL })).await;
    peer.reply(&id).await;
    let (_, mut message) = peer.message("session.ping", &json!({ "nonce": EVIL }));
    (message["trace_id"], message["id"]) = (json!(EVIL), json!(EVIL));
    peer.send_text(message.to_string()).await;
    peer.next().await;
    peer.send("session.close", json!({ "reason": EVIL })).await;
    peer.closed().await;
    serving.signal("TERM");
    serving.ended();
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn s42_what_a_peer_says_is_escaped_in_the_log_and_begins_no_line() {
    let dir = tempfile::tempdir().unwrap();
    for format in ["text", "json"] {
        let log = logged(format, dir.path()).await;
        assert!(log.contains("evil"), "it is logged at all");
        let steers = ['\r', '\u{1b}', '\u{9b}', '\u{7}', '\u{2028}', '\u{202e}', '\u{2066}'];
        let found = log.lines().find(|line| line.contains(steers));
        assert!(found.is_none(), "{found:?}");
        // Beside what operators are told once.
        for line in log.lines().filter(|line| !line.starts_with("durability: ")) {
            if format == "json" {
                let event: Value = serde_json::from_str(line).expect(line);
                assert!(event["timestamp"].is_string() && event["level"].is_string(), "{line}");
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().take(2).collect();
            let begins =
                words[0].starts_with("20") && !words[0].starts_with("2020") && words[0].ends_with('Z');
            let levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"];
            assert!(begins && levels.contains(&words[1]), "{line}");
        }
    }
}
