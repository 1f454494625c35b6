//! Reaching a runtime.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use arcp_client::{
    Builder, Client, ClientConfig, ConnectError, Dial, Program, RequestError, ResumePoint, SessionInfo, Url,
};
use arcp_tower::core::Code;
use arcp_tower::core::transport::BoxTransport;

use crate::args::{CommandArg, Remote};
use crate::exit::{Exit, Failure};
use crate::token::variable;

/// The token that was given, in whichever way.
/// The command line goes before the environment.
fn given_token(remote: &Remote) -> anyhow::Result<Option<String>> {
    let named = |token: &Option<String>, file: Option<PathBuf>| match (token, file) {
        (Some(token), _) => Some(Ok(token.clone())),
        (None, Some(file)) => {
            let text = std::fs::read_to_string(&file);
            let text = text.with_context(|| format!("cannot read {}", file.display()));
            Some(text.map(|text| text.trim().to_owned()))
        }
        (None, None) => None,
    };
    let given = named(&remote.token, remote.token_file.clone());
    let around = || named(&variable("ARCP_TOKEN"), variable("ARCP_TOKEN_FILE").map(PathBuf::from));
    given.or_else(around).transpose()
}

pub(crate) fn token(remote: &Remote) -> anyhow::Result<String> {
    let needed = || Failure::new(Exit::Usage, "a token is needed: --token, --token-file or ARCP_TOKEN");
    Ok(given_token(remote)?.ok_or_else(needed)?)
}

/// Opens a session.
pub(crate) async fn connect(remote: &Remote) -> anyhow::Result<Client> {
    reach(remote, None).await
}

/// Continues a session that a file has.
pub(crate) async fn resume(remote: &Remote, file: &Path) -> anyhow::Result<Client> {
    let read = || format!("{} has no session", file.display());
    let point: ResumePoint =
        serde_json::from_slice(&std::fs::read(file).with_context(read)?).with_context(read)?;
    reach(remote, Some(point)).await
}

async fn reach(remote: &Remote, from: Option<ResumePoint>) -> anyhow::Result<Client> {
    let Some(command) = &remote.command else { return open(builder(remote)?, &remote.url, from).await };
    let (program, builder) = program(command, given_token(remote)?);
    let builder = from.into_iter().fold(builder, Builder::resume_from);
    builder.connect().await.map_err(|error| unreached(&program.to_string(), &error).into())
}

/// A program that is the runtime.
fn program(command: &CommandArg, token: Option<String>) -> (Program, Builder<Dial>) {
    let mut program = command.program().inherit_stderr();
    if let Some(token) = &token {
        program = program.env("ARCP_TOKEN", token);
    }
    let mut config = ClientConfig::default();
    // Interpreters start slowly.
    config.hello_timeout = Duration::from_secs(30);
    let builder = Client::program(&program).config(config).client("arcp", env!("CARGO_PKG_VERSION"));
    (program, token.into_iter().fold(builder, Builder::token))
}

/// Opens a session at an address that is no user's.
pub(crate) async fn open_at(url: &str, token: &str) -> anyhow::Result<Client> {
    open(builder_at(url, token), url, None).await
}

async fn open(builder: Builder<Url>, url: &str, from: Option<ResumePoint>) -> anyhow::Result<Client> {
    let builder = match from {
        Some(point) => builder.resume_from(point),
        None => builder,
    };
    builder.connect().await.map_err(|error| unreached(url, &error).into())
}

/// Opens a session whose frames are ours to write.
pub(crate) async fn open_raw(remote: &Remote) -> anyhow::Result<(BoxTransport, SessionInfo)> {
    raw(remote).await?.map_err(|error| {
        let program = remote.command.as_ref().map(|command| command.program().to_string());
        unreached(program.as_ref().unwrap_or(&remote.url), &error).into()
    })
}

/// The same, for those who ask why there is none.
pub(crate) async fn raw(
    remote: &Remote,
) -> anyhow::Result<Result<(BoxTransport, SessionInfo), ConnectError>> {
    Ok(match &remote.command {
        Some(command) => program(command, given_token(remote)?).1.open().await,
        None => builder(remote)?.open().await,
    })
}

/// A client that is what the command line says.
fn builder(remote: &Remote) -> anyhow::Result<Builder<Url>> {
    let builder = builder_at(&remote.url, &token(remote)?);
    let Some(file) = &remote.tls_ca else { return Ok(builder) };
    let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(builder.root_certificate(pem))
}

fn builder_at(url: &str, token: &str) -> Builder<Url> {
    Client::builder(url).token(token).client("arcp", env!("CARGO_PKG_VERSION"))
}

/// What it means for the exit code that there is no session.
pub(crate) fn unreached(what: &str, error: &ConnectError) -> Failure {
    match error {
        ConnectError::Refused(e) if matches!(e.code(), Code::Unauthenticated | Code::PermissionDenied) => {
            Failure::of(Exit::Unauthenticated, e)
        }
        // What is in front of the runtime does not let us in.
        ConnectError::Status(status) if matches!(status.as_u16(), 401 | 403 | 407) => {
            Failure::new(Exit::Unauthenticated, error.to_string())
        }
        ConnectError::Url => Failure::new(Exit::Usage, format!("--url {what}: {error}")),
        ConnectError::RootCertificate => Failure::new(Exit::Usage, error.to_string()),
        // It was reached, and does not want this.
        ConnectError::Refused(e) => Failure::of(Exit::Refused, e),
        other => Failure::new(Exit::Unreachable, format!("cannot reach {what}: {other}")),
    }
}

/// Keeps what continuing the session needs. The file holds its resume token: only its owner may read it.
pub(crate) fn keep(client: &Client, file: &Path) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let Some(point) = client.resume_point() else { return Ok(()) };
    let write = || {
        // Beside it and then in its place: nobody finds half of it, or one that others may read.
        let mut beside = file.as_os_str().to_owned();
        beside.push(".new");
        let _ = std::fs::remove_file(&beside);
        let mut out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        out.write_all(&serde_json::to_vec(&point)?)?;
        std::fs::rename(&beside, file)
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}

/// What a refused request means for the exit code.
pub(crate) fn refused(error: RequestError) -> anyhow::Error {
    match error {
        RequestError::Refused(e) => Failure::of(Exit::Refused, &e).into(),
        RequestError::Disconnected(e) => Failure::new(Exit::Unreachable, e.to_string()).into(),
        RequestError::TimedOut => Failure::new(Exit::TimedOut, "the runtime did not answer").into(),
        // What is wrong with it, the command line said.
        RequestError::Invalid(e) => Failure::of(Exit::Usage, &e).into(),
        RequestError::NotNegotiated(_) => Failure::new(Exit::Refused, error.to_string()).into(),
        other => other.into(),
    }
}
