//! Runtimes that are programs: started by the client, and talked to over their standard input and
//! output (§4).

mod chatter;
mod child;
mod stop;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arcp_core::transport::LineLimits;
use tokio::process::Command;
use tokio_util::task::TaskTracker;

use chatter::Chatter;
pub(crate) use child::Child;

/// A program that is a runtime on its standard input and output, and how it is started.
///
/// Each connection is a process of its own. Once the connection is over, its input is closed; if it
/// does not end for that, it is asked to with `SIGTERM`, and then made to. It is a process group of
/// its own, so an interrupt from the terminal does not reach it.
///
/// Lines of its output that are no frames, and what it writes to its standard error unless that is
/// inherited, become log records of the target `arcp::program`, bounded in length and number.
///
/// ```
/// use arcp_client::Program;
/// let program = Program::new("python3").args(["-m", "my_agents"]).env("LOG_LEVEL", "debug");
/// assert_eq!(program.to_string(), "python3 -m my_agents");
/// ```
///
/// A clone is started the same way, and has processes of its own.
pub struct Program {
    name: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    dir: Option<PathBuf>,
    inherits_stderr: bool,
    limits: ProgramLimits,
    processes: TaskTracker,
}

/// The bounds of a [`Program`] beside those of the client.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProgramLimits {
    /// How long it may take to end once its input is closed, and again once it was sent `SIGTERM`: 2 s.
    pub stop: Duration,
    /// Bytes of a line that a log record shows: 1 KiB.
    pub log_line: usize,
    /// Log records a second: 20. What is more is counted only.
    pub log_rate: u32,
    /// Log records that may come at once: 100.
    pub log_burst: u32,
}

impl Default for ProgramLimits {
    fn default() -> Self {
        Self { stop: Duration::from_secs(2), log_line: 1 << 10, log_rate: 20, log_burst: 100 }
    }
}

impl Program {
    /// A program by its path, or by its name in `PATH`.
    pub fn new(name: impl AsRef<OsStr>) -> Self {
        Self {
            name: name.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            dir: None,
            inherits_stderr: false,
            limits: ProgramLimits::default(),
            processes: TaskTracker::new(),
        }
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its environment, which is otherwise this process's own.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Takes a variable out of its environment.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// Where it runs; where this process does if not set.
    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// Lets it write to this process's standard error, instead of to the log.
    pub fn inherit_stderr(mut self) -> Self {
        self.inherits_stderr = true;
        self
    }

    /// The bounds.
    pub fn limits(mut self, limits: ProgramLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The same program with the same processes.
    pub(crate) fn same(&self) -> Self {
        Self { processes: self.processes.clone(), ..self.clone() }
    }

    /// Waits until no process is left that [`Client::program`](crate::Client::program) started for it.
    /// Those that are still connected are not stopped by it.
    pub async fn ended(&self) {
        self.processes.close();
        self.processes.wait().await;
        self.processes.reopen();
    }

    /// Starts a process whose messages may have `message` bytes.
    pub(crate) fn start(&self, message: usize) -> io::Result<Child> {
        let mut command = Command::new(&self.name);
        command.args(&self.args).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        command.stderr(if self.inherits_stderr { Stdio::inherit() } else { Stdio::piped() });
        #[cfg(unix)]
        command.process_group(0);
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        let mut process = command.spawn()?;
        let chatter = Arc::new(Mutex::new(Chatter::new(self.file_name(), process.id(), &self.limits)));
        if let Some(stderr) = process.stderr.take() {
            tokio::spawn(chatter::follow(stderr, chatter.clone(), self.limits.log_line));
        }
        let mut limits = LineLimits::default();
        // A runtime that was chosen is no stranger.
        (limits.first_message, limits.message) = (message, message);
        Child::new(process, limits, chatter, self.limits.stop, self.processes.token())
    }

    fn file_name(&self) -> String {
        let path = Path::new(&self.name);
        path.file_name().unwrap_or(&self.name).to_string_lossy().into_owned()
    }
}

impl Clone for Program {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            args: self.args.clone(),
            env: self.env.clone(),
            dir: self.dir.clone(),
            inherits_stderr: self.inherits_stderr,
            limits: self.limits.clone(),
            processes: TaskTracker::new(),
        }
    }
}

/// The command line, without the environment.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name.to_string_lossy())?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", arg.to_string_lossy()))
    }
}

/// Values of the environment may be secrets.
impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Program")
            .field("name", &self.name)
            .field("args", &self.args)
            .field("env", &names)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}
