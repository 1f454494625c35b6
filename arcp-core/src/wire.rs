//! The envelope of §5, decoded in two steps: the header now, the payload when its type is known.

pub mod credential;
mod decode;
pub mod event;
pub mod job;
mod limits;
pub mod session;

use std::fmt;

use serde::Serialize;

pub use decode::Fault;
pub use limits::Limits;

use crate::{Error, JobId, Json, MessageId, SessionId, TraceContext, TraceId};

/// The version that we send in `arcp`.
pub const VERSION: &str = "1.1";

macro_rules! types {
    ($($(#[$doc:meta])* $name:ident = $wire:literal,)*) => {
        /// A message type (§6 to §8).
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum MessageType {
            $($(#[$doc])* $name,)*
            /// A type that this version does not know.
            Other(Box<str>),
        }

        impl MessageType {
            /// The type as it is on the wire. One that we do not know may need escaping.
            pub fn as_str(&self) -> &str {
                match self { $(Self::$name => $wire,)* Self::Other(name) => name }
            }
        }

        impl From<&str> for MessageType {
            fn from(text: &str) -> Self {
                match text { $($wire => Self::$name,)* other => Self::Other(other.into()) }
            }
        }
    };
}

types! {
    /// The client opens a session (§6.2).
    Hello = "session.hello",
    /// The runtime opens it too.
    Welcome = "session.welcome",
    /// The client continues a session (§6.3).
    Resume = "session.resume",
    /// Is the peer there (§6.4)?
    Ping = "session.ping",
    /// It is.
    Pong = "session.pong",
    /// Events up to here were processed (§6.5).
    Ack = "session.ack",
    /// Which jobs are there (§6.6)?
    ListJobs = "session.list_jobs",
    /// These.
    Jobs = "session.jobs",
    /// The client ends the connection in an orderly way (§6.7).
    Close = "session.close",
    /// The same, as several SDKs say it.
    Bye = "session.bye",
    /// The runtime agrees.
    Closed = "session.closed",
    /// A refusal that concerns no job.
    SessionError = "session.error",
    /// The client asks for a job (§7.1).
    Submit = "job.submit",
    /// The runtime takes it.
    Accepted = "job.accepted",
    /// The client ends it (§7.4).
    Cancel = "job.cancel",
    /// The runtime will.
    JobCancelled = "job.cancelled",
    /// The client watches a job (§7.6).
    Subscribe = "job.subscribe",
    /// It does from now on.
    Subscribed = "job.subscribed",
    /// It watches no longer.
    Unsubscribe = "job.unsubscribe",
    /// Something happened in a job (§8).
    Event = "job.event",
    /// The job succeeded.
    Result = "job.result",
    /// The job did not, or was refused.
    JobError = "job.error",
}

/// A message whose payload is still text. Its `Debug` does not show that: tokens and credentials travel in
/// payloads.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Envelope {
    /// The message's own id. Outgoing messages get one when they are encoded, unless a peer needs
    /// a particular one.
    pub id: Option<MessageId>,
    /// The type.
    pub kind: MessageType,
    /// The session that the sender named.
    pub session_id: Option<SessionId>,
    /// The job it concerns.
    pub job_id: Option<JobId>,
    /// The trace it belongs to (§11).
    pub trace_id: Option<TraceId>,
    /// The span of that trace which caused it, where the sender said so.
    pub trace_context: Option<Box<TraceContext>>,
    /// Its number in the session (§8.3); only events and terminals have one.
    pub event_seq: Option<u64>,
    /// The payload: always an object.
    pub payload: Json,
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, kind, session_id, job_id, trace_id, trace_context, event_seq, payload } = self;
        f.debug_struct("Envelope")
            .field("id", id)
            .field("kind", kind)
            .field("session_id", session_id)
            .field("job_id", job_id)
            .field("trace_id", trace_id)
            .field("trace_context", trace_context)
            .field("event_seq", event_seq)
            .field("payload", &format_args!("{} bytes", payload.as_str().len()))
            .finish()
    }
}

impl Envelope {
    /// A message to send.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` if `payload` has no JSON form.
    pub fn new<T: Serialize + ?Sized>(kind: MessageType, payload: &T) -> Result<Self, Error> {
        Ok(Self::of_json(kind, Json::of(payload)?))
    }

    /// A message to send, its payload rendered already.
    pub fn of_json(kind: MessageType, payload: Json) -> Self {
        Self {
            id: None,
            kind,
            session_id: None,
            job_id: None,
            trace_id: None,
            trace_context: None,
            event_seq: None,
            payload,
        }
    }

    /// Sets the job.
    pub fn with_job(mut self, job_id: JobId) -> Self {
        self.job_id = Some(job_id);
        self
    }

    /// Sets the trace.
    pub fn with_trace(mut self, trace_id: Option<TraceId>) -> Self {
        self.trace_id = trace_id;
        self
    }

    /// Sets the trace, and the span that causes this message. Beside `trace_id`, which every peer reads
    /// bare, it is sent as `traceparent` and `tracestate`.
    pub fn with_trace_context(mut self, context: TraceContext) -> Self {
        self.trace_id = Some(context.trace_id());
        self.trace_context = Some(Box::new(context));
        self
    }

    /// Sets the id.
    pub fn with_id(mut self, id: Option<MessageId>) -> Self {
        self.id = id;
        self
    }

    /// Renders the message: `id` unless it has one, and `session_id` unless it has one.
    pub fn encode(&self, session_id: Option<&SessionId>, id: &MessageId) -> String {
        let session_id = self.session_id.as_ref().or(session_id);
        let payload = self.payload.as_str();
        let mut out = String::with_capacity(192 + self.kind.as_str().len() + payload.len());
        out.push_str("{\"arcp\":\"1.1\"");
        push(&mut out, "id", Some(self.id.as_ref().unwrap_or(id).as_str()));
        match &self.kind {
            MessageType::Other(name) => {
                out.push_str(",\"type\":");
                out.push_str(&serde_json::to_string(name).unwrap_or_default());
            }
            known => push(&mut out, "type", Some(known.as_str())),
        }
        push(&mut out, "session_id", session_id.map(SessionId::as_str));
        push(&mut out, "job_id", self.job_id.as_ref().map(JobId::as_str));
        if let Some(trace) = self.trace_id {
            push(&mut out, "trace_id", Some(&trace.to_string()));
        }
        if let Some(context) = &self.trace_context {
            push(&mut out, "traceparent", Some(&context.to_string()));
            push(&mut out, "tracestate", context.state());
        }
        if let Some(seq) = self.event_seq {
            out.push_str(",\"event_seq\":");
            out.push_str(&seq.to_string());
        }
        out.push_str(",\"payload\":");
        out.push_str(payload);
        out.push('}');
        out
    }
}

/// Writes a member whose text needs no escaping: ids are checked where they enter.
fn push(out: &mut String, key: &str, text: Option<&str>) {
    if let Some(text) = text {
        for part in [",\"", key, "\":\"", text, "\""] {
            out.push_str(part);
        }
    }
}
