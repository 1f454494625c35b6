//! Agents that are programs: `--agent NAME=COMMAND`.

use arcp_process::{ProcessAgent, Program};
use arcp_tower::Builder;
use futures_util::future::join_all;

use crate::args::HostedArg;
use crate::exit::{Exit, Failure};

/// What concerns this process, and not the programs that it starts.
const OURS: [&str; 3] = ["ARCP_STORE", "ARCP_TOKEN_FILE", "ARCP_URL"];

/// The programs.
#[derive(Debug, Clone)]
pub(super) struct Hosted(Vec<(String, ProcessAgent)>);

impl Hosted {
    pub(super) fn of(args: &[HostedArg]) -> Result<Self, Failure> {
        let agent = |arg: &HostedArg| {
            // Programs start with their first job, which is late to learn of a slip.
            if let Some(program) = arg.command.missing() {
                let message =
                    format!("--agent {}: there is no program {program} that can be started", arg.name);
                return Err(Failure::new(Exit::Usage, message));
            }
            let program = OURS.into_iter().fold(arg.command.program(), Program::env_remove);
            let agent = ProcessAgent::new(&arg.name, &program).map_err(|e| Failure::of(Exit::Usage, &e))?;
            Ok((arg.name.clone(), agent))
        };
        args.iter().map(agent).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn register(self, builder: Builder) -> Builder {
        self.0.into_iter().fold(builder, |builder, (name, agent)| builder.agent(name, agent))
    }

    /// Stops the programs, and waits until they have ended.
    pub(super) async fn stop(&self) {
        join_all(self.0.iter().map(|(_, agent)| agent.stop())).await;
    }
}
