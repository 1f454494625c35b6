//! `arcp serve`, measured: runs `load` against it and against the wire's ceiling in turn, several
//! times, and prints medians beside what they should be.
//!
//! ```text
//! cargo build --release -p arcp-cli -p arcp-bench
//! target/release/bench target/release/arcp
//! ```
//!
//! A ratio is the median of the rounds' ratios, not the ratio of the medians. Stores are made in the
//! folder of this binary and removed: what a file costs is the cost of that folder's disk.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use arcp_bench::suite::{Part, Store, Suite};
use arcp_bench::table::Table;
use clap::{Parser, ValueEnum as _};

/// Measures `arcp serve`; exits with 1 if a target is missed.
#[derive(Parser)]
struct Args {
    /// The `arcp` binary.
    arcp: PathBuf,
    /// Only with this store; otherwise with each in turn.
    #[arg(long, value_enum)]
    store: Option<Store>,
    /// Only this part; may be given several times.
    #[arg(long = "only", value_enum, value_name = "PART")]
    parts: Vec<Part>,
    /// Rounds, whose medians are printed.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Events of a stream.
    #[arg(short, long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(16..))]
    n: u64,
    /// Events of a long stream, for memory and the file.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10..))]
    long: u64,
    /// Idle sessions.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    sessions: u64,
    /// Stores are made in this folder, and not beside this binary.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Exit with 0 whatever was measured.
    #[arg(long)]
    report_only: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let binary = std::env::current_exe()?;
    let parent = args.dir.as_deref().or(binary.parent()).context("there is no folder for stores")?;
    let folder = tempfile::tempdir_in(parent)?;
    let suite = Suite {
        arcp: args.arcp,
        folder: folder.path().to_owned(),
        stores: args.store.map_or_else(|| vec![Store::Memory, Store::Sqlite], |store| vec![store]),
        rounds: args.rounds,
        events: args.n,
        long: args.long,
        idle: args.sessions,
        made: Cell::new(0),
    };
    let parts = if args.parts.is_empty() { Part::value_variants() } else { &args.parts };
    println!("medians of {} rounds; streams of {} events", args.rounds, args.n);
    let mut table = Table::default();
    for part in parts {
        suite.measure(*part, &mut table).with_context(|| format!("measuring {part:?}"))?;
    }
    let missed = table.missed();
    if missed.is_empty() {
        println!("\nevery target is met");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\n{} targets are missed:", missed.len());
    missed.iter().for_each(|name| println!("  {name}"));
    Ok(ExitCode::from(u8::from(!args.report_only)))
}
