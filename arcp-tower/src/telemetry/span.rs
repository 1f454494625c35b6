//! The spans: what they are called, what they say, and whose they are.

use std::any::Any;
use std::fmt::Write as _;

use arcp_core::agent::AgentRef;
use arcp_core::job::FinalStatus;
use arcp_core::lease::Namespace;
use arcp_core::wire::VERSION;
use arcp_core::{Code, Envelope, Error, MessageType, TraceContext, TraceId};
use tracing::{Span, field};

use super::context::{current, of, parented};
use super::label::OTHER;
use crate::BoxError;
use crate::fault::known_in;
use crate::operation::Operation;
use crate::runtime::{JobAuthority, JobRecord};
use crate::service::{Request, Response, SessionCtx};

/// A type as a span is called by it. A peer can make others up.
fn named(kind: &MessageType) -> &str {
    if matches!(kind, MessageType::Other(_)) { OTHER } else { kind.as_str() }
}

/// The code of an error, whatever its type. What others say of themselves is for logs.
pub(crate) fn code_of<E: 'static>(error: &E) -> Code {
    let any: &dyn Any = error;
    let ours = any.downcast_ref::<Error>();
    let boxed = || any.downcast_ref::<BoxError>().and_then(|boxed| known_in(&**boxed));
    ours.or_else(boxed).map_or(Code::InternalError, Error::code)
}

/// A span has failed.
pub(crate) fn failed(span: &Span, code: Code) {
    span.record("error.type", code.as_str());
    span.record("otel.status_code", "ERROR");
}

/// The span of a command. A submit that names no trace gets that of the span.
pub(crate) fn command_span(request: &mut Request) -> Span {
    let span = message_span(&request.message, &request.session);
    if request.message.kind == MessageType::Submit
        && request.message.trace_id.is_none()
        && let Some(context) = of(&span)
    {
        request.message.trace_id = Some(context.trace_id());
        span.record("trace_id", field::display(context.trace_id()));
    }
    span
}

/// The span of a message of a session.
pub(crate) fn message_span(message: &Envelope, session: &SessionCtx) -> Span {
    let kind = named(&message.kind);
    let span = tracing::info_span!(
        "arcp.command",
        "otel.name" = kind,
        "otel.kind" = "server",
        "arcp.message.type" = kind,
        "arcp.protocol.version" = VERSION,
        "arcp.session.id" = %session.id(),
        "arcp.job.id" = field::Empty,
        "arcp.agent" = field::Empty,
        trace_id = field::Empty,
        "error.type" = field::Empty,
        "otel.status_code" = field::Empty,
    );
    if span.is_disabled() {
        return span;
    }
    if let Some(job_id) = &message.job_id {
        span.record("arcp.job.id", field::display(job_id));
    }
    if let Some(trace_id) = message.trace_id {
        span.record("trace_id", field::display(trace_id));
        parented(&span, &caused_by(message, trace_id));
    }
    #[cfg(feature = "otel")]
    upgraded(&span, &session.extensions());
    span
}

/// The answer to a command names its job, and the agent that the job was given to. A name that was only
/// asked for is not told: a peer can make many up.
pub(crate) fn answered(span: &Span, response: &Response) {
    let Some(reply) = response.replies.first().filter(|_| !span.is_disabled()) else { return };
    if let Some(job_id) = &reply.job_id {
        span.record("arcp.job.id", field::display(job_id));
    }
    if reply.kind == MessageType::Accepted
        && let Ok(Agent { agent }) = reply.payload.decode::<Agent>()
        && let Ok(agent) = agent.parse::<AgentRef>()
    {
        span.record("arcp.agent", field::display(&agent));
        #[cfg(feature = "otel")]
        super::context::renamed(span, format!("job.submit {}", agent.name()));
    }
}

/// What is read of an acceptance.
#[derive(serde::Deserialize)]
struct Agent {
    agent: String,
}

/// The span of a handshake: `session.hello` or `session.resume`. Nothing of its payload is in it.
pub(crate) fn handshake_span(first: &Envelope) -> Span {
    let kind = named(&first.kind);
    let span = tracing::info_span!(
        "arcp.handshake",
        "otel.name" = kind,
        "otel.kind" = "server",
        "arcp.message.type" = kind,
        "arcp.protocol.version" = VERSION,
        "error.type" = field::Empty,
        "otel.status_code" = field::Empty,
    );
    if let Some(trace_id) = first.trace_id {
        parented(&span, &caused_by(first, trace_id));
    }
    span
}

/// The context that a message came with.
pub(crate) fn caused_by(message: &Envelope, trace_id: TraceId) -> TraceContext {
    let context = message.trace_context.as_deref().filter(|context| context.trace_id() == trace_id);
    context.cloned().unwrap_or_else(|| TraceContext::of_trace(trace_id))
}

/// Links a message's span to the HTTP request of its connection: the host's span for it, else what its
/// `traceparent` says.
#[cfg(feature = "otel")]
fn upgraded(span: &Span, extensions: &http::Extensions) {
    use opentelemetry::KeyValue;
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    let http = extensions.get::<crate::HttpInfo>();
    let ambient = extensions.get::<super::Ambient>().map(|ambient| ambient.0.clone());
    let header = || http?.headers.get("traceparent")?.to_str().ok()?.parse().ok();
    if let Some(context) = ambient.or_else(header) {
        super::context::linked(span, &context);
    }
    let (transport, protocol) = if http.is_some() { ("tcp", Some("websocket")) } else { ("pipe", None) };
    for KeyValue { key, value, .. } in [KeyValue::new("network.transport", transport)]
        .into_iter()
        .chain(protocol.map(|protocol| KeyValue::new("network.protocol.name", protocol)))
    {
        span.set_attribute(key, value);
    }
}

/// The span of a job's run.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) span: Span,
    /// What the job's own work is caused by.
    pub(crate) context: TraceContext,
}

/// Opens the span of a job's run, in the command or the delegation that it begins with. `cause` is what
/// the client said.
pub(crate) fn job_span(
    record: &JobRecord,
    agent: &AgentRef,
    authority: &JobAuthority,
    session: &SessionCtx,
    cause: Option<TraceContext>,
) -> Opened {
    let trace_id = record.trace_id();
    let of_trace = |context: &TraceContext| context.trace_id() == trace_id;
    let cause = current().filter(of_trace).or_else(|| cause.filter(of_trace));
    let cause = cause.unwrap_or_else(|| TraceContext::of_trace(trace_id));
    // No child for `tracing`: the command's span must not wait for it.
    let span = tracing::info_span!(
        parent: None,
        "arcp.job",
        "otel.name" = format!("invoke_agent {}", agent.name()),
        "otel.kind" = "internal",
        "arcp.job.id" = %record.id(),
        "arcp.session.id" = %session.id(),
        "arcp.agent" = %agent,
        trace_id = %trace_id,
        "arcp.parent_job.id" = field::Empty,
        "arcp.lease.capabilities" = capabilities(authority),
        "arcp.lease.expires_at" = field::Empty,
        "arcp.budget.remaining" = field::Empty,
        "arcp.job.final_status" = field::Empty,
        "error.type" = field::Empty,
        "otel.status_code" = field::Empty,
    );
    if span.is_disabled() {
        return Opened { span, context: cause };
    }
    if let Some(parent) = &record.parent {
        span.record("arcp.parent_job.id", field::display(&parent.job_id));
    }
    if let Some(at) = authority.expires_at() {
        span.record("arcp.lease.expires_at", field::display(at));
    }
    if !parented(&span, &cause) {
        span.follows_from(Span::current());
    }
    #[cfg(feature = "otel")]
    {
        use super::names::gen_ai;
        use tracing_opentelemetry::OpenTelemetrySpanExt as _;
        span.set_attribute(gen_ai::OPERATION_NAME, "invoke_agent");
        span.set_attribute(gen_ai::AGENT_NAME, agent.name().to_owned());
        span.set_attribute(gen_ai::AGENT_ID, agent.to_string());
        span.set_attribute(gen_ai::CONVERSATION_ID, session.id().to_string());
        if let Some(version) = agent.version() {
            span.set_attribute(gen_ai::AGENT_VERSION, version.to_string());
        }
    }
    let context = of(&span).filter(of_trace).unwrap_or(cause);
    Opened { span, context }
}

/// What a job's span says at its end.
pub(crate) fn job_over(span: &Span, end: FinalStatus, error: Option<&Error>, authority: &JobAuthority) {
    if span.is_disabled() {
        return;
    }
    span.record("arcp.job.final_status", end.as_str());
    if let Some(left) = remaining(authority) {
        span.record("arcp.budget.remaining", left);
    }
    if let Some(error) = error {
        failed(span, error.code());
    }
}

/// The span of an operation.
pub(crate) fn operation_span(operation: &Operation) -> Span {
    let (namespace, label) = (operation.namespace(), operation.label());
    // What follows the path of an address may be a secret.
    let target = match namespace {
        Namespace::NetFetch => operation.target().split(['?', '#']).next().unwrap_or_default(),
        _ => operation.target(),
    };
    let span = tracing::info_span!(
        "arcp.operation",
        // Made only if somebody listens: it allocates.
        "otel.name" = field::Empty,
        "otel.kind" = "internal",
        "arcp.capability" = namespace.as_str(),
        "arcp.target" = target,
        "arcp.job.id" = field::Empty,
        trace_id = field::Empty,
        "arcp.lease.expires_at" = field::Empty,
        "arcp.budget.remaining" = field::Empty,
        "error.type" = field::Empty,
        "otel.status_code" = field::Empty,
    );
    if span.is_disabled() {
        return span;
    }
    span.record("otel.name", format!("execute_tool {label}"));
    if let Some(job) = operation.job() {
        span.record("arcp.job.id", field::display(job.id()));
        span.record("trace_id", field::display(job.trace_id()));
        if let Some(at) = job.authority().expires_at() {
            span.record("arcp.lease.expires_at", field::display(at));
        }
        if let Some(left) = remaining(job.authority()) {
            span.record("arcp.budget.remaining", left);
        }
        // A task that the agent spawned has no span of its own.
        if !current().is_some_and(|context| context.trace_id() == job.trace_id()) {
            parented(&span, job.origin());
        }
    }
    #[cfg(feature = "otel")]
    {
        use super::names::gen_ai;
        use tracing_opentelemetry::OpenTelemetrySpanExt as _;
        span.set_attribute(gen_ai::OPERATION_NAME, "execute_tool");
        span.set_attribute(gen_ai::TOOL_NAME, label.into_owned());
        if let Some(call) = operation.call_id() {
            span.set_attribute(gen_ai::TOOL_CALL_ID, call.to_string());
        }
    }
    span
}

/// The namespaces of a lease.
fn capabilities(authority: &JobAuthority) -> String {
    let names: Vec<_> = authority.lease().0.keys().map(Namespace::as_str).collect();
    names.join(",")
}

/// What is left of a job's budget, such as `USD:4.20`.
fn remaining(authority: &JobAuthority) -> Option<String> {
    let mut text = String::new();
    for (currency, left) in authority.remaining() {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{}:{left}", currency.as_str());
    }
    (!text.is_empty()).then_some(text)
}
