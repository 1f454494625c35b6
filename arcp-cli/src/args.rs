//! What can be said on the command line.

mod auth;
mod command;
mod lease;
mod send;
mod serve;
mod submit;
mod telemetry;
mod tls;
mod tools;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use arcp_tower::core::JobId;
use arcp_tower::core::store::CredentialState;

use crate::exit::{self, Failure};

pub(crate) use auth::{Issuers, Scopes};
pub(crate) use command::CommandArg;
pub(crate) use lease::{Lease, LeaseCheck, LeaseCovers};
pub(crate) use send::Send;
pub(crate) use serve::{HostedArg, Serve, Server, StoreArg};
pub(crate) use submit::Submit;
#[cfg(feature = "otlp")]
pub(crate) use telemetry::Protocol;
pub(crate) use telemetry::{LogFormat, Telemetry};
pub(crate) use tls::Tls;
pub(crate) use tools::{Completions, Doctor, Man};

/// Serve agents over the Agent Runtime Control Protocol, and use them.
#[derive(Debug, Parser)]
#[command(name = "arcp", version, after_help = exit::TABLE, disable_help_subcommand = true)]
pub(crate) struct Args {
    /// Whether what people read is coloured; `NO_COLOR` and `CLICOLOR_FORCE` are heeded.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// How the command tells what it does, where it can be told.
    pub(crate) fn telemetry(&self) -> Telemetry {
        match &self.command {
            Command::Serve(serve) => serve.telemetry.clone(),
            _ => Telemetry::default(),
        }
    }

    /// Whether errors are to be written as JSON.
    pub(crate) fn json(&self) -> bool {
        match &self.command {
            Command::Submit(submit) => submit.format() == Format::Json,
            Command::Tail(tail) => tail.json,
            Command::Jobs(jobs) => jobs.json,
            Command::Agents(agents) => agents.json,
            Command::Credentials(credentials) => credentials.json,
            Command::Doctor(doctor) => doctor.json,
            Command::Send(_) => true,
            Command::Lease(Lease::Check(check)) => check.json,
            Command::Serve(_)
            | Command::Demo(_)
            | Command::Replay(_)
            | Command::Cancel(_)
            | Command::Completions(_)
            | Command::Man(_)
            | Command::Help(_)
            | Command::Lease(Lease::Covers(_)) => false,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a runtime over WebSocket, at /arcp, or over standard input and output.
    #[command(after_help = "Examples:
  arcp serve --demo-agents
  arcp serve --agent research='python3 research.py' --agent echo='arcp serve --stdio'
  arcp serve --bind 0.0.0.0:7777 --token s3cret=ops@example.com
  arcp serve --bind 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem \
    --jwks https://login.example.com/.well-known/jwks.json \
    --jwt-issuer https://login.example.com --jwt-audience arcp")]
    Serve(Box<Serve>),
    /// Submit a job, follow its events, and print its result.
    #[command(after_help = "Examples:
  arcp submit --url ws://127.0.0.1:7777/arcp --token s3cret --agent echo --input '{\"hi\":1}'
  ARCP_URL=ws://127.0.0.1:7777/arcp ARCP_TOKEN=s3cret arcp submit --agent echo --input '{}' --json
  arcp submit --command 'arcp serve --stdio' --agent echo --input 1

With --json the last line says how the job ended: job_id, session_id, and final_status with result, \
result_text or error. Where there is no end to tell of, it has an error only, whose code is one of the \
protocol's, DISCONNECTED after a lost connection, or FAILED where the command itself found the fault. If \
the job may go on (with --command it does not), job_id and session_id are beside it, and after --timeout or an interrupt last_event_seq, \
from which `arcp tail` goes on.")]
    Submit(Submit),
    /// Watch a job of another session: live, or from its beginning.
    #[command(after_help = "Examples:
  arcp tail job_01J...
  arcp tail --job-id job_01J... --from 0 --speed 10")]
    Tail(Tail),
    /// List jobs.
    #[command(after_help = "Examples:
  arcp jobs
  arcp jobs --all --agent code-refactor --json")]
    Jobs(Jobs),
    /// List the agents of a runtime, and print the JSON Schemas of what they take and give.
    #[command(after_help = "Examples:
  arcp agents
  arcp agents --json
  arcp agents --schema code-refactor@1.0.0")]
    Agents(Agents),
    /// Cancel a job.
    #[command(after_help = "Example:
  arcp cancel job_01J... --session my-session.json")]
    Cancel(Cancel),
    /// List the credentials that a runtime provisioned for its jobs, from the file that it kept them
    /// in: which are in force, which are to be revoked, and which could not be. Never their values.
    #[command(after_help = "Examples:
  arcp credentials --db arcp.db
  arcp credentials --db arcp.db --state stuck --json")]
    Credentials(Credentials),
    /// Ask a lease, without any runtime.
    #[command(subcommand)]
    Lease(Lease),
    /// Print what a session was sent, frame by frame, from the file that a runtime kept it in.
    #[command(after_help = "Example:
  arcp replay --db arcp.db --session sess_01J... --after-seq 0")]
    Replay(Replay),
    /// Send one message of any type in a session of its own, and print the frame that answers it.
    #[command(after_help = "Examples:
  arcp send --type ping --payload '{\"nonce\":\"x\"}'
  arcp send --type session.list_jobs --payload '{\"limit\":3}'")]
    Send(Send),
    /// Say what is wrong with a set-up: the token, the way to the runtime, the session, the store's file.
    #[command(after_help = "Examples:
  arcp doctor
  arcp doctor --url ws://127.0.0.1:7777/arcp --db arcp.db --json
  arcp doctor --command 'python3 research.py'")]
    Doctor(Doctor),
    /// Print a script that completes command lines.
    #[command(after_help = "Examples:
  arcp completions bash > /etc/bash_completion.d/arcp
  arcp completions fish > ~/.config/fish/completions/arcp.fish")]
    Completions(Completions),
    /// Print a manual page, or write all of them.
    #[command(after_help = "Examples:
  arcp man | man -l -
  arcp man --dir /usr/local/share/man/man1")]
    Man(Man),
    /// Start a runtime on loopback, submit a job to it over a real WebSocket, and show what happens.
    Demo(Demo),
    /// Explain a command, or `exit-codes`.
    Help(Help),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Help {
    /// Such as `submit`, `lease check` or `exit-codes`.
    pub(crate) topic: Vec<String>,
}

/// Whether what people read is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl From<Color> for anstream::ColorChoice {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

#[derive(Debug, clap::Args)]
#[group(id = "which", required = true, multiple = false, args = ["job", "job_id"])]
pub(crate) struct Which {
    /// The job.
    job: Option<String>,
    /// The job, as an option.
    #[arg(long)]
    job_id: Option<String>,
}

impl Which {
    pub(crate) fn job(&self) -> Result<JobId, Failure> {
        let text = self.job.as_ref().or(self.job_id.as_ref()).map_or("", String::as_str);
        text.parse().map_err(|e| Failure::new(exit::Exit::Usage, format!("the job's id {e}")))
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Tail {
    #[command(flatten)]
    pub(crate) remote: Remote,
    #[command(flatten)]
    pub(crate) which: Which,
    /// Begin with what came after this number of the submitting session; 0 is everything.
    #[arg(long, value_name = "N")]
    pub(crate) from: Option<u64>,
    /// Show what is past at its own pace, this many times as fast.
    #[arg(long, value_name = "FACTOR", requires = "from")]
    pub(crate) speed: Option<f64>,
    /// Write each event, and the end, as a line of JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Jobs {
    #[command(flatten)]
    pub(crate) remote: Remote,
    /// Those that have ended, too.
    #[arg(long)]
    pub(crate) all: bool,
    /// Of this agent: NAME or NAME@VERSION.
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// Write each job as a line of JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Agents {
    #[command(flatten)]
    pub(crate) remote: Remote,
    /// Print what this agent says of itself, with its schemas: NAME or NAME@VERSION.
    #[arg(long, value_name = "NAME")]
    pub(crate) schema: Option<String>,
    /// Write each agent as a line of JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Cancel {
    #[command(flatten)]
    pub(crate) remote: Remote,
    #[command(flatten)]
    pub(crate) which: Which,
    /// The session that submitted the job, as `arcp submit --session FILE` kept it. Only that session
    /// may cancel a job, and a token with the scope admin; it is taken over from whoever has it.
    #[arg(long, value_name = "FILE")]
    pub(crate) session: Option<PathBuf>,
    /// Why.
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    /// The file that a runtime kept its sessions in. No runtime may have it open.
    #[arg(long, value_name = "FILE")]
    pub(crate) db: PathBuf,
    /// The session: the `session_id` that `arcp submit --json` prints, and `--session FILE` keeps.
    #[arg(long, value_name = "ID")]
    pub(crate) session: String,
    /// Only what came after this number.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) after_seq: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Credentials {
    /// The file that a runtime kept its jobs in. No runtime may have it open.
    #[arg(long, value_name = "FILE")]
    pub(crate) db: PathBuf,
    /// Only those in this state: intent, live, revoking, revoked or stuck; may be given several times.
    #[arg(long = "state", value_name = "STATE", value_parser = state)]
    pub(crate) states: Vec<CredentialState>,
    /// Write each credential as a line of JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where the runtime is, and who is calling.
#[derive(Debug, clap::Args)]
pub(crate) struct Remote {
    /// The runtime.
    #[arg(long, visible_alias = "uri", env = "ARCP_URL", default_value = Remote::URL)]
    pub(crate) url: String,
    /// The runtime, as a program: it is started, talked to over its standard input and output, and
    /// stopped at the end. It needs no token unless it wants one; then it finds the one that is given
    /// here as `ARCP_TOKEN` in its environment.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) command: Option<CommandArg>,
    /// The bearer token. Better in the environment, as `ARCP_TOKEN`, where `ps` does not show it.
    #[arg(long)]
    pub(crate) token: Option<String>,
    /// A file with the bearer token; `ARCP_TOKEN_FILE` in the environment.
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
    /// Certificates, as PEM, that a runtime at `wss://` is trusted by, beside the roots of the Web.
    #[arg(long, value_name = "FILE", env = "ARCP_TLS_CA")]
    pub(crate) tls_ca: Option<PathBuf>,
}

impl Remote {
    /// Where `arcp serve` is if nothing else is said.
    pub(crate) const URL: &str = "ws://127.0.0.1:7777/arcp";
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// How many steps the job has.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) steps: u64,
}

fn state(text: &str) -> Result<CredentialState, &'static str> {
    let known = CredentialState::ALL.into_iter().find(|state| state.as_str() == text);
    known.ok_or("must be intent, live, revoking, revoked or stuck")
}
