//! Agents: what a runtime runs, and what they are given.

mod budget;
mod credential;
mod delegate;
mod emit;
#[cfg(feature = "fetch")]
mod fetch;
#[cfg(all(feature = "fs", unix))]
mod files;
mod function;
mod job;
mod operate;
mod progress;
mod relay;
#[cfg(feature = "schema")]
pub mod schema;
mod stream;
mod unsaid;

use arcp_core::job::FinalStatus;
use arcp_core::{Error, Json};
use futures_util::future::BoxFuture;

pub use budget::Reservation;
pub use delegate::Delegation;
pub(crate) use delegate::{Delegated, Parent};
pub use emit::Level;
#[cfg(all(feature = "fs", unix))]
pub use files::JobFiles;
pub use function::{AgentFn, AgentService, agent_fn, agent_service};
pub use job::Job;
pub(crate) use job::{JobParts, StreamState};
pub use operate::Verdict;
pub use progress::ProgressReport;
pub use stream::ResultStream;

/// Something that can run a job. [`agent_fn`] makes one of an async function, [`agent_service`] one
/// of a `tower` service.
pub trait Agent: Send + Sync + 'static {
    /// Whether it would take `input`. A submit whose input it would not take is refused (§7.1).
    ///
    /// # Errors
    /// `INVALID_REQUEST` that names the place of the fault.
    fn check(&self, input: &Json) -> Result<(), Error> {
        let _ = input;
        Ok(())
    }

    /// What it says of itself in the inventory (§6.2). If there is an input schema, the runtime holds every
    /// input to it, after [`Agent::check`]. It is asked once, when the runtime is built.
    #[cfg(feature = "schema")]
    fn describe(&self) -> arcp_core::agent::AgentDescription {
        arcp_core::agent::AgentDescription::new()
    }

    /// Runs a job. What it returns is the job's result, unless a result was streamed.
    ///
    /// What blocks a thread goes into [`tokio::task::spawn_blocking`], as in any async code. Where that
    /// cannot be relied on, [`Builder::agents_on`](crate::Builder::agents_on) keeps it from connections.
    fn run(&self, job: Job) -> BoxFuture<'static, Result<Json, AgentError>>;
}

/// Why a job failed: any error of the agent's own, or one of ours with its code.
///
/// Every error converts into it, so `?` works in an agent. An [`arcp_core::Error`] anywhere in the
/// chain decides the code of the job's end; any other error becomes `INTERNAL_ERROR` with the text
/// of the outermost one, which the client will read.
#[derive(Debug)]
pub struct AgentError {
    error: Error,
    status: FinalStatus,
}

impl AgentError {
    /// The job ends with `status`, for an agent whose work is a job elsewhere that ended so. Any other
    /// error ends it with [`FinalStatus::Error`]; so does a success, which no error can be.
    pub fn ended(status: FinalStatus, error: Error) -> Self {
        let status = if status == FinalStatus::Success { FinalStatus::Error } else { status };
        Self { error, status }
    }

    /// How the job will end.
    pub fn into_error(self) -> Error {
        self.error
    }

    pub(crate) fn into_parts(self) -> (FinalStatus, Error) {
        (self.status, self.error)
    }
}

impl<E: Into<crate::BoxError>> From<E> for AgentError {
    fn from(e: E) -> Self {
        let e = e.into();
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&*e);
        while let Some(cause) = next {
            if let Some(known) = cause.downcast_ref::<Error>() {
                return Self::ended(FinalStatus::Error, known.clone());
            }
            next = cause.source();
        }
        Self::ended(FinalStatus::Error, Error::new(arcp_core::Code::InternalError, e.to_string()))
    }
}
