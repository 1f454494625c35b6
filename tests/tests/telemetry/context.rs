//! One trace from a caller's span through client, runtime, operations and requests.

use std::future::{Future, ready};
use std::sync::{Arc, Mutex};

use arcp_client::Client;
use arcp_tests::{ALICE, Server, agents, timed, tokens};
use arcp_tower::operation::Call;
use arcp_tower::operation::fetch::Fetcher;
use arcp_tower::{AuthLayer, Job, Runtime, TraceLayer, agent_fn, each_session, tool_fn};
use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, Request};
use opentelemetry::trace::{SpanKind, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;

/// Keeps what is exported.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        self.0.lock().unwrap().extend(batch);
        ready(Ok(()))
    }
}

impl Kept {
    /// Exports all spans of this thread.
    fn here() -> (Self, tracing::subscriber::DefaultGuard) {
        let kept = Self::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("tests"));
        (kept, tracing::subscriber::set_default(tracing_subscriber::registry().with(layer)))
    }

    fn of(&self, name: &str) -> SpanData {
        let spans = self.0.lock().unwrap();
        let names: Vec<_> = spans.iter().map(|span| span.name.clone()).collect();
        spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name} in {names:?}")).clone()
    }
}

/// A service that says which trace it was asked in.
async fn echo_service() -> String {
    let said = |headers: HeaderMap| async move {
        let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        json!([header("traceparent"), header("tracestate")]).to_string()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", get(said))).await });
    url
}

/// Fetches, with a `traceparent` of its own if it is given one, and calls a tool that tells its own.
async fn asks((url, own): (String, Option<String>), job: Job) -> Result<Value, arcp_tower::AgentError> {
    let mut request = Request::get(url);
    if let Some(own) = own {
        request = request.header("traceparent", own);
    }
    let answer = job.fetch(request.body(Bytes::new())?).await?;
    let tool: String = job.tool("context", &()).await?.decode()?;
    Ok(json!([serde_json::from_slice::<Value>(answer.body())?, tool]))
}

async fn server() -> Server {
    let config = timed(|_| {});
    let tool = tool_fn(|(): (), call: Call| async move { Ok(call.trace_context().to_string()) });
    let builder = agents::all(Runtime::builder().config(config.clone()));
    let builder = builder.agent("asks", agent_fn(asks)).tool("context", tool);
    let runtime = builder.fetcher(Fetcher::builder().allow_private().build()).build().unwrap();
    let stack = ServiceBuilder::new()
        .layer(AuthLayer::new(tokens()))
        .layer(each_session(TraceLayer::new()))
        .service(runtime);
    Server::of(stack, &config).await
}

async fn ask(server: &Server, url: &str, own: Option<&str>) -> (arcp_client::arcp_core::TraceId, Value) {
    let client = Client::builder(server.url()).token(ALICE).connect().await.unwrap();
    let submission = client.submit("asks").input(&(url, own));
    let mut job =
        submission.lease("net.fetch", [format!("{url}**")]).lease("tool.call", ["*"]).send().await.unwrap();
    let said = job.result().await.unwrap().decode().unwrap();
    let trace = job.trace_id();
    client.close().await;
    (trace, said)
}

/// A `traceparent` of a span that was exported.
fn parent_of(span: &SpanData) -> String {
    format!("00-{}-{}-01", span.span_context.trace_id(), span.span_context.span_id())
}

#[tokio::test]
async fn a_submit_in_a_span_makes_job_tools_and_requests_part_of_its_trace() {
    let (kept, _guard) = Kept::here();
    let (url, server) = (echo_service().await, server().await);
    let caller = tracing::info_span!("caller");
    let (trace, said) = ask(&server, &url, None).instrument(caller.clone()).await;
    drop(caller);
    server.stop().await;

    let caller = kept.of("caller");
    assert_eq!(trace.to_string(), caller.span_context.trace_id().to_string());
    let sent =
        kept.0.lock().unwrap().iter().find(|span| span.span_kind == SpanKind::Client).cloned().unwrap();
    assert_eq!(sent.name, "job.submit asks");
    assert_eq!(sent.parent_span_id, caller.span_context.span_id());
    let job = kept.of("invoke_agent asks");
    let (fetch, tool) = (kept.of("execute_tool net.fetch"), kept.of("execute_tool context"));
    let taken = kept
        .0
        .lock()
        .unwrap()
        .iter()
        .find(|span| span.span_kind == SpanKind::Server && span.name == "job.submit asks")
        .cloned()
        .unwrap();
    assert_eq!(taken.parent_span_id, sent.span_context.span_id());
    assert_eq!(job.parent_span_id, taken.span_context.span_id());
    assert_eq!(fetch.parent_span_id, job.span_context.span_id());
    assert_eq!(said, json!([[parent_of(&fetch), null], parent_of(&tool)]));
    for span in [&sent, &taken, &job, &fetch, &tool] {
        assert_eq!(span.span_context.trace_id(), caller.span_context.trace_id(), "{}", span.name);
    }
}

#[tokio::test]
async fn a_submit_outside_of_any_trace_begins_one_and_a_header_of_the_agents_own_is_kept() {
    let (kept, _guard) = Kept::here();
    let (url, server) = (echo_service().await, server().await);
    let own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let (trace, said) = ask(&server, &url, Some(own)).await;
    server.stop().await;
    assert_eq!(said[0][0], own);
    assert_eq!(kept.of("invoke_agent asks").span_context.trace_id().to_string(), trace.to_string());
}

#[tokio::test]
async fn without_opentelemetry_the_callers_context_is_forwarded_as_it_came() {
    let (url, server) = (echo_service().await, server().await);
    let mut peer = server.open(ALICE, &["ack"]).await;
    let lease = json!({ "net.fetch": [format!("{url}**")], "tool.call": ["*"] });
    let submit = json!({ "agent": "asks", "input": [url, null], "lease_request": lease });
    let (id, mut message) = peer.message("job.submit", &submit);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    message["trace_id"] = json!(&parent[3..35]);
    message["traceparent"] = json!(parent);
    message["tracestate"] = json!("desk=7");
    peer.send_text(message.to_string()).await;
    let job = peer.reply(&id).await["job_id"].as_str().unwrap().to_owned();
    let end = peer.job(&job).await.pop().unwrap();
    assert_eq!(end["payload"]["result"], json!([[parent, "desk=7"], parent]), "{end}");
}

#[tokio::test]
async fn s44_a_context_that_is_none_is_replaced_and_not_echoed() {
    let (url, server) = (echo_service().await, server().await);
    let mut peer = server.open(ALICE, &["ack"]).await;
    let lease = json!({ "net.fetch": [format!("{url}**")], "tool.call": ["*"] });
    for bad in [json!(7), json!("00-zz-1-01"), json!(format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)))] {
        let submit = json!({ "agent": "asks", "input": [url, null], "lease_request": lease });
        let (id, mut message) = peer.message("job.submit", &submit);
        message["traceparent"] = bad.clone();
        message["tracestate"] = json!("x\"y");
        peer.send_text(message.to_string()).await;
        let accepted = peer.reply(&id).await;
        let trace = accepted["payload"]["trace_id"].as_str().unwrap();
        let end = peer.job(accepted["job_id"].as_str().unwrap()).await.pop().unwrap();
        let sent = &end["payload"]["result"][0];
        assert!(sent[0].as_str().unwrap().starts_with(&format!("00-{trace}-")), "{bad}: {end}");
        assert_eq!(sent[1], Value::Null, "{end}");
    }
}
