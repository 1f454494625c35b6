//! Trace contexts, to OpenTelemetry and back.

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
    use arcp_core::{TraceContext, TraceId};
    use opentelemetry::Context;
    use opentelemetry::trace::{self, SpanContext, TraceContextExt as _, TraceFlags};
    use tracing::Span;
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    fn to_otel(context: &TraceContext) -> SpanContext {
        let trace = trace::TraceId::from_bytes(context.trace_id().to_bits().to_be_bytes());
        let span = trace::SpanId::from_bytes(context.span_id().get().to_be_bytes());
        let flags = if context.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let state = context.state().and_then(|state| state.parse().ok()).unwrap_or_default();
        SpanContext::new(trace, span, flags, true, state)
    }

    /// The context of a span, if it is in a trace.
    pub(crate) fn of(span: &Span) -> Option<TraceContext> {
        let context = span.context();
        let span = context.span();
        let otel = span.span_context();
        otel.is_valid().then(|| {
            let trace = TraceId::from_bits(u128::from_be_bytes(otel.trace_id().to_bytes()));
            let span = u64::from_be_bytes(otel.span_id().to_bytes());
            TraceContext::new(trace, span, otel.is_sampled()).with_state(&otel.trace_state().header())
        })
    }

    /// Makes `context` the parent of a span that nobody has entered yet. `true` if it is one now.
    pub(crate) fn parented(span: &Span, context: &TraceContext) -> bool {
        span.set_parent(Context::new().with_remote_span_context(to_otel(context))).is_ok()
    }

    /// Gives a span that may have begun another name; fields cannot.
    pub(crate) fn renamed(span: &Span, name: String) {
        span.context().span().update_name(name);
    }

    /// Links a span to `context`.
    pub(crate) fn linked(span: &Span, context: &TraceContext) {
        span.add_link(to_otel(context));
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
