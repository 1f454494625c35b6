//! The host's own tracing: an axum app with a subscriber and a trace layer of its own. What the runtime
//! does is in the same log, and a submit says whose trace it belongs to.

use std::sync::{Arc, Mutex};

use arcp_client::Client;
use arcp_examples::Done;
use arcp_tower::{AuthLayer, BearerTokens, Job, Runtime, TraceLayer, agent_fn, each_session, tool_fn};
use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tracing::Subscriber;
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Notes each span, and the spans that it is in. A host would have `tracing_subscriber::fmt` here, or
/// `tracing_opentelemetry` with the feature `otel` of `arcp-tower`.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Notes {
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let names: Vec<_> = span.scope().from_root().map(|span| span.name()).collect();
        if let Ok(mut notes) = self.0.lock() {
            notes.push(names.join(" > "));
        }
    }
}

#[tokio::main]
async fn main() -> Done {
    let notes = Notes::default();
    #[allow(clippy::redundant_closure_for_method_calls, reason = "a path to it has one lifetime too few")]
    let spans = tracing_subscriber::filter::filter_fn(|metadata| metadata.is_span());
    tracing_subscriber::registry().with(notes.clone().with_filter(spans)).init();

    let search = tool_fn(|query: String, _| async move { Ok(format!("three pages about {query}")) });
    let agent = agent_fn(|query: String, job: Job| async move {
        tracing::info_span!("reading").in_scope(|| query.len());
        Ok(job.tool("search", &query).await?.result)
    });
    let runtime = ServiceBuilder::new()
        .layer(AuthLayer::new(BearerTokens::new([("secret", "me@example.com")])))
        .layer(each_session(TraceLayer::new()))
        .service(Runtime::builder().tool("search", search).agent("reader", agent).build()?);
    let app = Router::new()
        .route("/", get(|| async { "an app that was here before" }))
        .route("/arcp", arcp_axum::handler(runtime))
        .layer(tower_http::trace::TraceLayer::new_for_http().make_span_with(|request: &http::Request<_>| {
            tracing::info_span!("request", path = request.uri().path())
        }));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/arcp", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });

    let client = Client::builder(url).token("secret").connect().await?;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736".parse()?;
    let submission = client.submit("reader").input("tides").lease("tool.call", ["search"]);
    let mut job = submission.trace_id(trace).send().await?;
    println!("result: {}", job.result().await?.decode::<String>()?);
    println!("trace: {}", job.trace_id());
    client.close().await;
    let notes = notes.0.lock().map_err(|_| "a span was noted badly")?;
    notes.iter().for_each(|note| println!("{note}"));
    Ok(())
}
