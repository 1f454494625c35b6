//! `arcp serve` beside the wire's ceiling: runs `load` against both in turn, several times, and
//! prints medians.
//!
//! ```text
//! cargo build --release -p arcp-bench
//! target/release/bench target/release/arcp
//! ```
//!
//! The ratio is the median of the pairs' ratios, not the ratio of the medians. The ceiling's idle
//! sessions are a plain WebSocket's buffers, and no bound for those of a runtime.
//!
//! Idle sessions need a file each on both sides; where `ulimit -n` is too low for them, raise it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use arcp_bench::process;
use arcp_bench::server::Server;
use arcp_bench::stats::median;
use clap::Parser;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Runs `load` against the ceiling and `arcp serve` in turn, prints medians.
#[derive(Parser)]
struct Args {
    /// The `arcp` binary.
    arcp: PathBuf,
    /// Runs of each.
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// Events of a run.
    #[arg(short, long, default_value_t = 300_000)]
    n: u64,
    /// Idle sessions; 0: none.
    #[arg(long, default_value_t = 5000)]
    sessions: u64,
}

/// What `load` says of a stream.
#[derive(Deserialize)]
struct Stream {
    events: u64,
    gaps: u64,
    events_per_s: f64,
    first_event_ms: f64,
    server_cpu_us_per_event: f64,
}

/// What `load` says of idle sessions.
#[derive(Deserialize)]
struct Idle {
    bytes_per_session: f64,
}

/// What is measured.
#[derive(Clone, Copy)]
enum Peer<'a> {
    Ceiling,
    Arcp(&'a Path),
}

impl Peer<'_> {
    fn start(self) -> Result<Server> {
        match self {
            Self::Ceiling => Server::start(beside("ceiling")?, &["--port", "0"]),
            Self::Arcp(binary) => {
                let args = ["serve", "--demo-agents", "--store", "memory", "--port", "0", "--token", "demo"];
                Server::start(binary, &args)
            }
        }
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    // Files that a process needs beside its sessions'.
    let files = args.sessions + 64;
    if process::open_files().is_some_and(|most| most < files) {
        bail!("{} idle sessions need `ulimit -n {files}` or more", args.sessions);
    }
    let peers = [Peer::Ceiling, Peer::Arcp(&args.arcp)];
    let runs = streams(&args, peers)?;
    println!("medians of {} runs of {} events each", args.runs, args.n);
    println!("{:24}{:>12}{:>12}{:>14}", "", "ceiling", "arcp", "paired ratio");
    row("events/s", 0, &runs, |run| run.events_per_s);
    row("server CPU µs/event", 2, &runs, |run| run.server_cpu_us_per_event);
    row("first event, ms", 2, &runs, |run| run.first_event_ms);
    if args.sessions > 0 {
        let count = args.sessions.to_string();
        let mut idle = Vec::new();
        for peer in peers {
            // A process of its own: memory that a stream left behind would hide the sessions'.
            let figures: Idle = load(&peer.start()?, &["--mode", "idle", "--sessions", &count])?;
            idle.push(figures.bytes_per_session);
        }
        line("bytes per idle session", 0, idle[0], idle[1], idle[1] / idle[0]);
    }
    Ok(())
}

/// Pairs of runs, ceiling and arcp, with the first of a pair changing each time.
fn streams(args: &Args, peers: [Peer<'_>; 2]) -> Result<Vec<[Stream; 2]>> {
    let servers = [peers[0].start()?, peers[1].start()?];
    let count = args.n.to_string();
    let stream = |server| {
        let run: Stream = load(server, &["--mode", "stream", "-n", &count])?;
        // A runtime may have events of its own in between; none may be missing.
        ensure!(run.events >= args.n, "{} of {} events arrived", run.events, args.n);
        ensure!(run.gaps == 0, "{} gaps in event_seq", run.gaps);
        Ok(run)
    };
    let mut runs = Vec::new();
    for number in 0..args.runs {
        let pair = if number % 2 == 0 {
            let ceiling = stream(&servers[0])?;
            [ceiling, stream(&servers[1])?]
        } else {
            let arcp = stream(&servers[1])?;
            [stream(&servers[0])?, arcp]
        };
        eprintln!(
            "run {}: ceiling {:.0} events/s, arcp {:.0} events/s",
            number + 1,
            pair[0].events_per_s,
            pair[1].events_per_s
        );
        runs.push(pair);
    }
    Ok(runs)
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

/// One figure of all runs; the ratio is the median of the pairs' ratios.
fn row(name: &str, digits: usize, runs: &[[Stream; 2]], figure: impl Fn(&Stream) -> f64) {
    let of = |figure: &dyn Fn(&[Stream; 2]) -> f64| median(runs.iter().map(figure).collect());
    let ceiling = of(&|[ceiling, _]| figure(ceiling));
    let arcp = of(&|[_, arcp]| figure(arcp));
    line(name, digits, ceiling, arcp, of(&|[ceiling, arcp]| figure(arcp) / figure(ceiling)));
}

fn line(name: &str, digits: usize, ceiling: f64, arcp: f64, ratio: f64) {
    println!("{name:24}{ceiling:>12.digits$}{arcp:>12.digits$}{ratio:>14.2}");
}
