//! The payloads of `job.*` (§7), events apart.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::agent::AgentRef;
use crate::error::ErrorBody;
use crate::id::{DelegateId, ResultId};
use crate::job::{FinalStatus, Status};
use crate::lease::{Lease, LeaseConstraints};
use crate::money::{Amount, Currency};
use crate::wire::credential::{self, Credential, Revealed};
use crate::{Code, JobId, Json, MessageId, Timestamp, TraceId};

/// `job.submit` (§7.1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Submit {
    /// The agent, with a version or without.
    pub agent: AgentRef,
    /// Its input; `null` if there is none.
    #[serde(default)]
    pub input: Json,
    /// The grants that are asked for.
    #[serde(default)]
    pub lease_request: Lease,
    /// Their bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_constraints: Option<LeaseConstraints>,
    /// Makes a repeat of this submit harmless (§7.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// How long the job may run, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_runtime_sec: Option<u64>,
}

impl Submit {
    /// A submit of `input` to `agent`, without the rest.
    pub fn new(agent: AgentRef, input: Json) -> Self {
        Self {
            agent,
            input,
            lease_request: Lease::default(),
            lease_constraints: None,
            idempotency_key: None,
            max_runtime_sec: None,
        }
    }
}

/// `job.accepted` (§7.1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Accepted {
    /// The job.
    pub job_id: JobId,
    /// `name@version`, resolved (§7.5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The submit that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
    /// The effective grants.
    #[serde(default)]
    pub lease: Lease,
    /// Their bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_constraints: Option<LeaseConstraints>,
    /// The counters at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BTreeMap<Currency, Amount>>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// Its trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// The job that delegated it (§10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_job_id: Option<JobId>,
    /// That job's name for the delegation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegate_id: Option<DelegateId>,
    /// The credentials that were issued for the job (§9.8). They are read, and never written: what is
    /// kept, logged or passed on of an acceptance is without them. [`Accepted::revealed`] has them.
    #[serde(default, deserialize_with = "credential::list", skip_serializing)]
    pub credentials: Vec<Credential>,
}

impl Accepted {
    /// An acceptance with an empty lease.
    pub fn new(job_id: JobId, agent: impl Into<String>, accepted_at: Timestamp) -> Self {
        Self {
            job_id,
            agent: Some(agent.into()),
            request_id: None,
            lease: Lease::default(),
            lease_constraints: None,
            budget: None,
            accepted_at,
            trace_id: None,
            parent_job_id: None,
            delegate_id: None,
            credentials: Vec::new(),
        }
    }

    /// The acceptance with its credentials, for the one who submitted the job (§14).
    pub fn revealed(&self) -> Revealed<'_, Self> {
        Revealed(self)
    }
}

impl Serialize for Revealed<'_, Accepted> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Whole<'a> {
            #[serde(flatten)]
            accepted: &'a Accepted,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            credentials: Vec<Revealed<'a, Credential>>,
        }
        let credentials = self.0.credentials.iter().map(Credential::revealed).collect();
        Whole { accepted: self.0, credentials }.serialize(s)
    }
}

/// `job.cancel` (§7.4). Peers name the job on the envelope, here, or in both places.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cancel {
    /// The job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Cancel {
    /// A cancellation of `job_id`.
    pub fn new(job_id: JobId, reason: Option<String>) -> Self {
        Self { job_id: Some(job_id), reason }
    }
}

/// `job.cancelled` (§7.4): the runtime will end the job; its terminal message follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cancelled {
    /// The job, as on the envelope; some peers name it only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// The request that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
    /// The client's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Cancelled {
    /// The answer to a cancellation.
    pub fn new(job_id: JobId, request_id: Option<MessageId>, reason: Option<String>) -> Self {
        Self { job_id: Some(job_id), request_id, reason }
    }
}

/// `job.subscribe` (§7.6).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Subscribe {
    /// The job; some peers name it on the envelope only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// With `history`: replay what came after this number of the submitting session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_event_seq: Option<u64>,
    /// Whether to replay at all.
    #[serde(default)]
    pub history: bool,
}

/// `job.unsubscribe` (§7.6).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Unsubscribe {
    /// The job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
}

/// `job.subscribed` (§7.6): the observer's view of the job's authority.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Subscribed {
    /// The request that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
    /// The job.
    pub job_id: JobId,
    /// Where it stands.
    pub current_status: Status,
    /// `name@version`.
    #[serde(default)]
    pub agent: String,
    /// Its grants.
    #[serde(default)]
    pub lease: Lease,
    /// Their bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_constraints: Option<LeaseConstraints>,
    /// The counters now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BTreeMap<Currency, Amount>>,
    /// Its trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// The job that delegated it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_job_id: Option<JobId>,
    /// That job's name for the delegation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegate_id: Option<DelegateId>,
    /// The highest number that the job has in the submitting session, 0 if none.
    #[serde(default)]
    pub subscribed_from: u64,
    /// Whether history follows; one SDK's runtime counts here how much of it.
    #[serde(default, deserialize_with = "flag")]
    pub replayed: bool,
}

/// Reads `true`, `false`, or a count, of which 0 is `false`.
fn flag<'de, D: Deserializer<'de>>(d: D) -> Result<bool, D::Error> {
    struct Flag;
    impl serde::de::Visitor<'_> for Flag {
        type Value = bool;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a boolean")
        }
        fn visit_bool<E>(self, flag: bool) -> Result<bool, E> {
            Ok(flag)
        }
        fn visit_u64<E>(self, count: u64) -> Result<bool, E> {
            Ok(count > 0)
        }
    }
    d.deserialize_any(Flag)
}

impl Subscribed {
    /// The view of a job without a lease.
    pub fn new(job_id: JobId, agent: String, current_status: Status) -> Self {
        Self {
            request_id: None,
            job_id,
            current_status,
            agent,
            lease: Lease::default(),
            lease_constraints: None,
            budget: None,
            trace_id: None,
            parent_job_id: None,
            delegate_id: None,
            subscribed_from: 0,
            replayed: false,
        }
    }
}

/// `job.result`: the job succeeded (§7.3, §8.4). It has a `result` or a `result_id`, never both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobResult {
    /// `success`; some runtimes send `cancelled` and `timed_out` here too.
    #[serde(default)]
    pub final_status: FinalStatus,
    /// The job, as on the envelope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// The inline result; `null` is one.
    #[serde(default, deserialize_with = "crate::json::present", skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
    /// The same, as one SDK reads it.
    #[serde(default, deserialize_with = "crate::json::present", skip_serializing_if = "Option::is_none")]
    pub output: Option<Json>,
    /// The streamed result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_id: Option<ResultId>,
    /// Its size in decoded bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_size: Option<u64>,
    /// A line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

impl JobResult {
    /// A success without a result.
    pub fn new(job_id: JobId, completed_at: Timestamp) -> Self {
        Self {
            final_status: FinalStatus::Success,
            job_id: Some(job_id),
            result: None,
            output: None,
            result_id: None,
            result_size: None,
            summary: None,
            completed_at: Some(completed_at),
        }
    }
}

/// `job.error`: the job did not succeed, or was never accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobError {
    /// How it ended.
    #[serde(default = "FinalStatus::error")]
    pub final_status: FinalStatus,
    /// The job, as on the envelope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
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
    /// The request that was refused, when no job came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

impl JobError {
    /// An end with `error`.
    pub fn new(final_status: FinalStatus, error: &crate::Error, completed_at: Timestamp) -> Self {
        let ErrorBody { code, message, retryable, details } = error.body();
        let (job_id, request_id, completed_at) = (None, None, Some(completed_at));
        Self { final_status, job_id, code, message, retryable, details, request_id, completed_at }
    }

    /// What went wrong.
    pub fn error(&self) -> crate::Error {
        let (message, details) = (self.message.clone(), self.details.clone());
        ErrorBody { code: self.code, message, retryable: self.retryable, details }.into()
    }
}
