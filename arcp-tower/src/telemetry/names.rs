//! The names of the metrics, and of their labels. In the text that Prometheus reads dots are
//! underscores.

/// How long a command took, by [`MESSAGE_TYPE`] and [`ERROR_TYPE`]. Seconds.
pub const OPERATION_DURATION: &str = "arcp.server.operation.duration";
/// How long a connection had its session. Seconds.
pub const SESSION_DURATION: &str = "arcp.server.session.duration";
/// Sessions that have a connection.
pub const SESSIONS_ACTIVE: &str = "arcp.server.sessions.active";
/// Jobs that run.
pub const JOBS_ACTIVE: &str = "arcp.jobs.active";
/// How long a job ran, by [`AGENT`] and [`FINAL_STATUS`]. Seconds.
pub const JOB_DURATION: &str = "arcp.job.duration";
/// Events that jobs emitted. They are counted in groups: of a job that nobody follows, up to 63 are
/// counted when it ends.
pub const EVENTS_EMITTED: &str = "arcp.events.emitted";
/// Events of a session's jobs that it was not sent, or did not acknowledge, when an ack came.
pub const OUTBOX_DEPTH: &str = "arcp.outbox.depth";
/// Events that a session was sent and did not acknowledge, when an ack came.
pub const ACK_LAG: &str = "arcp.ack.lag";
/// Resumes, by [`OUTCOME`].
pub const RESUME_COUNT: &str = "arcp.resume.count";
/// Operations that a lease did not allow, by [`CAPABILITY`] and [`ERROR_TYPE`].
pub const LEASE_DENIED: &str = "arcp.lease.denied";
/// Money that was charged to budgets, by [`CURRENCY`]. A sum; through the `metrics` facade, whose
/// counters are whole numbers, a gauge that only rises.
pub const BUDGET_SPENT: &str = "arcp.budget.spent";
/// How long a commit to the store took, by [`ERROR_TYPE`]. Seconds.
pub const COMMIT_DURATION: &str = "arcp.store.commit.duration";
/// Attempts to fetch the keys of an issuer, by [`ERROR_TYPE`]: `unreachable`, `timeout`, `lost`, `status`,
/// `length`, `unreadable`, `too_many`. While they fail, the keys of before count.
pub const JWKS_FETCHES: &str = "arcp.jwks.fetches";

/// The type of a message; `_OTHER` for those that the protocol does not know.
pub const MESSAGE_TYPE: &str = "arcp.message.type";
/// The code of §12; of the store's errors their kind, and of key sets why there are none. Nothing where
/// all went well.
pub const ERROR_TYPE: &str = "error.type";
/// An agent that is registered, with its version.
pub const AGENT: &str = "arcp.agent";
/// How a job ended (§7.3).
pub const FINAL_STATUS: &str = "arcp.job.final_status";
/// `resumed`, or why not: `unknown`, `token`, `principal`, `floor`, `ahead`, `failed`.
pub const OUTCOME: &str = "arcp.resume.outcome";
/// A namespace of §9.2; `x-vendor` for all that are a deployment's own.
pub const CAPABILITY: &str = "arcp.capability";
/// Three capital letters; `_OTHER` for what is no such currency.
pub const CURRENCY: &str = "arcp.currency";

/// Names of semantic-conventions-genai, as of 2026-11. They are in development, and set with the feature
/// `otel` only.
#[cfg(feature = "otel")]
pub mod gen_ai {
    /// `invoke_agent` or `execute_tool`.
    pub const OPERATION_NAME: &str = "gen_ai.operation.name";
    /// The agent's name.
    pub const AGENT_NAME: &str = "gen_ai.agent.name";
    /// The agent's version.
    pub const AGENT_VERSION: &str = "gen_ai.agent.version";
    /// Both, as `name@version`.
    pub const AGENT_ID: &str = "gen_ai.agent.id";
    /// The session that submitted the job.
    pub const CONVERSATION_ID: &str = "gen_ai.conversation.id";
    /// The tool, or the capability of what is none.
    pub const TOOL_NAME: &str = "gen_ai.tool.name";
    /// What `tool_call` and `tool_result` events share.
    pub const TOOL_CALL_ID: &str = "gen_ai.tool.call.id";
}
