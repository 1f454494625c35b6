//! What the runtime says of itself: spans (§11) and metrics.
//!
//! Spans go through [`tracing`] always. Two features say where else:
//!
//! | feature | spans | metrics |
//! |---|---|---|
//! | `otel` | get their parents and links from W3C trace contexts, through `tracing-opentelemetry` | go to the meter provider of `opentelemetry` |
//! | `metrics` | | go to the recorder of the `metrics` facade |
//!
//! Providers and recorders are the host's, and global; they are set before the first runtime is
//! built. Without either feature nothing is measured.
//!
//! | span | OpenTelemetry name, kind | parent | link |
//! |---|---|---|---|
//! | `arcp.command`, of [`TraceLayer`](crate::TraceLayer) | `{message type} {agent}`, server | the envelope's context | the HTTP request of the upgrade |
//! | `arcp.job` | `invoke_agent {agent}`, internal | the command, or the delegation, that began it | |
//! | `arcp.operation` | `execute_tool {tool}`, internal | the job | |
//!
//! There is never a span for an event. A job's span is no child of its command's for [`tracing`], which
//! would keep the command's from being exported for as long as the job runs; only OpenTelemetry is told
//! that it is one. It leaves when the job ends, all others at once.
//!
//! The conventions for agents (`gen_ai.*`) are in development; what is set is of
//! semantic-conventions-genai as of 2026-11, with the feature `otel` only. The names of the metrics are
//! [`names`]. No label has an id, nor anything else that a peer can make up.

mod backend;
mod context;
mod label;
pub mod names;
mod record;
mod span;

#[cfg(feature = "otel")]
pub(crate) use context::Ambient;
pub(crate) use context::{current, observed};
#[cfg(all(feature = "jwks", any(feature = "jwt-aws-lc-rs", feature = "jwt-rust-crypto")))]
pub(crate) use record::keys_fetched;
pub(crate) use record::{
    Active, Tally, Timer, acknowledged, command, commit, denied, job_ended, resumed, spent,
};
pub(crate) use span::{
    Opened, answered, caused_by, code_of, command_span, failed, handshake_span, job_over, job_span,
    message_span, operation_span,
};
