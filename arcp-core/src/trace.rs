//! W3C trace context (§11): which trace a message belongs to, and which span of it caused it.

#[cfg(feature = "otel")]
mod otel;

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use crate::TraceId;

/// Bytes of a `tracestate` that is taken. W3C asks for at least so many.
const STATE: usize = 512;

/// A trace, and the span in it that caused what comes next.
///
/// Peers put it into the envelope's `trace_id` as a whole `traceparent` (§11), or beside a bare
/// `trace_id` as `traceparent` and `tracestate`, which who does not know them ignores.
///
/// ```
/// use arcp_core::TraceContext;
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let context: TraceContext = text.parse().unwrap();
/// assert_eq!(context.to_string(), text);
/// assert!(context.is_sampled());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: TraceId,
    span_id: NonZeroU64,
    flags: u8,
    state: Option<Box<str>>,
}

impl TraceContext {
    /// A span of a trace. A span that is zero, which W3C forbids, becomes one.
    pub fn new(trace_id: TraceId, span_id: u64, sampled: bool) -> Self {
        let span_id = NonZeroU64::new(span_id).unwrap_or(NonZeroU64::MIN);
        Self { trace_id, span_id, flags: u8::from(sampled), state: None }
    }

    /// The context of a peer that named a trace and no span: a span that nobody has seen, always the
    /// same one of a trace, and sampled, since otherwise nothing would be seen of it at all.
    pub fn of_trace(trace_id: TraceId) -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
        Self::new(trace_id, trace_id.to_bits() as u64, true)
    }

    /// With what tracing systems say to each other. It is left out if it is longer than 512 bytes or
    /// has anything but printable ASCII.
    pub fn with_state(mut self, state: &str) -> Self {
        let good = |b: u8| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\';
        let valid = !state.is_empty() && state.len() <= STATE && state.bytes().all(good);
        self.state = valid.then(|| state.into());
        self
    }

    /// The trace.
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// The span.
    pub fn span_id(&self) -> NonZeroU64 {
        self.span_id
    }

    /// Whether who began the trace records it.
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }

    /// The `tracestate`.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

impl FromStr for TraceContext {
    type Err = InvalidTraceContext;

    /// Reads a `traceparent`. What a later version says after its flags is ignored, as W3C asks.
    fn from_str(text: &str) -> Result<Self, InvalidTraceContext> {
        let lower = |s: &str| s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let mut parts = text.splitn(5, '-');
        let mut part = |len: usize| parts.next().filter(|part| part.len() == len && lower(part));
        let (version, trace, span, flags) = (part(2), part(32), part(16), part(2));
        let more = parts.next();
        let (Some(version), Some(trace), Some(span), Some(flags)) = (version, trace, span, flags) else {
            return Err(InvalidTraceContext);
        };
        if version == "ff" || (version == "00" && more.is_some()) {
            return Err(InvalidTraceContext);
        }
        let trace_id = trace.parse().map_err(|_| InvalidTraceContext)?;
        let span_id = u64::from_str_radix(span, 16).ok().and_then(NonZeroU64::new);
        let flags = u8::from_str_radix(flags, 16).map_err(|_| InvalidTraceContext)?;
        Ok(Self { trace_id, span_id: span_id.ok_or(InvalidTraceContext)?, flags: flags & 1, state: None })
    }
}

/// Why a text is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a W3C traceparent")]
pub struct InvalidTraceContext;

impl fmt::Display for TraceContext {
    /// As a `traceparent` of version 00.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn s44_a_traceparent_is_read_strictly() {
        let good: TraceContext = format!("00-{TRACE}-00f067aa0ba902b7-03").parse().unwrap();
        assert_eq!(good.to_string(), format!("00-{TRACE}-00f067aa0ba902b7-01"));
        let later: TraceContext = format!("cc-{TRACE}-00f067aa0ba902b7-00-what-ever").parse().unwrap();
        assert!(!later.is_sampled());
        for bad in [
            String::new(),
            TRACE.to_owned(),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-x"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{TRACE}-+0f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-01é"),
        ] {
            assert_eq!(bad.parse::<TraceContext>(), Err(InvalidTraceContext), "{bad:?}");
        }
    }

    #[test]
    fn s44_a_tracestate_that_is_none_is_left_out() {
        let context = TraceContext::of_trace(TRACE.parse().unwrap());
        assert_eq!(context.clone().with_state("a=1,b=2").state(), Some("a=1,b=2"));
        for bad in ["", "a=\n", "a=\"", "a=é", &"x".repeat(513)] {
            assert_eq!(context.clone().with_state(bad).state(), None, "{bad:?}");
        }
    }

    #[test]
    fn a_bare_trace_has_one_span_that_is_never_zero() {
        let zeroes = TraceContext::of_trace(TraceId::from_bits(1 << 64));
        assert_eq!(zeroes.span_id().get(), 1);
        let trace = TRACE.parse().unwrap();
        assert_eq!(TraceContext::of_trace(trace).to_string(), format!("00-{TRACE}-a3ce929d0e0e4736-01"));
    }
}
