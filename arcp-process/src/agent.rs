//! The agent.

use std::fmt::Write as _;
use std::sync::Arc;

use arcp_client::Program;
use arcp_core::agent::AgentRef;
use arcp_core::{Code, Error, Json};
use arcp_tower::{Agent, AgentError, Job};
use futures_util::future::{BoxFuture, FutureExt as _};

use crate::config::ProcessConfig;
use crate::host::Host;
use crate::relay;

/// An agent that is a program: any ARCP runtime on its standard input and output (§4).
///
/// One process does the jobs of an agent, side by side, in one session. It is started with the first
/// job. If it ends, the jobs that it had end with `INTERNAL_ERROR`, retryable, `details.reason`
/// `"process_lost"`, and the next job starts another one, after a wait that grows as it fails.
///
/// | of the job | what the program gets |
/// |---|---|
/// | input, trace | the same |
/// | lease, its end (§9) | the same, with what is left of the budget |
/// | cancellation, time that is up | `job.cancel` |
/// | provisioned credentials (§9.8) | nothing |
///
/// | of the program | what becomes of it |
/// |---|---|
/// | events | events of the job; see [`Job::relay`] |
/// | `cost.*` | charged to the job, too: no more than its budget is spent, wherever |
/// | result, streamed or not, error, `cancelled`, `timed_out` | the same of the job |
/// | credentials | nothing: they are the session's that submitted, which is this one |
/// | lines that are no frames, and its standard error | log records; see [`Program`] |
///
/// The program is shown a token in the hello, and finds the same in its environment as `ARCP_TOKEN`.
/// Clones are the same agent.
#[derive(Debug, Clone)]
pub struct ProcessAgent {
    host: Arc<Host>,
    agent: AgentRef,
}

impl ProcessAgent {
    /// An agent that `program` knows as `agent`: `name`, or `name@version`.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if `agent` is none.
    pub fn new(agent: &str, program: &Program) -> Result<Self, Error> {
        let agent = agent.parse().map_err(|e| Error::fault("agent", &format!("{e}")))?;
        Ok(Self { host: Arc::new(Host::new(program, made_up()?, ProcessConfig::default())), agent })
    }

    /// A token of one's own choice, instead of one that is made up.
    pub fn token(self, token: impl Into<String>) -> Self {
        let host = Host::new(&self.host.program, token.into(), self.host.config.clone());
        Self { host: Arc::new(host), ..self }
    }

    /// The bounds.
    pub fn config(self, config: ProcessConfig) -> Self {
        let host = Host::new(&self.host.program, self.host.token.clone(), config);
        Self { host: Arc::new(host), ..self }
    }

    /// Stops the program, and waits until it has ended. Jobs that it still has end as lost, and no more
    /// are taken.
    pub async fn stop(&self) {
        self.host.stop().await;
    }
}

impl Agent for ProcessAgent {
    fn run(&self, job: Job) -> BoxFuture<'static, Result<Json, AgentError>> {
        relay::run(self.host.clone(), self.agent.to_string(), job).boxed()
    }
}

/// A token that nobody has heard of.
fn made_up() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::new(Code::InternalError, format!("no random bits: {e}")))?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
