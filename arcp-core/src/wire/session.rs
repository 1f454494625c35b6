//! The payloads of `session.*` (§6).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::agent::AgentInfo;
use crate::error::ErrorBody;
use crate::{Code, Features, JobId, Json, MessageId, SessionId, Timestamp};

/// `session.hello` (§6.2). Everything may be missing: what is needed is checked where it is used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hello {
    /// Who is calling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Party>,
    /// The credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// What the client can do.
    #[serde(default)]
    pub capabilities: ClientCapabilities,
    /// The session to continue (§6.3). It is only written here: [`ResumeRequest::read`] finds it in
    /// every place where peers put it.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub resume: Option<ResumeRequest>,
}

/// A client or a runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Party {
    /// Its name.
    pub name: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
}

impl Party {
    /// A client or a runtime by name and version.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into() }
    }
}

/// `auth` of a hello (§6.1). Its `Debug` shows no token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Auth {
    /// `bearer`.
    pub scheme: String,
    /// The token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl Auth {
    /// A bearer token.
    pub fn bearer(token: impl Into<String>) -> Self {
        Self { scheme: "bearer".to_owned(), token: Some(token.into()) }
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

/// `capabilities` of a hello.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClientCapabilities {
    /// Always `json`.
    #[serde(default)]
    pub encodings: Vec<String>,
    /// The features that the client names and we know.
    #[serde(default)]
    pub features: Features,
    /// The form that the peer wants its frames in; our own client says `draft`.
    #[serde(default, rename = "x-vendor.arcp.profile", skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// `session.welcome` (§6.2), with `session_id` and `accepted_at` for the clients that need them.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Welcome {
    /// The runtime.
    pub runtime: Party,
    /// The session, as on the envelope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// When it was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
    /// What a resume presents; a new one with every welcome. `Debug` does not show it.
    #[serde(default)]
    pub resume_token: String,
    /// How long after a loss a resume works, in seconds.
    #[serde(default)]
    pub resume_window_sec: u64,
    /// The heartbeat interval in seconds, if heartbeats were negotiated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_interval_sec: Option<u64>,
    /// What the session can do.
    pub capabilities: RuntimeCapabilities,
}

/// `capabilities` of a welcome.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RuntimeCapabilities {
    /// Always `json`.
    #[serde(default)]
    pub encodings: Vec<String>,
    /// The intersection; some peers send all of theirs, so readers intersect again.
    #[serde(default)]
    pub features: Features,
    /// The inventory.
    #[serde(default)]
    pub agents: Vec<AgentInfo>,
    /// What an event survives that was sent: `volatile`, `process`, `power` or `quorum`.
    #[serde(default, rename = "x-vendor.arcp.durability", skip_serializing_if = "Option::is_none")]
    pub durability: Option<String>,
    /// Bytes of events up to which the session's are kept that it has not acknowledged (§6.5). Beyond it
    /// the oldest may go, and a resume from below them is refused.
    #[serde(default, rename = "x-vendor.arcp.unacknowledged_bytes", skip_serializing_if = "Option::is_none")]
    pub unacknowledged_bytes: Option<u64>,
    /// Events that the session's jobs may be ahead of its acks before their agents wait (§6.5); not said if
    /// they never do.
    #[serde(default, rename = "x-vendor.arcp.window", skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
}

impl fmt::Debug for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Welcome")
            .field("runtime", &self.runtime)
            .field("session_id", &self.session_id)
            .field("resume_window_sec", &self.resume_window_sec)
            .field("heartbeat_interval_sec", &self.heartbeat_interval_sec)
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}

impl Welcome {
    /// A welcome of `runtime`, without the rest.
    pub fn new(runtime: Party, features: Features, agents: Vec<AgentInfo>) -> Self {
        Self {
            runtime,
            session_id: None,
            accepted_at: None,
            resume_token: String::new(),
            resume_window_sec: 0,
            heartbeat_interval_sec: None,
            capabilities: RuntimeCapabilities {
                encodings: vec!["json".to_owned()],
                features,
                agents,
                durability: None,
                unacknowledged_bytes: None,
                window: None,
            },
        }
    }
}

/// `session.ping` (§6.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// What the pong repeats.
    pub nonce: String,
    /// When it was sent, in the sender's own words: some peers send year 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<String>,
}

/// `session.pong` (§6.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// The ping's nonce.
    pub ping_nonce: String,
    /// When the ping arrived, in the sender's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_at: Option<String>,
}

/// `session.ack` (§6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Events up to this number were processed.
    pub last_processed_seq: u64,
}

/// `session.close`, `session.bye` and `session.closed` (§6.7).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `session.list_jobs` (§6.6).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ListJobs {
    /// Which jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<JobFilter>,
    /// How many at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the page before this one ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// `filter` of a listing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobFilter {
    /// In one of these states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Vec<crate::job::Status>>,
    /// Of this agent; a bare name means every version of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Accepted after this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_after: Option<Timestamp>,
}

/// `session.jobs` (§6.6).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Jobs {
    /// The listing that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
    /// One page.
    pub jobs: Vec<JobEntry>,
    /// Where the next page begins; `null` on the last, which is written: peers look for the key.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

impl Jobs {
    /// One page that answers `request_id`; `next_cursor` is `None` on the last.
    pub fn new(request_id: Option<MessageId>, jobs: Vec<JobEntry>, next_cursor: Option<String>) -> Self {
        Self { request_id, jobs, next_cursor }
    }
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobEntry {
    /// The job.
    pub job_id: JobId,
    /// `name@version`.
    pub agent: String,
    /// Where it stands.
    pub status: crate::job::Status,
    /// Its grants.
    #[serde(default)]
    pub lease: crate::lease::Lease,
    /// When it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// The same, under the name that other clients look for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitted_at: Option<Timestamp>,
    /// The highest number it has in the submitting session, 0 if none.
    #[serde(default)]
    pub last_event_seq: u64,
    /// Its trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<crate::TraceId>,
    /// The job that delegated it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_job_id: Option<JobId>,
}

impl JobEntry {
    /// A job without a lease that has no events yet; `created_at` goes under both of its names.
    pub fn new(job_id: JobId, agent: String, status: crate::job::Status, created_at: Timestamp) -> Self {
        Self {
            job_id,
            agent,
            status,
            lease: crate::lease::Lease::default(),
            created_at: Some(created_at),
            submitted_at: Some(created_at),
            last_event_seq: 0,
            trace_id: None,
            parent_job_id: None,
        }
    }
}

/// `session.error`: a refusal that is no job's end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SessionError {
    /// What went wrong (§12).
    pub code: Code,
    /// The text for people; never empty.
    #[serde(default)]
    pub message: String,
    /// Whether a naive retry might succeed.
    #[serde(default)]
    pub retryable: bool,
    /// An object with more, if there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Json>,
    /// The request that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
    /// The job that the request named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
}

impl SessionError {
    /// A refusal of `request_id`.
    pub fn new(error: &crate::Error, request_id: Option<MessageId>, job_id: Option<JobId>) -> Self {
        let ErrorBody { code, message, retryable, details } = error.body();
        Self { code, message, retryable, details, request_id, job_id }
    }

    /// What went wrong.
    pub fn error(&self) -> crate::Error {
        let (message, details) = (self.message.clone(), self.details.clone());
        ErrorBody { code: self.code, message, retryable: self.retryable, details }.into()
    }
}

/// What a resume presents (§6.3), wherever it was placed. Its `Debug` shows no token.
#[derive(Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ResumeRequest {
    /// The session, if the peer named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// The token.
    #[serde(rename = "resume_token")]
    pub token: String,
    /// The last event that arrived.
    pub last_event_seq: u64,
}

impl std::fmt::Debug for ResumeRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut f = f.debug_struct("ResumeRequest");
        f.field("session_id", &self.session_id).field("last_event_seq", &self.last_event_seq);
        f.finish_non_exhaustive()
    }
}

impl ResumeRequest {
    /// Asks for everything of `session_id` after `last_event_seq`.
    pub fn new(session_id: SessionId, token: impl Into<String>, last_event_seq: u64) -> Self {
        Self { session_id: Some(session_id), token: token.into(), last_event_seq }
    }

    /// Reads a resume from the first frame, in each of the placements that peers use: the message
    /// `session.resume`, `payload.resume` of a hello, or the hello's payload itself.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if there is one, but not of this form.
    pub fn read(first: &crate::Envelope) -> Result<Option<Self>, crate::Error> {
        #[derive(Deserialize)]
        struct Fields {
            session_id: Option<SessionId>,
            resume_token: Option<String>,
            token: Option<String>,
            last_event_seq: Option<u64>,
        }
        #[derive(Deserialize)]
        struct Nested {
            resume: Option<Json>,
        }
        let hello = first.kind == crate::MessageType::Hello;
        let nested = if hello { first.payload.decode::<Nested>()?.resume } else { None };
        let fields: Fields = match &nested {
            Some(json) if !json.is_null() => json.decode_at("payload.resume")?,
            _ => first.payload.decode()?,
        };
        match (fields.resume_token.or(fields.token), fields.last_event_seq) {
            (Some(token), Some(last_event_seq)) => {
                let session_id = fields.session_id.or_else(|| first.session_id.clone());
                Ok(Some(Self { session_id, token, last_event_seq }))
            }
            (None, None) if hello && nested.is_none() => Ok(None),
            _ => Err(crate::Error::fault("payload", "a resume needs resume_token and last_event_seq")),
        }
    }
}
