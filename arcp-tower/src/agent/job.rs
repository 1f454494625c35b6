//! What an agent is given: its input, its emitters, and the wish that it end.

use std::borrow::Cow;
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arcp_core::agent::AgentRef;
use arcp_core::id::{CallId, ResultId};
use arcp_core::wire::event::{
    self, ArtifactRef, Delegate, Encoding, Log, Metric, Status, Thought, ToolCall, ToolResult,
};
use arcp_core::{Error, Event, Features, JobId, Json, TraceId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tower_service::Service as _;

use super::{ProgressReport, ResultStream};
use crate::auth::Principal;
use crate::config::Config;
use crate::layer::AckGate;
use crate::runtime::{JobStream, Publish};
use crate::service::{Emit, SessionCtx};

/// How loud a line of a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For those who look for a fault.
    Debug,
    /// For everybody.
    Info,
    /// Something is odd.
    Warn,
    /// Something failed.
    Error,
}

impl Level {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// A job, as its agent sees it. Clones are the same job, and can be given to tasks.
///
/// Emitting waits while the submitter is behind with its acks, and never for anybody who only
/// watches, nor for a client that is gone.
#[derive(Clone)]
pub struct Job(Arc<Inner>);

struct Inner {
    parts: JobParts,
    stream: Mutex<StreamState>,
    slowed: AtomicBool,
}

/// What a job is made of.
pub(crate) struct JobParts {
    pub(crate) id: JobId,
    pub(crate) agent: AgentRef,
    pub(crate) input: Json,
    pub(crate) trace_id: TraceId,
    pub(crate) session: SessionCtx,
    pub(crate) extensions: Arc<http::Extensions>,
    pub(crate) events: AckGate<Publish>,
    pub(crate) log: Arc<JobStream>,
    pub(crate) cancel: CancellationToken,
    pub(crate) config: Arc<Config>,
}

/// The streamed result of a job.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum StreamState {
    #[default]
    None,
    Begun,
    Done {
        id: ResultId,
        size: u64,
        summary: Option<String>,
    },
}

/// Phases that only the runtime may announce: what they say, clients act on.
const RESERVED_PHASES: [&str; 3] = ["back_pressure", "credential_rotated", "draining"];

impl Job {
    pub(crate) fn new(parts: JobParts) -> Self {
        let (stream, slowed) = (Mutex::default(), AtomicBool::new(false));
        Self(Arc::new(Inner { parts, stream, slowed }))
    }

    /// The job's id.
    pub fn id(&self) -> &JobId {
        &self.0.parts.id
    }

    /// The agent as it was resolved, with its version (§7.5).
    pub fn agent(&self) -> &AgentRef {
        &self.0.parts.agent
    }

    /// The trace it belongs to (§11).
    pub fn trace_id(&self) -> TraceId {
        self.0.parts.trace_id
    }

    /// Who submitted it.
    pub fn principal(&self) -> &Principal {
        self.0.parts.session.principal()
    }

    /// What the submitting session negotiated.
    pub fn features(&self) -> Features {
        self.0.parts.session.features()
    }

    /// What the host's middleware and the layers knew of the submitting session.
    pub fn extensions(&self) -> &http::Extensions {
        &self.0.parts.extensions
    }

    /// The input, decoded.
    ///
    /// # Errors
    /// `INVALID_REQUEST` that names the place of the fault.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.0.parts.input.decode_at("input")
    }

    /// Resolves when the job should end: it was cancelled (§7.4), or its time is up. An agent that
    /// goes on is stopped after a grace period.
    pub fn cancelled(&self) -> WaitForCancellationFuture<'_> {
        self.0.parts.cancel.cancelled()
    }

    /// Whether the job should end.
    pub fn is_cancelled(&self) -> bool {
        self.0.parts.cancel.is_cancelled()
    }

    /// Emits a line of a log.
    ///
    /// # Errors
    /// `CANCELLED` if the job has ended, `INTERNAL_ERROR` with reason `limit` if the event is
    /// larger than a frame may be, or `INTERNAL_ERROR` if it has no JSON form.
    pub async fn log(&self, level: Level, message: impl Into<String>) -> Result<(), Error> {
        let body = Log { level: Cow::Borrowed(level.as_str()), message: message.into() };
        self.emit_body("log", &body).await
    }

    /// Emits a thought.
    ///
    /// # Errors
    /// As [`Job::log`].
    pub async fn thought(&self, text: impl Into<String>) -> Result<(), Error> {
        self.emit_body("thought", &Thought { text: text.into() }).await
    }

    /// Announces a phase.
    ///
    /// # Errors
    /// As [`Job::log`], and `INVALID_REQUEST` for the phases that only the runtime announces.
    pub async fn status(&self, phase: impl Into<String>) -> Result<(), Error> {
        self.status_with(phase, None::<String>).await
    }

    /// Announces a phase with a line about it.
    ///
    /// # Errors
    /// As [`Job::status`].
    pub async fn status_with(
        &self,
        phase: impl Into<String>,
        message: Option<impl Into<String>>,
    ) -> Result<(), Error> {
        let phase = phase.into();
        if RESERVED_PHASES.contains(&phase.as_str()) {
            return Err(Error::fault("phase", "is for the runtime to announce"));
        }
        self.emit_body("status", &Status { phase, message: message.map(Into::into) }).await
    }

    /// Emits a number. `value` is anything that is a JSON number; exact decimals keep their digits
    /// as [`serde_json::Number`] or [`arcp_core::money::Amount`].
    ///
    /// # Errors
    /// As [`Job::log`], and `INVALID_REQUEST` if `value` is no number.
    pub async fn metric(
        &self,
        name: impl Into<String>,
        value: impl Serialize,
        unit: Option<&str>,
    ) -> Result<(), Error> {
        let (name, value) = (name.into(), Json::of(&value)?);
        if !value.as_str().starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            return Err(Error::fault("value", "must be a finite number"));
        }
        let unit = unit.map(str::to_owned);
        self.emit_body("metric", &Metric { name, value, unit, dimensions: None }).await
    }

    /// Says that a tool is being called, and returns the id that its result repeats.
    ///
    /// # Errors
    /// As [`Job::log`].
    pub async fn tool_call(&self, tool: impl Into<String>, args: &impl Serialize) -> Result<CallId, Error> {
        let call_id = CallId::from_bits(crate::random::bits());
        let body = ToolCall { tool: tool.into(), args: Json::of(args)?, call_id: call_id.to_string() };
        self.emit_body("tool_call", &body).await?;
        Ok(call_id)
    }

    /// Says what came of a tool's call.
    ///
    /// # Errors
    /// As [`Job::log`].
    pub async fn tool_result<T: Serialize>(
        &self,
        call_id: &CallId,
        outcome: Result<T, Error>,
    ) -> Result<(), Error> {
        let (result, error) = match outcome {
            Ok(result) => (Some(Json::of(&result)?), None),
            Err(error) => (None, Some(error.body())),
        };
        self.emit_body("tool_result", &ToolResult { call_id: call_id.to_string(), result, error }).await
    }

    /// Says that something was made.
    ///
    /// # Errors
    /// As [`Job::log`].
    pub async fn artifact(&self, artifact: ArtifactRef) -> Result<(), Error> {
        self.emit_body("artifact_ref", &artifact).await
    }

    /// Says that part of the work went to another agent (§10).
    ///
    /// # Errors
    /// As [`Job::log`].
    pub async fn delegated(&self, delegate: Delegate) -> Result<(), Error> {
        self.emit_body("delegate", &delegate).await
    }

    /// Begins a progress event.
    ///
    /// ```
    /// # async fn f(job: arcp_tower::Job) -> Result<(), arcp_tower::core::Error> {
    /// job.progress(47).total(120).units("files").message("src/auth.rs").send().await
    /// # }
    /// ```
    pub fn progress(&self, current: u64) -> ProgressReport<'_> {
        ProgressReport::new(self, current)
    }

    /// Begins a streamed result (§8.4).
    ///
    /// # Errors
    /// `INVALID_REQUEST` if the submitter did not negotiate `result_chunk`, `INTERNAL_ERROR` if a
    /// result was begun before.
    pub fn result_stream(&self, encoding: Encoding) -> Result<ResultStream<'_>, Error> {
        ResultStream::begin(self, encoding)
    }

    /// Emits an event of a kind of your own: `x-vendor.acme.note`.
    ///
    /// # Errors
    /// As [`Job::log`], and `INVALID_REQUEST` if the kind does not begin with `x-vendor.`.
    pub async fn emit(&self, kind: &str, body: &impl Serialize) -> Result<(), Error> {
        if kind.strip_prefix("x-vendor.").is_none_or(str::is_empty) || kind.len() > 128 {
            return Err(Error::fault("kind", "must begin with x-vendor. and have at most 128 characters"));
        }
        self.emit_body(kind, body).await
    }

    pub(super) async fn emit_body<T: Serialize>(&self, kind: &str, body: &T) -> Result<(), Error> {
        self.tell_if_slow();
        let payload = event::payload(kind, self.wall(), body)?;
        let parts = &self.0.parts;
        let most = parts.config.max_sent_frame.saturating_sub(512);
        if payload.as_str().len() > most {
            return Err(Error::limit(format!("an event may have at most {most} bytes")));
        }
        let event = Event::new(kind, parts.id.clone(), Some(parts.trace_id), payload);
        let mut events = parts.events.clone();
        poll_fn(|cx| events.poll_ready(cx)).await?;
        events.call(Emit(event)).await
    }

    /// Says once per episode that the submitter is behind (§6.5): when half of its window is used,
    /// and again only after three quarters were free.
    fn tell_if_slow(&self) {
        let parts = &self.0.parts;
        let (free, window) = (parts.session.free_credits(), parts.config.window);
        if free * 4 >= window * 3 {
            self.0.slowed.store(false, Ordering::Relaxed);
        } else if free * 2 < window && !self.0.slowed.swap(true, Ordering::Relaxed) {
            let body = Status { phase: "back_pressure".to_owned(), message: None };
            if let Ok(payload) = event::payload("status", self.wall(), &body) {
                let event = Event::new("status", parts.id.clone(), Some(parts.trace_id), payload);
                // It takes no credit: there may be none. A job that has ended needs it no more.
                let _ = parts.log.append(event);
            }
        }
    }

    /// The time, for what is written down.
    pub(crate) fn wall(&self) -> arcp_core::Timestamp {
        self.0.parts.config.clock.wall()
    }

    /// How long the agent may take to end when it is told to.
    pub(crate) fn grace(&self) -> std::time::Duration {
        self.0.parts.config.grace
    }

    /// The largest result that fits into one frame.
    pub(crate) fn max_inline(&self) -> usize {
        self.0.parts.config.max_sent_frame.saturating_sub(1024)
    }

    pub(super) fn config(&self) -> &Config {
        &self.0.parts.config
    }

    pub(super) fn begin_stream(&self) -> bool {
        let mut stream = self.0.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let first = *stream == StreamState::None;
        if first {
            *stream = StreamState::Begun;
        }
        first
    }

    pub(super) fn end_stream(&self, done: StreamState) {
        *self.0.stream.lock().unwrap_or_else(PoisonError::into_inner) = done;
    }

    pub(crate) fn stream(&self) -> StreamState {
        self.0.stream.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("id", self.id()).field("agent", self.agent()).finish_non_exhaustive()
    }
}
