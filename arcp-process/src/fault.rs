//! What a failure of the program, or of the session with it, means for a job.

use arcp_client::{ConnectError, Disconnected, RequestError};
use arcp_core::{Code, Error};

/// The program ended, or was given up, before the job did. Another try may go better.
pub(crate) fn lost(why: &Disconnected) -> Error {
    let message = format!("the agent's program was lost before the job ended: {why}");
    Error::new(Code::InternalError, message).with_detail("reason", "process_lost")
}

/// No program could be started that talks to us.
pub(crate) fn unavailable(why: &ConnectError) -> Error {
    let why = match why {
        // The text says what to do, and the token is ours.
        ConnectError::Refused(e) => format!("it refused the session: {}", e.code()),
        other => other.to_string(),
    };
    let error = Error::new(Code::AgentNotAvailable, format!("the agent's program does not start: {why}"));
    error.with_detail("reason", "process").with_retryable(true)
}

/// The program did not take the job.
pub(crate) fn not_taken(error: RequestError) -> Error {
    match error {
        RequestError::Refused(e) | RequestError::Invalid(e) => e,
        RequestError::NotNegotiated(feature) => {
            let name = feature.as_str();
            let message = format!("the agent's program has not the feature {name}, which the job needs");
            Error::new(Code::InvalidRequest, message).with_detail("feature", name)
        }
        RequestError::Disconnected(why) => lost(&why),
        other => {
            let message = format!("the agent's program did not take the job: {other}");
            Error::new(Code::InternalError, message).with_detail("reason", "process_lost")
        }
    }
}

/// The agent is no more.
pub(crate) fn stopped() -> Error {
    let error = Error::new(Code::AgentNotAvailable, "the agent was stopped");
    error.with_detail("reason", "process").with_retryable(true)
}
