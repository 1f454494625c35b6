//! What an agent says: an emitter for every kind of event (§8.2).

use std::borrow::Cow;
use std::future::poll_fn;
use std::sync::atomic::Ordering;

use arcp_core::id::CallId;
use arcp_core::wire::event::{
    self, ArtifactRef, Delegate, Encoding, Log, Metric, Status, Thought, ToolCall, ToolResult,
};
use arcp_core::{Error, Event, Json};
use serde::Serialize;
use tower_service::Service as _;

use super::{Job, ProgressReport, ResultStream};
use crate::service::Emit;

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

/// Phases that only the runtime may announce: what they say, clients act on.
pub(super) const RESERVED_PHASES: [&str; 3] = ["back_pressure", "credential_rotated", "draining"];

impl Job {
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
    /// A metric whose name begins with `cost.` is charged to the budget in its `unit` (§9.6). It is for
    /// agents that run tools by themselves: what a tool of the runtime costs is reported without.
    ///
    /// # Errors
    /// As [`Job::log`], and `INVALID_REQUEST` if `value` is no finite number, or `name` begins with
    /// `cost.budget.`, which is the runtime's.
    pub async fn metric(
        &self,
        name: impl Into<String>,
        value: impl Serialize,
        unit: Option<&str>,
    ) -> Result<(), Error> {
        let (name, value) = (name.into(), Json::of(&value)?);
        finite(&value)?;
        if name.starts_with("cost.budget.") {
            return Err(Error::fault("name", "is for the runtime to report"));
        }
        let metric = Metric { name, value, unit: unit.map(str::to_owned), dimensions: None };
        // Before it is there: whoever sees the cost finds it charged.
        let charged = self.charge_metric(&metric);
        self.emit_body("metric", &metric).await?;
        match charged {
            Some(currency) => self.tell_remaining(&currency).await,
            None => Ok(()),
        }
    }

    /// Says that a tool is being called, and returns the id that its result repeats.
    ///
    /// # Errors
    /// As [`Job::log`].
    pub async fn tool_call(
        &self,
        tool: impl Into<String>,
        args: &(impl Serialize + ?Sized),
    ) -> Result<CallId, Error> {
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

    /// Begins a progress event. `current` is any number that is not negative: `47`, or `0.5`.
    ///
    /// ```
    /// # async fn f(job: arcp_tower::Job) -> Result<(), arcp_tower::core::Error> {
    /// job.progress(47).total(120).units("files").message("src/auth.rs").send().await
    /// # }
    /// ```
    pub fn progress(&self, current: impl Serialize) -> ProgressReport<'_> {
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
        if !parts.followed {
            return;
        }
        let (free, window) = (parts.session.free_credits(), parts.config.window);
        if free * 4 >= window * 3 {
            self.0.slowed.store(false, Ordering::Relaxed);
        } else if free * 2 < window && !self.0.slowed.swap(true, Ordering::Relaxed) {
            // It takes no credit: there may be none.
            self.append("status", &Status { phase: "back_pressure".to_owned(), message: None });
        }
    }
}

/// Whether the value of a metric is a number. Many peers read it as a float: one that is infinite there
/// must not reach them.
pub(super) fn finite(value: &Json) -> Result<(), Error> {
    match value.as_str().parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(()),
        _ => Err(Error::fault("value", "must be a finite number")),
    }
}
