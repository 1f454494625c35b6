//! `arcp serve --otlp`, with a receiver of OTLP at the other end.

use std::time::Duration;

use arcp_core::transport::{WebSocket, WsLimits};
use arcp_tests::authority::Authority;
use arcp_tests::command::{Serving, arcp, run, text};
use arcp_tests::otlp::{self, Attributes, Received, attributes, hex};

use arcp_tests::{Peer, Wire};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use serde_json::json;

use crate::FEATURES;

const TOKEN: &str = "canary-5f1d0c7e-token";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const UPGRADE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Serves, lets a client work, and stops. Returns the client's resume token.
async fn exported(protocol: &str, url: &str, more: &[&str]) -> String {
    let token = format!("{TOKEN}=me@example.com");
    let mut serve = arcp(&["serve", "--port", "0", "--store", "memory", "--demo-agents", "--token", &token]);
    serve.args(["--otlp", url, "--otlp-protocol", protocol]).args(more);
    serve.env("OTEL_SERVICE_NAME", "desk").env("OTEL_RESOURCE_ATTRIBUTES", "team=ops");
    let mut serving = Serving::of(serve, false);
    let upgrade = format!("traceparent: {UPGRADE}\r\nAuthorization: Bearer {TOKEN}\r\n");
    let tcp = Wire::upgrade(serving.tcp().await, "/arcp", &upgrade).await.into_inner();
    let mut peer = Peer::new(WebSocket::client(tcp, WsLimits::default()).await, Duration::from_secs(20));
    let welcome = peer.hello(TOKEN, &FEATURES).await;
    let lease = json!({
        "agent.delegate": ["spender"], "tool.call": ["search"], "cost.budget": ["USD:5.00"],
    });
    let child = json!({ "tool.call": ["search"], "cost.budget": ["USD:1.00"] });
    let input = json!({ "agent": "spender", "input": { "max_steps": 3 }, "lease_request": child });
    let submit = json!({
        "agent": "delegator", "input": input, "lease_request": lease,
        "lease_constraints": { "expires_at": "2100-01-01T00:00:00Z" },
    });
    let (id, mut message) = peer.message("job.submit", &submit);
    message["trace_id"] = json!(format!("00-{TRACE}-{CALLER}-01"));
    peer.send_text(message.to_string()).await;
    let accepted = peer.reply(&id).await;
    assert_eq!(accepted["trace_id"], TRACE, "{accepted}");
    let frames = peer.job(accepted["job_id"].as_str().unwrap()).await;
    let end = frames.last().unwrap();
    assert_eq!(end["payload"]["result"]["result"]["calls"], 3, "{end}");
    // Events that are acknowledged are measured.
    peer.ack(1).await;
    let secret = welcome["payload"]["resume_token"].as_str().unwrap();
    let refused = peer.send("job.submit", json!({ "agent": "nobody", "input": secret })).await;
    peer.reply(&refused).await;
    serving.signal("TERM");
    assert_eq!(serving.ended(), Some(0));
    secret.to_owned()
}

/// The one span of a name.
fn one<'a>(spans: &'a [Span], name: &str) -> (&'a Span, Attributes) {
    let of_name: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
    assert_eq!(of_name.len(), 1, "{name} in {names:?}");
    (of_name[0], attributes(&of_name[0].attributes))
}

fn traced(received: &Received) {
    let spans = received.spans();
    let resource = received.resource();
    assert_eq!((&*resource["service.name"], &*resource["team"]), ("desk", "ops"), "{resource:?}");

    let (hello, _) = one(&spans, "session.hello");
    assert_eq!(hello.kind(), SpanKind::Server);
    let (submit, said) = one(&spans, "job.submit delegator");
    assert_eq!((hex(&submit.trace_id), hex(&submit.parent_span_id)), (TRACE.to_owned(), CALLER.to_owned()));
    assert_eq!(submit.kind(), SpanKind::Server);
    assert_eq!(said["arcp.message.type"], "job.submit");
    assert_eq!((&*said["network.protocol.name"], &*said["network.transport"]), ("websocket", "tcp"));
    let links: Vec<_> = submit.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect();
    let mut upgrade = UPGRADE.split('-').skip(1).map(str::to_owned);
    assert_eq!(links, [(upgrade.next().unwrap(), upgrade.next().unwrap())], "the upgrade is linked");

    // The job is its command's child, and its command did not wait for it.
    let (job, said) = one(&spans, "invoke_agent delegator");
    assert_eq!((&job.trace_id, &job.parent_span_id), (&submit.trace_id, &submit.span_id));
    assert_eq!(job.kind(), SpanKind::Internal);
    assert!(submit.end_time_unix_nano <= job.end_time_unix_nano);
    for (name, value) in [
        ("gen_ai.operation.name", "invoke_agent"),
        ("gen_ai.agent.name", "delegator"),
        ("gen_ai.agent.version", "1.0.0"),
        ("arcp.lease.expires_at", "2100-01-01T00:00:00.000Z"),
        ("arcp.budget.remaining", "USD:3.8"),
        ("arcp.job.final_status", "success"),
    ] {
        assert_eq!(said.get(name).map(String::as_str), Some(value), "{name} of {said:?}");
    }
    assert_eq!(said["gen_ai.conversation.id"], said["arcp.session.id"]);

    // A child job hangs below the delegation, and its tools below it.
    let (delegation, _) = one(&spans, "execute_tool agent.delegate");
    assert_eq!((&delegation.trace_id, &delegation.parent_span_id), (&job.trace_id, &job.span_id));
    let (child, of_child) = one(&spans, "invoke_agent spender");
    assert_eq!((&child.trace_id, &child.parent_span_id), (&job.trace_id, &delegation.span_id));
    assert_eq!(of_child["arcp.parent_job.id"], said["arcp.job.id"]);
    let tools: Vec<_> = spans.iter().filter(|span| span.name == "execute_tool search").collect();
    assert_eq!(tools.len(), 3, "one for each call that its lease let through");
    for (tool, left) in tools.iter().zip(["USD:1", "USD:0.6", "USD:0.2"]) {
        assert_eq!((&tool.trace_id, &tool.parent_span_id), (&child.trace_id, &child.span_id));
        let said = attributes(&tool.attributes);
        assert_eq!(said["gen_ai.tool.name"], "search");
        assert!(said["gen_ai.tool.call.id"].starts_with("call_"), "{said:?}");
        assert_eq!(said["arcp.budget.remaining"], left);
    }

    // A name that a peer made up is in no name of a span.
    let (refused, said) = one(&spans, "job.submit");
    assert_eq!(said["error.type"], "AGENT_NOT_AVAILABLE");
    assert_eq!(refused.status.as_ref().unwrap().code, 2, "an error");
    assert!(spans.iter().all(|span| span.events.is_empty()), "logs stay here");
    assert!(spans.len() < 16, "one for each command, job and operation, and none for events");
}

fn measured(received: &Received) {
    let total = |name: &str| received.metric(name).iter().map(|(_, value)| value).sum::<f64>();
    let by = |name: &str, label: &str, value: &str| {
        let metric = received.metric(name);
        let of_label = metric.iter().filter(|(labels, _)| labels.get(label).is_some_and(|v| v == value));
        of_label.map(|(_, value)| value).sum::<f64>()
    };
    assert_eq!(by("arcp.server.operation.duration", "arcp.message.type", "job.submit"), 2.0);
    assert_eq!(by("arcp.server.operation.duration", "error.type", "AGENT_NOT_AVAILABLE"), 1.0);
    assert_eq!(by("arcp.job.duration", "arcp.agent", "delegator@1.0.0"), 1.0);
    assert_eq!(by("arcp.job.duration", "arcp.job.final_status", "success"), 2.0);
    assert!((by("arcp.budget.spent", "arcp.currency", "USD") - 1.2).abs() < 1e-9);
    assert_eq!(total("arcp.jobs.active"), 0.0);
    assert_eq!(total("arcp.server.sessions.active"), 0.0);
    assert_eq!(total("arcp.server.session.duration"), 1.0);
    assert_eq!(total("arcp.ack.lag"), 1.0);
    assert!(total("arcp.events.emitted") > 10.0, "{}", total("arcp.events.emitted"));
}

/// What must not leave the process did not.
fn kept_secret(received: &Received, resume_token: &str) {
    let bytes = received.bytes();
    assert!(resume_token.len() > 16, "{resume_token}");
    for secret in [TOKEN, resume_token] {
        assert!(
            !bytes.windows(secret.len()).any(|window| window == secret.as_bytes()),
            "{secret} was exported"
        );
    }
    let known = b"delegator";
    assert!(bytes.windows(known.len()).any(|window| window == known), "nothing was looked at");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submit_arrives_over_grpc_as_spans_with_names_parents_links_and_attributes() {
    let (address, received) = otlp::grpc().await;
    let token = exported("grpc", &format!("http://{address}"), &[]).await;
    traced(&received);
    measured(&received);
    kept_secret(&received, &token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submit_arrives_over_http_and_s41_no_token_was_exported() {
    let (address, received) = otlp::http().await;
    let token = exported("http", &format!("http://{address}/"), &[]).await;
    traced(&received);
    measured(&received);
    kept_secret(&received, &token);
}

#[tokio::test]
async fn a_collector_that_is_not_there_keeps_nobody_from_working_or_from_ending() {
    let mut serving = Serving::start(&["--token", "secret=me@example.com", "--otlp", "http://127.0.0.1:9"]);
    let mut peer = serving.connect().await;
    peer.hello("secret", &FEATURES).await;
    let job = peer.submit("echo", json!("hi")).await;
    assert_eq!(peer.job(&job).await.last().unwrap()["payload"]["result"], "hi");
    let asked = std::time::Instant::now();
    serving.signal("TERM");
    assert_eq!(serving.ended(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_of_a_private_ca_is_reached_over_tls_by_grpc_and_by_http() {
    let (authority, dir) = (Authority::default(), tempfile::tempdir().unwrap());
    let ca = authority.file(dir.path());
    for (protocol, spoken) in [("grpc", "h2"), ("http", "http/1.1")] {
        let (plain, received) = if protocol == "grpc" { otlp::grpc().await } else { otlp::http().await };
        let address = authority.in_front_of(plain, spoken).await;
        let url = format!("https://localhost:{}", address.port());
        exported(protocol, &url, &[]).await;
        assert!(received.spans().is_empty(), "who does not trust it sends it nothing");
        exported(protocol, &url, &["--otlp-ca", ca.to_str().unwrap()]).await;
        traced(&received);
        measured(&received);
    }
}

#[test]
fn a_way_to_a_collector_that_cannot_be_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let junk = dir.path().join("junk.pem");
    std::fs::write(&junk, "no certificate").unwrap();
    for (otlp, why) in [
        (&["--otlp", "collector:4317"][..], "--otlp must be an address of the form http://"),
        (
            &["--otlp", "https://collector:4317", "--otlp-ca", "/nowhere/ca.pem"],
            "cannot read /nowhere/ca.pem",
        ),
        (&["--otlp", "https://collector:4317", "--otlp-ca", junk.to_str().unwrap()], "no root certificates"),
    ] {
        let output = run(&[&["serve", "--port", "0", "--store", "memory"], otlp].concat());
        assert_ne!(output.status.code(), Some(0));
        assert!(text(&output.stderr).contains(why), "{}", text(&output.stderr));
    }
}
