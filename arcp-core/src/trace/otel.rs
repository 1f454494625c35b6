//! Trace contexts as OpenTelemetry has them.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

use super::TraceContext;

impl TraceContext {
    /// The context of a span of OpenTelemetry's; `None` if it is in no trace.
    ///
    /// ```
    /// use arcp_core::TraceContext;
    /// use opentelemetry::trace::SpanContext;
    /// let context: TraceContext = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    /// assert_eq!(TraceContext::of_otel(&context.to_otel()), Some(context));
    /// assert_eq!(TraceContext::of_otel(&SpanContext::NONE), None);
    /// ```
    pub fn of_otel(span: &SpanContext) -> Option<Self> {
        span.is_valid().then(|| {
            let trace = crate::TraceId::from_bits(u128::from_be_bytes(span.trace_id().to_bytes()));
            let id = u64::from_be_bytes(span.span_id().to_bytes());
            Self::new(trace, id, span.is_sampled()).with_state(&span.trace_state().header())
        })
    }

    /// The same for OpenTelemetry, as that of a span that is not here. A `tracestate` that it cannot read
    /// is left out.
    pub fn to_otel(&self) -> SpanContext {
        let trace = TraceId::from_bytes(self.trace_id().to_bits().to_be_bytes());
        let span = SpanId::from_bytes(self.span_id().get().to_be_bytes());
        let flags = if self.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let state = self.state().and_then(|state| state.parse::<TraceState>().ok());
        SpanContext::new(trace, span, flags, true, state.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_context_is_the_same_after_opentelemetry_had_it() {
        for (sampled, state) in [(true, "a=1,b=2"), (false, "")] {
            let trace = "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap();
            let context = TraceContext::new(trace, 7, sampled).with_state(state);
            let otel = context.to_otel();
            assert!(otel.is_remote() && otel.trace_id().to_string() == "4bf92f3577b34da6a3ce929d0e0e4736");
            assert_eq!(TraceContext::of_otel(&otel), Some(context));
        }
    }
}
