//! The span of a submit, and what of it the runtime is told (§11).

use arcp_core::TraceContext;
use tracing::{Span, field};

use crate::error::RequestError;
use crate::job::JobHandle;

/// Opens the span of a submit.
pub(crate) fn submit_span(agent: &str) -> Span {
    tracing::info_span!(
        "arcp.submit",
        "otel.name" = format!("job.submit {agent}"),
        "otel.kind" = "client",
        "arcp.message.type" = "job.submit",
        "arcp.agent" = agent,
        "arcp.job.id" = field::Empty,
        trace_id = field::Empty,
        "error.type" = field::Empty,
        "otel.status_code" = field::Empty,
    )
}

/// What came of it.
pub(crate) fn submitted(span: &Span, outcome: &Result<JobHandle, RequestError>) {
    match outcome {
        Ok(job) => {
            span.record("arcp.job.id", field::display(job.id()));
            span.record("trace_id", field::display(job.trace_id()));
        }
        Err(error) => {
            span.record("error.type", kind(error));
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// A failure by its kind: what it says may be anything.
fn kind(error: &RequestError) -> &'static str {
    match error {
        RequestError::Refused(error) => error.code().as_str(),
        RequestError::NotNegotiated(_) => "not_negotiated",
        RequestError::Invalid(_) => "invalid",
        RequestError::TimedOut => "timeout",
        RequestError::TooMany => "too_many",
        RequestError::Unreadable(_) => "unreadable",
        RequestError::Disconnected(_) => "disconnected",
    }
}

/// The context of the span that is open here, if it is in a trace.
#[cfg(feature = "otel")]
pub(crate) fn current() -> Option<TraceContext> {
    use opentelemetry::trace::TraceContextExt as _;
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    TraceContext::of_otel(Span::current().context().span().span_context())
}

/// Without OpenTelemetry no span is in a trace.
#[cfg(not(feature = "otel"))]
pub(crate) fn current() -> Option<TraceContext> {
    None
}
