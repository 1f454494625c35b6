//! What an agent is given: its input, what it may know, and the wish that it end.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use arcp_core::agent::AgentRef;
use arcp_core::id::ResultId;
use arcp_core::{Error, Features, JobId, Json, TraceContext, TraceId};
use serde::de::DeserializeOwned;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::auth::Principal;
use crate::config::Config;
use crate::layer::AckGate;
use crate::operation::Operations;
use crate::runtime::{Credentials, JobAuthority, JobRecord, JobStream, Publish, Runtime};
use crate::service::SessionCtx;
use crate::telemetry;

/// A job, as its agent sees it. Clones are the same job, and can be given to tasks.
///
/// Emitting waits while the submitter is behind with its acks, and never for anybody who only
/// watches, nor for a client that is gone.
#[derive(Clone)]
pub struct Job(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) parts: JobParts,
    stream: Mutex<StreamState>,
    pub(super) slowed: AtomicBool,
}

/// What a job is made of.
pub(crate) struct JobParts {
    pub(crate) id: JobId,
    pub(crate) agent: AgentRef,
    pub(crate) input: Json,
    pub(crate) trace_id: TraceId,
    /// What its work is caused by: its own span, where that is in the trace.
    pub(crate) origin: TraceContext,
    pub(crate) session: SessionCtx,
    /// Whether its session is sent its events.
    pub(crate) followed: bool,
    pub(crate) extensions: Arc<http::Extensions>,
    pub(crate) events: AckGate<Publish>,
    /// What carries its operations out, below the lease.
    pub(crate) operations: Operations,
    pub(crate) authority: Arc<JobAuthority>,
    pub(crate) runtime: Runtime,
    pub(crate) record: Arc<JobRecord>,
    pub(crate) log: Arc<JobStream>,
    pub(crate) cancel: CancellationToken,
    pub(crate) config: Arc<Config>,
    pub(crate) credentials: Arc<Credentials>,
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

    /// What to tell whoever is asked to do something for this job (§11): as HTTP's `traceparent`, its
    /// `Display`, and `tracestate`. With the feature `otel` it names the span that is open here, else
    /// what the client named.
    ///
    /// ```
    /// # use arcp_tower::Job;
    /// fn request(job: &Job) -> http::request::Builder {
    ///     http::Request::get("http://tools.internal/").header("traceparent", job.trace_context().to_string())
    /// }
    /// ```
    pub fn trace_context(&self) -> TraceContext {
        let here = telemetry::current().filter(|context| context.trace_id() == self.trace_id());
        here.unwrap_or_else(|| self.origin().clone())
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

    /// The job that delegated it, if one did (§10).
    pub fn parent_job_id(&self) -> Option<&JobId> {
        self.0.parts.record.parent.as_ref().map(|parent| &parent.job_id)
    }

    pub(crate) fn origin(&self) -> &TraceContext {
        &self.0.parts.origin
    }

    pub(crate) fn authority(&self) -> &Arc<JobAuthority> {
        &self.0.parts.authority
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.0.parts.runtime
    }

    pub(crate) fn session(&self) -> &SessionCtx {
        &self.0.parts.session
    }

    pub(crate) fn record(&self) -> &Arc<JobRecord> {
        &self.0.parts.record
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

    pub(crate) fn config(&self) -> &Config {
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
