//! `arcp serve --admin`: metrics for Prometheus, and whether all is well.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use arcp_client::Client;
use arcp_tests::command::{Serving, arcp};
use arcp_tests::issuer::{AUDIENCE, ISSUER, Key, claims_at, set, today};
use arcp_tests::jwks::{Answer, JwksServer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::FEATURES;

/// Serves, with an admin listener on a free port; its address, and what else is said to operators.
fn serving(args: &[&str]) -> (Serving, SocketAddr, impl Iterator<Item = String> + use<>) {
    serving_for(&["--token", "secret=me@example.com"], args)
}

/// The same for whom `auth` lets in.
fn serving_for(auth: &[&str], args: &[&str]) -> (Serving, SocketAddr, impl Iterator<Item = String> + use<>) {
    let mut serve = arcp(&["serve", "--port", "0", "--demo-agents", "--admin", "0"]);
    serve.args(auth).args(args).stderr(Stdio::piped());
    let mut serving = Serving::of(serve, false);
    let mut lines = BufReader::new(serving.child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let address = lines.find_map(|line| Some(line.strip_prefix("admin: http://")?.parse().unwrap())).unwrap();
    (serving, address, lines)
}

/// The status and the body; none where nobody listens any more.
async fn ask(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut tcp = TcpStream::connect(address).await.ok()?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
    tcp.write_all(head.as_bytes()).await.ok()?;
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// Whether a line is what Prometheus reads: a comment, or a name, labels and a number.
fn is_prometheus(line: &str) -> bool {
    if line.is_empty() || line.starts_with("# HELP ") || line.starts_with("# TYPE ") {
        return true;
    }
    let Some((series, value)) = line.rsplit_once(' ') else { return false };
    let name = series.split('{').next().unwrap_or_default();
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b':';
    let labels = series[name.len()..].is_empty() || (series.ends_with("\"}") && series.contains("=\""));
    !name.is_empty() && name.bytes().all(good) && labels && value.parse::<f64>().is_ok()
}

/// The value of the series that begins with `name` and has all `labels`.
fn value(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let of_name = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
            && labels.iter().all(|label| line.contains(label))
    };
    text.lines().find(of_name)?.rsplit_once(' ')?.1.parse().ok()
}

#[tokio::test]
async fn metrics_are_text_that_prometheus_reads_and_count_a_job_without_any_id() {
    let dir = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", dir.path().join("arcp.db").display());
    let (serving, admin, _lines) = serving(&["--store", &store]);
    let mut peer = serving.connect().await;
    peer.hello("secret", &FEATURES).await;
    let job = peer.submit("chatty", json!({ "count": 100 })).await;
    let session = peer.session().to_owned();
    peer.job(&job).await;
    let lease = json!({ "tool.call": ["search"], "cost.budget": ["USD:0.80"] });
    let spender = json!({ "agent": "spender", "input": {}, "lease_request": lease });
    let spender = peer.submit_with(spender).await;
    peer.job(&spender).await;
    peer.send("x-vendor.acme.made-up", json!({})).await;
    peer.ack(50).await;
    peer.works().await;

    let (status, text) = ask(admin, "/metrics").await.unwrap();
    assert_eq!(status, 200);
    for line in text.lines() {
        assert!(is_prometheus(line), "{line}");
    }
    let seconds = "arcp_job_duration_seconds_count";
    let labels = ["arcp_agent=\"chatty@1.0.0\"", "arcp_job_final_status=\"success\""];
    assert_eq!(value(&text, seconds, &labels), Some(1.0), "{text}");
    assert_eq!(value(&text, "arcp_jobs_active", &[]), Some(0.0), "{text}");
    assert_eq!(value(&text, "arcp_server_sessions_active", &[]), Some(1.0), "{text}");
    assert!(value(&text, "arcp_events_emitted_total", &[]).unwrap() > 100.0, "{text}");
    assert_eq!(value(&text, "arcp_budget_spent", &["arcp_currency=\"USD\""]), Some(0.8), "{text}");
    let denied = ["arcp_capability=\"tool.call\"", "error_type=\"BUDGET_EXHAUSTED\""];
    assert_eq!(value(&text, "arcp_lease_denied_total", &denied), Some(1.0), "{text}");
    assert!(value(&text, "arcp_store_commit_duration_seconds_count", &[]).unwrap() > 2.0, "{text}");
    assert!(value(&text, "arcp_ack_lag_count", &[]).unwrap() >= 1.0, "{text}");
    let unknown = ["arcp_message_type=\"_OTHER\"", "error_type=\"INVALID_REQUEST\""];
    assert_eq!(value(&text, "arcp_server_operation_duration_seconds_count", &unknown), Some(1.0), "{text}");
    for id in [job.as_str(), spender.as_str(), session.as_str(), "me@example.com", "secret", "made-up"] {
        assert!(!text.contains(id), "{id} is in a label");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_an_issuer_that_cannot_be_fetched_are_counted_and_told() {
    let key = Key::new("1");
    let keys = JwksServer::start(set(&[&key])).await;
    let url = keys.url();
    let issuer = ["--jwks", &url, "--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE];
    for (kind, told) in [("", false), ("status", true)] {
        let (mut serving, admin, lines) = serving_for(&issuer, &["--store", "memory"]);
        let token = key.sign(&claims_at(today(), "alice"));
        let session = Client::builder(&serving.url).token(token).connect().await;
        assert_eq!(session.is_err(), told, "{session:?}");
        let (_, text) = ask(admin, "/metrics").await.unwrap();
        let label = format!("error_type=\"{kind}\"");
        assert_eq!(value(&text, "arcp_jwks_fetches_total", &[&label]), Some(1.0), "{text}");
        serving.child.kill().unwrap();
        let lines: Vec<_> = lines.collect();
        let warning = lines.iter().find(|line| line.contains("the key set could not be fetched"));
        assert_eq!(warning.is_some(), told, "{lines:?}");
        assert!(warning.is_none_or(|line| line.contains("the answer is not 200")), "{warning:?}");
        // For the next one.
        keys.answer(Answer::Status(500));
    }
}

#[tokio::test]
async fn readiness_ends_with_the_wish_to_stop_and_life_does_not() {
    let (mut serving, admin, _lines) = serving(&["--store", "memory"]);
    assert_eq!(ask(admin, "/healthz").await, Some((200, "ok\n".to_owned())));
    assert_eq!(ask(admin, "/readyz").await, Some((200, "ready\n".to_owned())));
    // Who never answers the close holds the process up for a moment.
    let mut peer = serving.connect().await;
    peer.hello("secret", &FEATURES).await;
    serving.signal("TERM");
    let mut stopping = None;
    while let Some(answer) = ask(admin, "/readyz").await {
        if answer.0 == 503 {
            stopping = Some((answer, ask(admin, "/healthz").await));
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ((_, why), alive) = stopping.expect("it says that it stops before it is gone");
    assert_eq!((why.as_str(), alive.map(|(status, _)| status)), ("stopping\n", Some(200)));
    drop(peer);
    assert_eq!(serving.ended(), Some(0));
}

#[tokio::test]
async fn logs_are_objects_where_that_is_asked_for() {
    let mut serve = arcp(&["serve", "--port", "0", "--store", "memory", "--token", "secret=me@example.com"]);
    serve.args(["--log-format", "json"]).env("RUST_LOG", "arcp_tower=debug").stderr(Stdio::piped());
    let mut serving = Serving::of(serve, false);
    let mut peer = serving.connect().await;
    peer.hello("secret", &FEATURES).await;
    let refused = peer.send("job.submit", json!({ "agent": "nobody" })).await;
    peer.reply(&refused).await;
    serving.signal("TERM");
    let mut stderr = String::new();
    std::io::Read::read_to_string(&mut serving.child.stderr.take().unwrap(), &mut stderr).unwrap();
    let logged: Vec<Value> = stderr
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let refusal = logged.iter().find(|line| line["fields"]["message"] == "refused").expect(&stderr);
    assert_eq!((&refusal["level"], &refusal["fields"]["kind"]), (&json!("DEBUG"), &json!("job.submit")));
    assert!(!stderr.contains("\"secret\""), "{stderr}");
}
