//! What `bench` measures of `arcp serve`, part by part.

mod beside;
mod fanout;
mod file;
mod floods;
mod idle;
mod many;
mod memory;
mod operations;
mod resume;
mod stream;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::server::Server;
use crate::stats::median;
use crate::table::Table;

/// A part of the measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// One session, one job.
    Stream,
    /// Many jobs at once.
    Many,
    /// A resume with a lot to be sent again.
    Resume,
    /// Many who watch one job.
    Fanout,
    /// Sessions that do nothing.
    Idle,
    /// A session beside others.
    Beside,
    /// A session beside thousands of strangers, and beside one who only pings.
    Floods,
    /// Memory over a long job, and with a client that never reads.
    Memory,
    /// What jobs do under their leases.
    Operations,
    /// The store's file over a long job.
    File,
}

/// Where sessions and jobs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Store {
    /// Nowhere else.
    Memory,
    /// In a file, with full durability.
    Sqlite,
}

impl Store {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
        }
    }
}

/// What is measured, and how often.
#[derive(Debug)]
pub struct Suite {
    /// The `arcp` binary.
    pub arcp: PathBuf,
    /// Where stores may be made.
    pub folder: PathBuf,
    /// The stores that are measured.
    pub stores: Vec<Store>,
    /// Rounds, whose medians count.
    pub rounds: u32,
    /// Counted of a stream.
    pub events: u64,
    /// Counted of a long one.
    pub long: u64,
    /// Sessions that do nothing.
    pub idle: u64,
    /// Stores that were made.
    pub made: Cell<u32>,
}

/// What `load` says of streams.
#[derive(Debug, Deserialize)]
struct Counted {
    events: u64,
    wanted: u64,
    gaps: u64,
    events_per_s: f64,
}

impl Counted {
    /// A runtime may have events of its own in between; none may be missing.
    fn check(&self) -> Result<()> {
        ensure!(self.events >= self.wanted, "{} of {} events arrived", self.events, self.wanted);
        ensure!(self.gaps == 0, "{} gaps in event_seq", self.gaps);
        Ok(())
    }
}

impl Suite {
    /// Measures one part.
    ///
    /// # Errors
    /// If something cannot be started, or a run fails.
    pub fn measure(&self, part: Part, table: &mut Table) -> Result<()> {
        match part {
            Part::Stream => stream::measure(self, table),
            Part::Many => many::measure(self, table),
            Part::Resume => resume::measure(self, table),
            Part::Fanout => fanout::measure(self, table),
            Part::Idle => idle::measure(self, table),
            Part::Beside => beside::measure(self, table),
            Part::Floods => floods::measure(self, table),
            Part::Memory => memory::measure(self, table),
            Part::Operations => operations::measure(self, table),
            Part::File => file::measure(self, table),
        }
    }

    fn has(&self, store: Store) -> bool {
        self.stores.contains(&store)
    }

    /// The wire's ceiling.
    fn ceiling() -> Result<Server> {
        Server::start(beside("ceiling")?, &["--port", "0"])
    }

    /// `arcp serve`, with a store of its own.
    fn serve(&self, store: Store) -> Result<Server> {
        let at = match store {
            Store::Memory => "memory".to_owned(),
            Store::Sqlite => format!("sqlite:{}", self.file().display()),
        };
        self.serve_with(&at, &[])
    }

    fn serve_with(&self, store: &str, more: &[&str]) -> Result<Server> {
        let args = ["serve", "--demo-agents", "--port", "0", "--token", "demo", "--store", store];
        Server::start(&self.arcp, &[&args[..], more].concat())
    }

    /// A file that is not there yet.
    fn file(&self) -> PathBuf {
        self.made.set(self.made.get() + 1);
        self.folder.join(format!("{}.db", self.made.get()))
    }

    /// As many rounds as there should be.
    fn rounds<T>(&self, mut round: impl FnMut(u32) -> Result<T>) -> Result<Vec<T>> {
        (0..self.rounds).map(&mut round).collect()
    }
}

/// Runs `load` against `server` and reads its line.
fn load<T: DeserializeOwned>(server: &Server, args: &[&str]) -> Result<T> {
    let pid = server.pid().to_string();
    let mut load = Command::new(beside("load")?);
    load.args(["--url", server.url(), "--token", "demo", "--pid", &pid, "--timeout-s", "300"]);
    let output = load.args(args).stderr(Stdio::inherit()).output().context("starting load")?;
    let line = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "load {}: {line}", args.join(" "));
    serde_json::from_str(&line).with_context(|| format!("reading {line}"))
}

/// A binary of this package, which cargo puts beside this one.
fn beside(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(path.exists(), "{} is not there: cargo build --release -p arcp-bench", path.display());
    Ok(path)
}

/// The median of a figure of each round.
fn middle<T>(rounds: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    median(rounds.iter().map(figure).collect())
}

/// The size of a store's file, with its log.
fn size(file: &Path) -> u64 {
    let log = PathBuf::from(format!("{}-wal", file.display()));
    [file, &log].into_iter().filter_map(|at| at.metadata().ok()).map(|at| at.len()).sum()
}
