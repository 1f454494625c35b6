//! Spans and the trace contexts that they are in.

use arcp_core::TraceContext;
use http::Extensions;
use tracing::Span;

/// The span that the host had for the HTTP request of an upgrade.
#[derive(Debug, Clone)]
pub(crate) struct Ambient(#[cfg_attr(not(feature = "otel"), allow(dead_code))] pub(crate) TraceContext);

/// Notes the span that is open now as that of the HTTP request which a session begins with.
pub(crate) fn observed(extensions: &mut Extensions) {
    if let Some(context) = current() {
        extensions.insert(Ambient(context));
    }
}

/// The context of the span that is open now, if it is in a trace.
pub(crate) fn current() -> Option<TraceContext> {
    of(&Span::current())
}

#[cfg(feature = "otel")]
mod otel {
    use arcp_core::TraceContext;
    use opentelemetry::Context;
    use opentelemetry::trace::TraceContextExt as _;
    use tracing::Span;
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    /// The context of a span, if it is in a trace.
    pub(crate) fn of(span: &Span) -> Option<TraceContext> {
        TraceContext::of_otel(span.context().span().span_context())
    }

    /// Makes `context` the parent of a span that nobody has entered yet. `true` if it is one now.
    pub(crate) fn parented(span: &Span, context: &TraceContext) -> bool {
        span.set_parent(Context::new().with_remote_span_context(context.to_otel())).is_ok()
    }

    /// Gives a span that may have begun another name; fields cannot.
    pub(crate) fn renamed(span: &Span, name: String) {
        span.context().span().update_name(name);
    }

    /// Links a span to `context`.
    pub(crate) fn linked(span: &Span, context: &TraceContext) {
        span.add_link(context.to_otel());
    }
}

#[cfg(feature = "otel")]
pub(crate) use otel::{linked, of, parented, renamed};

/// Without OpenTelemetry no span is in a trace.
#[cfg(not(feature = "otel"))]
mod none {
    use arcp_core::TraceContext;
    use tracing::Span;

    pub(crate) fn of(_: &Span) -> Option<TraceContext> {
        None
    }

    pub(crate) fn parented(_: &Span, _: &TraceContext) -> bool {
        false
    }
}

#[cfg(not(feature = "otel"))]
pub(crate) use none::{of, parented};
