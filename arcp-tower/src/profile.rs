//! Peer profiles: where one frame cannot serve two kinds of client, the client's kind decides.
//!
//! A profile is chosen once, from the first frame, and works on what leaves the runtime; nothing
//! inside the runtime knows of it.

mod detect;
mod draft;
mod python;
mod superset;

use std::fmt;
use std::sync::Arc;

use arcp_core::wire::credential::{BEARER, Credential, Rotated};
use arcp_core::wire::event;
use arcp_core::{Envelope, Error, Event, JobId, Json, MessageId, MessageType, Timestamp, TraceId};

pub use detect::detect;
pub use draft::Draft;
pub use python::Python;
pub use superset::Superset;

/// The form in which one kind of client wants its frames.
pub trait Profile: fmt::Debug + Send + Sync + 'static {
    /// Its name, for logs.
    fn name(&self) -> &'static str;

    /// Rewrites a direct reply to `request`.
    fn reply(&self, reply: Envelope, request: Option<&MessageId>) -> Envelope {
        let _ = request;
        reply
    }

    /// Rewrites a job's terminal message; `None` leaves it as it is.
    fn terminal(&self, event: &Event) -> Option<Event> {
        let _ = event;
        None
    }

    /// Whether its clients can read a credential: some lose the whole acceptance over a scheme that
    /// they do not know.
    fn reads(&self, credential: &Credential) -> bool {
        credential.scheme == BEARER
    }

    /// The payload that announces a new value of a credential, with the value.
    fn rotated(&self, rotated: &Rotated, ts: Timestamp) -> Option<Json> {
        event::payload("status", ts, &rotated.revealed_to_all()).ok()
    }

    /// How a refusal is said.
    fn refuse(&self, refusal: &Refusal<'_>) -> Refused;

    /// Whether the client can be told of jobs that it did not submit itself: those that its own jobs
    /// delegate (§10). Many clients match acceptances to submits by their order, and one too many
    /// would be taken for the answer to another submit.
    fn tells_of_children(&self) -> bool {
        false
    }

    /// Whether what follows `reply` has to wait until the client answered a ping: some clients lose
    /// what arrives in the same burst.
    fn holds_back(&self, reply: &Envelope) -> bool {
        let _ = reply;
        false
    }
}

/// A message that is refused.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Refusal<'a> {
    /// Why.
    pub error: &'a Error,
    /// What.
    pub request: Refusable,
    /// Whether the session has jobs that run, or other requests under way: what a careless refusal
    /// would take down with it.
    pub busy: bool,
}

impl<'a> Refusal<'a> {
    /// A refusal of `request`.
    pub fn new(error: &'a Error, request: Refusable, busy: bool) -> Self {
        Self { error, request, busy }
    }
}

/// The parts of a message that its refusal names.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Refusable {
    /// Its id.
    pub id: Option<MessageId>,
    /// Its type; `None` if the frame was no message at all.
    pub kind: Option<MessageType>,
    /// The job it names.
    pub job_id: Option<JobId>,
    /// Its trace.
    pub trace_id: Option<TraceId>,
    /// Its payload.
    pub payload: Json,
}

impl Refusable {
    /// The parts of `message`.
    pub fn of(message: &Envelope) -> Self {
        Self {
            id: message.id.clone(),
            kind: Some(message.kind.clone()),
            job_id: message.job_id.clone(),
            trace_id: message.trace_id,
            payload: message.payload.clone(),
        }
    }

    /// A frame that was no message, of which perhaps the id could be read.
    pub fn frame(id: Option<MessageId>) -> Self {
        Self { id, ..Self::default() }
    }

    pub(crate) fn opens(&self) -> bool {
        matches!(self.kind, Some(MessageType::Hello | MessageType::Resume))
    }
}

/// How a refusal is said.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refused {
    /// With these frames; none means that silence is kinder.
    Frames(Vec<Envelope>),
    /// As a job that is accepted and ends at once. It is the one form that spares the other jobs of
    /// some clients.
    Stillborn,
}

impl Refused {
    fn silent() -> Self {
        Self::Frames(Vec::new())
    }

    fn one(frame: Envelope) -> Self {
        Self::Frames(vec![frame])
    }
}

/// The profile with a name; the superset for a name that is not known.
pub(crate) fn by_name(name: &str) -> Arc<dyn Profile> {
    match name {
        "draft" => Arc::new(Draft),
        "python" => Arc::new(Python),
        _ => Arc::new(Superset),
    }
}

/// How a connection's profile is found.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Choice {
    /// By the first frame.
    #[default]
    Detect,
    /// By the operator, for all.
    Pinned(Arc<dyn Profile>),
}

impl Choice {
    pub(crate) fn choose(&self, first: Option<&Envelope>) -> Arc<dyn Profile> {
        match (self, first) {
            (Self::Pinned(profile), _) => profile.clone(),
            (Self::Detect, Some(first)) => detect(first),
            (Self::Detect, None) => Arc::new(Superset),
        }
    }
}

/// The two frames that most clients read refusals from.
mod frames {
    use arcp_core::job::FinalStatus;
    use arcp_core::wire::job::JobError;
    use arcp_core::wire::session::SessionError;
    use arcp_core::{Envelope, MessageType};

    use super::Refusal;
    use crate::clock::Clock;

    /// `session.error` with the request's id.
    pub(super) fn session_error(refusal: &Refusal<'_>) -> Option<Envelope> {
        let Refusal { error, request, .. } = refusal;
        let payload = SessionError::new(error, request.id.clone(), request.job_id.clone());
        let frame = Envelope::new(MessageType::SessionError, &payload).ok()?;
        Some(frame.with_trace(request.trace_id))
    }

    /// `job.error` without a number. With a job it ends that job for the client; without one, and
    /// with the request's id as its own, it answers the request.
    pub(super) fn job_error(refusal: &Refusal<'_>, of_job: bool) -> Option<Envelope> {
        let Refusal { error, request, .. } = refusal;
        let mut payload = JobError::new(FinalStatus::Error, error, Clock::system().wall());
        payload.request_id.clone_from(&request.id);
        let job_id = request.job_id.clone().filter(|_| of_job);
        payload.job_id.clone_from(&job_id);
        let mut frame = Envelope::new(MessageType::JobError, &payload).ok()?;
        frame.job_id = job_id;
        Some(frame.with_trace(request.trace_id))
    }
}
