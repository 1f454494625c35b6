//! What can be measured. Each run gives an object of figures.

mod deaf;
mod fanout;
mod flood;
mod idle;
mod jobs;
mod many;
mod ping;
mod resume;
mod stream;
mod tally;

use anyhow::Result;
use serde_json::Value;

use crate::args::{Args, Mode};
use crate::process;

/// Runs the mode that `args` name.
///
/// # Errors
/// If the runtime is not there, refuses something, or ends the connection.
pub async fn run(args: &Args) -> Result<Value> {
    match args.mode {
        Mode::Stream => stream::run(args).await,
        Mode::Many => many::run(args).await,
        Mode::Jobs => jobs::run(args).await,
        Mode::Fanout => fanout::run(args).await,
        Mode::Resume => resume::run(args).await,
        Mode::Ping => ping::run(args).await,
        Mode::Deaf => deaf::run(args).await,
        Mode::Idle => idle::run(args).await,
    }
}

/// What the runtime's process uses from here on.
struct Meter {
    pid: Option<u32>,
    before: f64,
}

impl Meter {
    fn start(pid: Option<u32>) -> Self {
        Self { pid, before: pid.map_or(0.0, process::cpu_seconds) }
    }

    /// Processor time in microseconds, if the process is known.
    fn cpu_us(&self) -> Option<f64> {
        self.pid.map(|pid| (process::cpu_seconds(pid) - self.before) * 1e6)
    }

    /// Resident memory in bytes, if the process is known.
    fn rss(&self) -> Option<u64> {
        self.pid.map(process::resident)
    }

    /// Resident memory in MiB, if the process is known.
    fn rss_mib(&self) -> Option<u64> {
        self.rss().map(crate::stats::mib)
    }
}
