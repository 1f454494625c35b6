//! Exit codes: what a shell can branch on.

use std::fmt;
use std::process::ExitCode;

use arcp_tower::core::{JobId, SessionId};
use serde::Serialize;

/// Shown at the end of the help.
pub(crate) const TABLE: &str = "Exit codes:
  0   success
  1   failure; the job was refused
  2   the command line is wrong
  3   the runtime cannot be reached, or the connection was lost
  4   the runtime does not let us in
  5   time ran out before the job ended
  10  the job ended with an error; `arcp lease`: it is denied, or not covered
  11  the job was cancelled
  12  the job ran out of its own time
  130 interrupted";

/// A reason to end with a particular code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Refused = 1,
    Usage = 2,
    Unreachable = 3,
    Unauthenticated = 4,
    TimedOut = 5,
    JobError = 10,
    JobCancelled = 11,
    JobTimedOut = 12,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A failure that knows its code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) error: Option<arcp_tower::core::Error>,
    pub(crate) message: String,
    pub(crate) left: Option<Box<Left>>,
}

/// A job that may go on, and how far it was followed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Left {
    pub(crate) job_id: JobId,
    pub(crate) session_id: SessionId,
    pub(crate) last_event_seq: u64,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, error: None, message: message.into(), left: None }
    }

    /// A failure that the runtime named.
    pub(crate) fn of(exit: Exit, error: &arcp_tower::core::Error) -> Self {
        Self { exit, error: Some(error.clone()), message: error.to_string(), left: None }
    }

    /// A failure that leaves a job alone.
    pub(crate) fn leaving(self, left: Left) -> Self {
        Self { left: Some(left.into()), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The code for any failure.
pub(crate) fn code_of(failure: &anyhow::Error) -> ExitCode {
    failure.downcast_ref::<Failure>().map_or(ExitCode::FAILURE, |failure| failure.exit.into())
}
