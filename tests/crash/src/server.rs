//! The server under test, as a child process.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// The bearer token of all sessions.
pub(crate) const TOKEN: &str = "secret";
/// How long the server may take to start, and to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where things are.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) arcp: PathBuf,
    pub(crate) dir: PathBuf,
}

impl Place {
    pub(crate) fn db(&self) -> PathBuf {
        self.dir.join("arcp.db")
    }

    /// What the servers wrote on their standard error.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }
}

/// A running server; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Server {
    pub(crate) fn start(place: &Place) -> Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(place.log())?;
        let store = format!("sqlite:{}", place.db().display());
        let mut command = Command::new(&place.arcp);
        command.args(["serve", "--demo-agents", "--port", "0", "--token", TOKEN, "--store", &store]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("starting {}", place.arcp.display()))?;
        let output = child.stdout.take().context("no standard output")?;
        Ok(Self { child, lines: BufReader::new(output).lines() })
    }

    /// Waits until it says where it is.
    pub(crate) async fn url(&mut self) -> Result<String> {
        let url = async {
            while let Some(line) = self.lines.next_line().await? {
                if let Some(at) = line.find("ws://") {
                    return Ok(line[at..].to_owned());
                }
            }
            bail!("the server ended before it listened: {}", self.child.wait().await?)
        };
        timeout(PATIENCE, url).await.context("the server did not listen in time")?
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server ended by itself: {status}");
        }
        Ok(self.child.kill().await?)
    }

    /// SIGTERM; it must end well.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = self.child.id().context("the server ended by itself")?;
        let sent = Command::new("sh").args(["-c", r#"kill -TERM "$0""#, &pid.to_string()]).status().await?;
        anyhow::ensure!(sent.success(), "SIGTERM could not be sent");
        let status = timeout(PATIENCE, self.child.wait()).await.context("the server does not end")??;
        anyhow::ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

/// What `arcp replay` prints of a session.
pub(crate) async fn replay(place: &Place, session: &str, after_seq: u64) -> Result<Vec<String>> {
    let mut command = Command::new(&place.arcp);
    command.arg("replay").arg("--db").arg(place.db()).args(["--session", session, "--after-seq"]);
    let output = command.arg(after_seq.to_string()).stdin(Stdio::null()).kill_on_drop(true).output().await?;
    if !output.status.success() {
        bail!("arcp replay: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

/// A directory of our own, which only this user can read.
pub(crate) fn directory(seed: u64) -> Result<PathBuf> {
    let dir = std::env::temp_dir().join(format!("arcp-crash-{}-{seed:x}", std::process::id()));
    make(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}

fn make(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).create(dir)
}
