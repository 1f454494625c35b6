//! The bodies of `job.event` (§8.2): ten kinds, and those of vendors.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;
use crate::id::{DelegateId, ResultId};
use crate::{Error, Feature, JobId, Json, Timestamp};

/// The payload of a `job.event` (§8.1): kind, time and body.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EventPayload {
    /// When it happened, by the runtime's clock; not every peer says it.
    pub ts: Option<Timestamp>,
    /// What happened.
    pub body: EventBody,
}

/// What happened, by kind.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum EventBody {
    /// A line of a log.
    Log(Log),
    /// A thought of the agent.
    Thought(Thought),
    /// A tool is being called.
    ToolCall(ToolCall),
    /// A tool answered.
    ToolResult(ToolResult),
    /// The job entered a phase.
    Status(Status),
    /// A number; `cost.*` spends budget (§9.6).
    Metric(Metric),
    /// Something was made and can be fetched.
    ArtifactRef(ArtifactRef),
    /// Part of the work went to another agent (§10).
    Delegate(Delegate),
    /// How far the job is.
    Progress(Progress),
    /// A piece of the result (§8.4).
    ResultChunk(ResultChunk),
    /// A kind that §8.2 does not define, such as `x-vendor.acme.note`.
    Other {
        /// The kind.
        kind: String,
        /// Its body.
        body: Json,
    },
}

impl EventBody {
    /// The kind as it is on the wire.
    pub fn kind(&self) -> &str {
        match self {
            Self::Log(_) => "log",
            Self::Thought(_) => "thought",
            Self::ToolCall(_) => "tool_call",
            Self::ToolResult(_) => "tool_result",
            Self::Status(_) => "status",
            Self::Metric(_) => "metric",
            Self::ArtifactRef(_) => "artifact_ref",
            Self::Delegate(_) => "delegate",
            Self::Progress(_) => "progress",
            Self::ResultChunk(_) => "result_chunk",
            Self::Other { kind, .. } => kind,
        }
    }

    /// Renders the body.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` if it has no JSON form.
    pub fn to_json(&self) -> Result<Json, Error> {
        match self {
            Self::Log(body) => Json::of(body),
            Self::Thought(body) => Json::of(body),
            Self::ToolCall(body) => Json::of(body),
            Self::ToolResult(body) => Json::of(body),
            Self::Status(body) => Json::of(body),
            Self::Metric(body) => Json::of(body),
            Self::ArtifactRef(body) => Json::of(body),
            Self::Delegate(body) => Json::of(body),
            Self::Progress(body) => Json::of(body),
            Self::ResultChunk(body) => Json::of(body),
            Self::Other { body, .. } => Ok(body.clone()),
        }
    }
}

/// The phase that announces a new value of a credential (§9.8.2). Only the runtime says it; see
/// [`Rotated`](super::credential::Rotated) for the rest of the body.
pub const CREDENTIAL_ROTATED: &str = "credential_rotated";

/// The feature that a session must have negotiated to be sent events of `kind`.
pub fn feature_of(kind: &str) -> Option<Feature> {
    match kind {
        "progress" => Some(Feature::Progress),
        "result_chunk" => Some(Feature::ResultChunk),
        _ => None,
    }
}

impl EventPayload {
    /// What happened at `ts`.
    pub fn new(ts: Timestamp, body: EventBody) -> Self {
        Self { ts: Some(ts), body }
    }

    /// Reads a payload. A body of a known kind that does not have the kind's form is kept as
    /// [`EventBody::Other`]: an event is information, and dropping it would lose some.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if there is no kind.
    pub fn read(payload: &Json) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Raw {
            kind: String,
            #[serde(default)]
            ts: Option<String>,
            #[serde(default)]
            body: Json,
        }
        let Raw { kind, ts, body } = payload.decode()?;
        let known = match kind.as_str() {
            "log" => body.decode().map(EventBody::Log),
            "thought" => body.decode().map(EventBody::Thought),
            "tool_call" => body.decode().map(EventBody::ToolCall),
            "tool_result" => body.decode().map(EventBody::ToolResult),
            "status" => body.decode().map(EventBody::Status),
            "metric" => body.decode().map(EventBody::Metric),
            "artifact_ref" => body.decode().map(EventBody::ArtifactRef),
            "delegate" => body.decode().map(EventBody::Delegate),
            "progress" => body.decode().map(EventBody::Progress),
            "result_chunk" => body.decode().map(EventBody::ResultChunk),
            _ => Err(Error::fault("kind", "is a vendor's")),
        };
        let body = known.unwrap_or(EventBody::Other { kind, body });
        Ok(Self { ts: ts.and_then(|ts| Timestamp::parse(&ts).ok()), body })
    }

    /// Renders a payload.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` if the body has no JSON form.
    pub fn to_json(&self) -> Result<Json, Error> {
        let body = self.body.to_json()?;
        let ts = self.ts.unwrap_or_else(|| Timestamp::from_millis(0));
        render(self.body.kind(), ts, body.as_str())
    }
}

/// Renders `{"kind","ts","body"}` around a body.
///
/// # Errors
/// `INTERNAL_ERROR` if the body has no JSON form.
pub fn payload<T: Serialize + ?Sized>(kind: &str, ts: Timestamp, body: &T) -> Result<Json, Error> {
    #[derive(Serialize)]
    struct Payload<'a, T: ?Sized> {
        kind: &'a str,
        ts: Timestamp,
        body: &'a T,
    }
    Json::of(&Payload { kind, ts, body })
}

fn render(kind: &str, ts: Timestamp, body: &str) -> Result<Json, Error> {
    let kind = Json::of(kind)?;
    Ok(Json::composed(format!(r#"{{"kind":{},"ts":"{ts}","body":{body}}}"#, kind.as_str())))
}

/// `log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// `debug`, `info`, `warn` or `error`; peers write other words and other cases.
    pub level: Cow<'static, str>,
    /// The line.
    pub message: String,
}

/// `thought`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thought {
    /// The thought.
    pub text: String,
}

/// `tool_call`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The tool.
    pub tool: String,
    /// Its arguments; an empty object if there are none, since some peers require the key.
    #[serde(default = "Json::empty_object")]
    pub args: Json,
    /// What the result repeats.
    pub call_id: String,
}

/// `tool_result`: a result or an error, never both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The call.
    pub call_id: String,
    /// What came of it; `null` is something too.
    #[serde(default, deserialize_with = "crate::json::present", skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
    /// Why nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The phase.
    pub phase: String,
    /// A line about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// `metric`. The value is the number's own text: nothing is rounded on the way (§9.6).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// The name.
    pub name: String,
    /// A JSON number.
    pub value: Json,
    /// Its unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<BTreeMap<String, String>>,
}

/// `artifact_ref`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRef {
    /// Where it is.
    pub uri: String,
    /// What it is.
    pub content_type: String,
    /// Its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub byte_size: Option<u64>,
    /// Its digest, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// `delegate` (§10). Some peers say which job came of it, others what was asked for; this says both.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Delegate {
    /// The child job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child_job_id: Option<JobId>,
    /// The delegation, as the child's `job.accepted` repeats it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegate_id: Option<DelegateId>,
    /// The agent that does it.
    pub agent: String,
    /// Its input; `null` is one.
    #[serde(default, deserialize_with = "crate::json::present", skip_serializing_if = "Option::is_none")]
    pub input: Option<Json>,
    /// The child's grants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Json>,
    /// The grants that were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_request: Option<Json>,
    /// Their bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_constraints: Option<Json>,
}

/// `progress` (§8.2.1). Whole numbers are written as such: some peers read nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// How much is done; a number, 0 or more.
    pub current: serde_json::Number,
    /// Of how much, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<serde_json::Number>,
    /// Of what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<String>,
    /// A line about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// `result_chunk` (§8.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultChunk {
    /// The result it is a piece of.
    pub result_id: ResultId,
    /// Its place, from 0.
    pub chunk_seq: u64,
    /// Text, or bytes in base64.
    pub data: String,
    /// Which of the two.
    pub encoding: Encoding,
    /// Whether more follow.
    pub more: bool,
}

/// How a chunk's data is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As text.
    Utf8,
    /// As bytes in base64.
    Base64,
}
