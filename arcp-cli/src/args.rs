//! What can be said on the command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand, ValueEnum};

use crate::exit;
use crate::token::TokenArg;

/// Serve agents over the Agent Runtime Control Protocol, and use them.
#[derive(Debug, Parser)]
#[command(name = "arcp", version, after_help = exit::TABLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// Whether errors are to be written as JSON.
    pub(crate) fn json(&self) -> bool {
        match &self.command {
            Command::Submit(submit) => submit.format() == Format::Json,
            Command::Serve(_) | Command::Demo(_) | Command::Replay(_) => false,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a runtime over WebSocket, at /arcp.
    #[command(after_help = "Examples:
  arcp serve --demo-agents
  arcp serve --bind 0.0.0.0:7777 --token s3cret=ops@example.com")]
    Serve(Serve),
    /// Submit a job, follow its events, and print its result.
    #[command(after_help = "Examples:
  arcp submit --url ws://127.0.0.1:7777/arcp --token s3cret --agent echo --input '{\"hi\":1}'
  ARCP_URL=ws://127.0.0.1:7777/arcp ARCP_TOKEN=s3cret arcp submit --agent progress --json")]
    Submit(Submit),
    /// Print what a session was sent, frame by frame, from the file that a runtime kept it in.
    #[command(after_help = "Example:
  arcp replay --db arcp.db --session sess_01J... --after-seq 0")]
    Replay(Replay),
    /// Start a runtime on loopback, submit a job to it over a real WebSocket, and show what happens.
    Demo(Demo),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Address and port; port 0 takes a free one and prints it.
    #[arg(long, value_name = "ADDR:PORT", conflicts_with_all = ["host", "port"])]
    pub(crate) bind: Option<SocketAddr>,
    /// Address.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: IpAddr,
    /// Port; 0 takes a free one and prints it.
    #[arg(long, default_value_t = 7777)]
    pub(crate) port: u16,
    /// A bearer token, and whom it stands for; may be given several times. Without any, one is made
    /// up for loopback, and printed.
    #[arg(long = "token", value_name = "TOKEN[=PRINCIPAL]", env = "ARCP_TOKEN", hide_env_values = true)]
    pub(crate) tokens: Vec<TokenArg>,
    /// Whom the tokens stand for that do not say so themselves.
    #[arg(long)]
    pub(crate) principal: Option<String>,
    /// Where sessions and jobs are kept: `memory`, or `sqlite:FILE`.
    #[arg(long, env = "ARCP_STORE", default_value = "sqlite:arcp.db")]
    pub(crate) store: StoreArg,
    /// How long a session can be resumed after its connection was lost.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) resume_window: u64,
    /// How long ended jobs and their events are kept.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) retention: u64,
    /// The heartbeat interval.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) heartbeat: u64,
    /// Register the agents of the demonstration, and not only `echo`.
    #[arg(long)]
    pub(crate) demo_agents: bool,
}

/// Where sessions and jobs are kept.
#[derive(Debug, Clone)]
pub(crate) enum StoreArg {
    /// In memory; nothing outlives the process.
    Memory,
    /// In a file.
    Sqlite(PathBuf),
}

impl FromStr for StoreArg {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "memory" => Ok(Self::Memory),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            _ => Err("must be memory, or sqlite:FILE"),
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    /// The file that a runtime kept its sessions in. No runtime may have it open.
    #[arg(long, value_name = "FILE")]
    pub(crate) db: PathBuf,
    /// The session.
    #[arg(long, value_name = "ID")]
    pub(crate) session: String,
    /// Only what came after this number.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) after_seq: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Submit {
    /// The runtime.
    #[arg(long, env = "ARCP_URL", default_value = "ws://127.0.0.1:7777/arcp")]
    pub(crate) url: String,
    /// The bearer token. Better in the environment, where `ps` does not show it.
    #[arg(long, env = "ARCP_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// A file with the bearer token.
    #[arg(long, env = "ARCP_TOKEN_FILE", value_name = "FILE", conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
    /// The agent: NAME or NAME@VERSION.
    #[arg(long)]
    pub(crate) agent: String,
    /// The input, as JSON; `-` reads it from standard input.
    #[arg(long, default_value = "null")]
    pub(crate) input: String,
    /// Grants, as JSON: an object of namespaces and their patterns.
    #[arg(long, value_name = "JSON")]
    pub(crate) lease: Option<String>,
    /// Makes a repeat of this submit harmless.
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// How long the job may run.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) max_runtime: Option<u64>,
    /// The trace it belongs to: 32 hex digits, or a traceparent.
    #[arg(long)]
    pub(crate) trace_id: Option<String>,
    /// Give up after this long; the job goes on.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// How the outcome is written.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// The same as `--output json`.
    #[arg(long)]
    json: bool,
    /// With JSON: one line for each event, the last for the end.
    #[arg(long)]
    pub(crate) stream: bool,
    /// Exit with 0 however the job ended.
    #[arg(long)]
    pub(crate) exit_zero: bool,
}

impl Submit {
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
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
