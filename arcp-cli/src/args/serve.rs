//! `arcp serve`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use arcp_tower::core::agent::AgentRef;
use arcp_tower::upgrade::{Host, Origin};
use clap::ValueEnum;

use super::{CommandArg, Issuers, Telemetry, Tls};
use crate::token::TokenArg;

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// What carries the frames.
    #[arg(long, value_enum, default_value_t = Transport::Ws)]
    transport: Transport,
    /// The same as `--transport stdio`: serve one session over standard input and output, to the
    /// process that started this one. It is trusted, and needs no token unless there is one.
    #[arg(long, conflicts_with = "transport")]
    stdio: bool,
    /// Address and port; port 0 takes a free one and prints it.
    #[arg(long, value_name = "ADDR:PORT", conflicts_with_all = ["host", "port"], value_parser = bind)]
    bind: Option<SocketAddr>,
    /// Address, or localhost; 127.0.0.1 if not set.
    #[arg(long, value_name = "ADDR", value_parser = host)]
    host: Option<IpAddr>,
    /// Port; 0 takes a free one and prints it; 7777 if not set.
    #[arg(long)]
    port: Option<u16>,
    /// A bearer token, and whom it stands for; may be given several times. Without any, one is made
    /// up for loopback, and printed.
    /// Without the option, `ARCP_TOKEN` is one.
    #[arg(long = "token", value_name = "TOKEN[=PRINCIPAL]")]
    pub(crate) tokens: Vec<TokenArg>,
    /// Whom the tokens stand for that do not say so themselves, the one that is made up among them; over
    /// stdio without a token, whoever started this process.
    #[arg(long, conflicts_with = "jwt")]
    pub(crate) principal: Option<String>,
    #[command(flatten)]
    pub(crate) issuers: Issuers,
    #[command(flatten)]
    pub(crate) tls: Tls,
    /// Where sessions and jobs are kept: `memory`, or `sqlite:FILE`. If not set, in `arcp.db` here, and
    /// over stdio in memory: whoever is started by others may not be alone in a directory.
    #[arg(long, env = "ARCP_STORE")]
    pub(crate) store: Option<StoreArg>,
    /// How long a session can be resumed after its connection was lost.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub(crate) resume_window: u64,
    /// How long ended jobs and their events are kept.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub(crate) retention: u64,
    /// Lets one principal list and watch the jobs of another; may be given several times.
    #[arg(long, value_name = "OBSERVER=PRINCIPAL", value_parser = observer)]
    pub(crate) observe: Vec<(String, String)>,
    /// The web server that the runtime is mounted in.
    #[arg(long, value_enum, default_value_t = Server::Axum)]
    pub(crate) server: Server,
    /// The heartbeat interval.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) heartbeat: u64,
    /// How long clients and jobs may take when the server is asked to end (SIGTERM, Ctrl-C); a second
    /// signal ends it at once.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub(crate) drain: u64,
    /// An origin whose pages may connect, `https://app.example`; may be given several times. Without
    /// any, no page of a browser may.
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    pub(crate) allowed_origins: Vec<Origin>,
    /// A name that clients may ask for in `Host`; may be given several times. On loopback its own
    /// names are allowed, and no other that is not given; elsewhere, without any, all are.
    #[arg(long = "allow-host", value_name = "HOST")]
    pub(crate) allowed_hosts: Vec<Host>,
    /// Whatever is in front of this address ends TLS, and nobody reads what is between: clients may be
    /// given credentials. On loopback they are, and over TLS.
    #[arg(long)]
    pub(crate) private_transport: bool,
    /// The address of a `LiteLLM` gateway: every job is given a virtual key of it, which its lease's
    /// models, budget and end limit, and which is revoked when the job ends. What manages the keys is
    /// `LITELLM_MASTER_KEY`.
    #[arg(long, value_name = "URL")]
    pub(crate) litellm: Option<String>,
    /// The file that has the key which manages the gateway's keys, instead of the variable.
    #[arg(long, value_name = "FILE", requires = "litellm")]
    pub(crate) litellm_key_file: Option<PathBuf>,
    /// A model of the gateway: a lease's pattern, other than `**`, opens those of them that it covers, and
    /// none that is not named; may be given several times.
    #[arg(long, value_name = "NAME", requires = "litellm")]
    pub(crate) litellm_model: Vec<String>,
    /// An agent that is a program: any ARCP runtime on its standard input and output, which knows the
    /// agent by the same name; may be given several times. It is shown a token, and finds the same as
    /// `ARCP_TOKEN` in its environment.
    #[arg(long = "agent", value_name = "NAME[@VERSION]=COMMAND", value_parser = hosted)]
    pub(crate) agents: Vec<HostedArg>,
    /// Register the agents of the demonstration; `echo` of them is there by itself if no agent is named.
    #[arg(long)]
    pub(crate) demo_agents: bool,
    #[command(flatten)]
    pub(crate) telemetry: Telemetry,
}

impl Serve {
    pub(crate) fn over_stdio(&self) -> bool {
        self.stdio || self.transport == Transport::Stdio
    }

    /// Where to listen.
    pub(crate) fn address(&self) -> SocketAddr {
        let host = self.host.unwrap_or(Ipv4Addr::LOCALHOST.into());
        self.bind.unwrap_or_else(|| SocketAddr::new(host, self.port.unwrap_or(7777)))
    }

    /// An option that was given, and of which nothing could come over stdio. In silence it would be
    /// missed: who asks for TLS or an issuer's tokens means to be protected by them.
    pub(crate) fn idle_over_stdio(&self) -> Option<&'static str> {
        let given = [
            ("--bind", self.bind.is_some()),
            ("--host", self.host.is_some()),
            ("--port", self.port.is_some()),
            ("--jwt-key", !self.issuers.jwt_key.is_empty()),
            ("--jwks", self.issuers.jwks.is_some()),
            ("--tls-cert", self.tls.tls_cert.is_some()),
            ("--allow-origin", !self.allowed_origins.is_empty()),
            ("--allow-host", !self.allowed_hosts.is_empty()),
        ];
        given.into_iter().find_map(|(name, given)| given.then_some(name))
    }
}

fn host(text: &str) -> Result<IpAddr, &'static str> {
    match text {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        text => text.parse().map_err(|_| "must be an IP address, or localhost"),
    }
}

fn bind(text: &str) -> Result<SocketAddr, &'static str> {
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let local = local.map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    local.ok_or(()).or_else(|()| text.parse()).map_err(|_| "must be ADDR:PORT, or localhost:PORT")
}

/// What carries the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// WebSocket.
    Ws,
    /// Standard input and output.
    Stdio,
}

/// An agent, and the command line of the program that it is.
#[derive(Debug, Clone)]
pub(crate) struct HostedArg {
    pub(crate) name: String,
    pub(crate) command: CommandArg,
}

fn hosted(text: &str) -> Result<HostedArg, &'static str> {
    let (name, command) = text.split_once('=').unwrap_or_default();
    if name.parse::<AgentRef>().is_err() {
        return Err("must be NAME=COMMAND or NAME@VERSION=COMMAND");
    }
    Ok(HostedArg { name: name.to_owned(), command: command.parse()? })
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

fn observer(text: &str) -> Result<(String, String), &'static str> {
    let (observer, principal) = text.split_once('=').unwrap_or_default();
    let named = !observer.is_empty() && !principal.is_empty();
    named.then(|| (observer.to_owned(), principal.to_owned())).ok_or("must be OBSERVER=PRINCIPAL")
}

/// The web server that the runtime is mounted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Server {
    /// axum: HTTP/1.1, and HTTP/2 over TLS or with prior knowledge.
    Axum,
    /// actix-web: HTTP/1.1.
    Actix,
    /// hyper alone: HTTP/1.1, and HTTP/2 over TLS or with prior knowledge.
    Hyper,
}
