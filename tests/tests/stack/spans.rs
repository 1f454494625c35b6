//! What the runtime's spans say (§11): one for each command, and one for each operation.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use arcp_tests::{ALICE, ALL, Memories, agents, timed, tokens};
use arcp_tower::operation::Call;
use arcp_tower::{AuthLayer, Job, Runtime, TraceLayer, agent_fn, each_session, tool_fn};
use serde_json::json;
use tower::ServiceBuilder;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};

type Fields = BTreeMap<String, String>;

/// Keeps what each span of the runtime was told.
#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<Vec<(&'static str, Fields)>>>);

struct Into<'a>(&'a mut Fields);

impl Visit for Into<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.name().starts_with("arcp.")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Fields::new();
        attributes.record(&mut Into(&mut fields));
        let mut spans = self.0.lock().unwrap();
        spans.push((attributes.metadata().name(), fields));
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let at = usize::try_from(span.into_u64()).unwrap() - 1;
        values.record(&mut Into(&mut self.0.lock().unwrap()[at].1));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test(start_paused = true)]
async fn each_command_and_each_operation_has_a_span_that_says_what_it_was() {
    let spans = Spans::default();
    let _guard = tracing::subscriber::set_default(spans.clone());
    let config = timed(|_| {});
    let tool = tool_fn(|(): (), _: Call| async move { Ok(()) });
    let calls = agent_fn(|(): (), job: Job| async move {
        job.tool("fine", &()).await?;
        let _ = job.tool("none", &()).await;
        Ok(())
    });
    let runtime =
        agents::all(Runtime::builder().config(config.clone())).tool("fine", tool).agent("calls", calls);
    let stack = ServiceBuilder::new()
        .layer(AuthLayer::new(tokens()))
        .layer(each_session(TraceLayer::new()))
        .service(runtime.build().unwrap());
    let mut peer = Memories::of(stack, &config).open(ALICE, &ALL).await;
    let session = peer.session().to_owned();
    let submit = json!({ "agent": "calls", "lease_request": { "tool.call": ["*"] } });
    let (id, mut message) = peer.message("job.submit", &submit);
    message["trace_id"] = json!("4bf92f3577b34da6a3ce929d0e0e4736");
    peer.send_text(message.to_string()).await;
    let job = peer.reply(&id).await["job_id"].as_str().unwrap().to_owned();
    peer.job(&job).await;
    let refused = peer.send("job.submit", json!({ "agent": "nobody" })).await;
    peer.reply(&refused).await;

    let spans = spans.0.lock().unwrap().clone();
    let of = |name: &str| spans.iter().filter(|span| span.0 == name).map(|span| &span.1).collect::<Vec<_>>();
    let commands = of("arcp.command");
    assert_eq!(commands.len(), 2, "{spans:?}");
    let said = |fields: &Fields, name: &str| fields.get(name).cloned().unwrap_or_default();
    assert_eq!(said(commands[0], "arcp.message.type"), "job.submit");
    assert_eq!(said(commands[0], "arcp.session.id"), session);
    assert_eq!(said(commands[0], "arcp.job.id"), job);
    assert_eq!(said(commands[0], "trace_id"), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(said(commands[0], "error.type"), "");
    assert_eq!(said(commands[1], "error.type"), "AGENT_NOT_AVAILABLE");
    let operations = of("arcp.operation");
    assert_eq!(operations.len(), 2, "{spans:?}");
    for (span, target) in operations.iter().zip(["fine", "none"]) {
        assert_eq!(
            (said(span, "arcp.capability"), said(span, "arcp.target")),
            ("tool.call".into(), target.into())
        );
        assert_eq!(said(span, "arcp.job.id"), job);
        assert_eq!(said(span, "trace_id"), "4bf92f3577b34da6a3ce929d0e0e4736");
    }
    assert_eq!(said(operations[0], "error.type"), "");
    assert_eq!(said(operations[1], "error.type"), "INVALID_REQUEST");
    let jobs = of("arcp.job");
    assert_eq!(jobs.len(), 1, "one that ran: {spans:?}");
    assert_eq!((said(jobs[0], "arcp.agent"), said(jobs[0], "arcp.job.id")), ("calls@1.0.0".into(), job));
    assert_eq!(said(jobs[0], "arcp.lease.capabilities"), "tool.call");
}
