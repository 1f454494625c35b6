//! Every typed payload behind one type, so that a test can go through all of them.
#![allow(dead_code, reason = "each test binary uses its own part")]

use arcp_core::wire::event::EventPayload;
use arcp_core::wire::session::ResumeRequest;
use arcp_core::wire::{Limits, job, session};
use arcp_core::{Envelope, Error, Json, MessageType};

macro_rules! payloads {
    ($($kind:ident = $payload:ty,)*) => {
        /// A payload, by the type of its message.
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) enum Payload {
            $($kind($payload),)*
            Resume(ResumeRequest),
            Event(EventPayload),
        }

        impl Payload {
            /// Reads the payload as the type of the message says; `None` for a type of nobody's.
            pub(crate) fn read(frame: &Envelope) -> Result<Option<Self>, Error> {
                Ok(Some(match &frame.kind {
                    $(MessageType::$kind => Self::$kind(frame.payload.decode()?),)*
                    MessageType::Event => Self::Event(EventPayload::read(&frame.payload)?),
                    MessageType::Resume => {
                        let resume = ResumeRequest::read(frame)?;
                        Self::Resume(resume.ok_or_else(|| Error::fault("payload", "must be a resume"))?)
                    }
                    _ => return Ok(None),
                }))
            }

            /// The type of the message that carries it.
            pub(crate) fn kind(&self) -> MessageType {
                match self {
                    $(Self::$kind(_) => MessageType::$kind,)*
                    Self::Resume(_) => MessageType::Resume,
                    Self::Event(_) => MessageType::Event,
                }
            }

            /// Renders it.
            pub(crate) fn to_json(&self) -> Result<Json, Error> {
                if let Self::Accepted(accepted) = self {
                    // Its credentials are written only where they are revealed (§14).
                    return Json::of(&accepted.revealed());
                }
                match self {
                    $(Self::$kind(payload) => Json::of(payload),)*
                    Self::Resume(resume) => Json::of(&serde_json::json!({
                        "session_id": &resume.session_id,
                        "resume_token": &resume.token,
                        "last_event_seq": resume.last_event_seq,
                    })),
                    Self::Event(event) => event.to_json(),
                }
            }
        }
    };
}

payloads! {
    Hello = session::Hello,
    Welcome = session::Welcome,
    Ping = session::Ping,
    Pong = session::Pong,
    Ack = session::Ack,
    ListJobs = session::ListJobs,
    Jobs = session::Jobs,
    Close = session::Close,
    Bye = session::Close,
    Closed = session::Close,
    SessionError = session::SessionError,
    Submit = job::Submit,
    Accepted = job::Accepted,
    Cancel = job::Cancel,
    JobCancelled = job::Cancelled,
    Subscribe = job::Subscribe,
    Subscribed = job::Subscribed,
    Unsubscribe = job::Unsubscribe,
    Result = job::JobResult,
    JobError = job::JobError,
}

/// Decodes a frame within the default limits.
pub(crate) fn decode(frame: &str) -> Result<Envelope, Error> {
    Envelope::decode(&frame.into(), Limits::default()).map_err(|fault| fault.error)
}
