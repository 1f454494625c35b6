//! The server under test, as a child process.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::disk::Disk;

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
    /// What the server writes.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.data().join("arcp.db")
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
    log: PathBuf,
}

impl Server {
    /// Starts it, over a disk that may fail if there is one.
    pub(crate) fn start(place: &Place, disk: Option<&Disk>) -> Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(place.log())?;
        let store = format!("sqlite:{}", place.db().display());
        let mut command = Command::new(&place.arcp);
        command.args(["serve", "--demo-agents", "--port", "0", "--token", TOKEN, "--store", &store]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        if let Some(disk) = disk {
            disk.under(&mut command)?;
        }
        let mut child = command.spawn().with_context(|| format!("starting {}", place.arcp.display()))?;
        let output = child.stdout.take().context("no standard output")?;
        Ok(Self { child, lines: BufReader::new(output).lines(), log: place.log() })
    }

    /// Waits until it says where it is.
    pub(crate) async fn url(&mut self) -> Result<String> {
        let url = async {
            while let Some(line) = self.lines.next_line().await? {
                if let Some(at) = line.find("ws://") {
                    return Ok(line[at..].to_owned());
                }
            }
            let (status, said) = self.end().await?;
            bail!("the server ended before it listened: {status}: {said}")
        };
        timeout(PATIENCE, url).await.context("the server did not listen in time")?
    }

    /// Waits for its end; returns what it said last.
    async fn end(&mut self) -> Result<(ExitStatus, String)> {
        let status = timeout(PATIENCE, self.child.wait()).await.context("the server does not end")??;
        let log = std::fs::read_to_string(&self.log)?;
        Ok((status, log.lines().last().unwrap_or_default().to_owned()))
    }

    /// What it says if it cannot start.
    pub(crate) async fn refusal(mut self) -> Result<String> {
        let line = timeout(PATIENCE, self.lines.next_line()).await.context("the server is silent")??;
        ensure!(line.is_none(), "the server listens, on a disk that fails");
        let (status, said) = self.end().await?;
        ensure!(status.code() == Some(1), "the server ended with {status}");
        Ok(said)
    }

    /// Fails if it is not.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the server ended by itself: {status}"),
        }
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.check_alive()?;
        Ok(self.child.kill().await?)
    }

    /// SIGTERM; it must end well.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = self.child.id().context("the server ended by itself")?;
        let sent = Command::new("sh").args(["-c", r#"kill -TERM "$0""#, &pid.to_string()]).status().await?;
        ensure!(sent.success(), "SIGTERM could not be sent");
        let (status, _) = self.end().await?;
        ensure!(status.success(), "the server ended with {status}");
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
    for dir in [&dir, &dir.join("data")] {
        make(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    Ok(dir)
}

fn make(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).create(dir)
}
