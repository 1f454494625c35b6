//! Kills `arcp serve` with SIGKILL, or cuts the power under it, again and again, while sessions
//! submit jobs, lose their connections, and resume; then checks that nothing was lost, doubled or
//! changed.
//!
//! The observers speak raw frames, so that no crate of the project covers up for another.

mod args;
mod client;
mod disk;
mod image;
mod observer;
mod outage;
mod record;
mod rng;
mod run;
mod server;
mod summary;
mod wire;
mod work;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use crate::args::{Args, Way};
use crate::rng::Rng;
use crate::run::Run;
use crate::server::Place;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let seed = match args.seed {
        Some(seed) => seed,
        None => getrandom::u64().context("no random numbers")? >> 32,
    };
    let arcp = args.arcp.canonicalize().with_context(|| format!("{} is not there", args.arcp.display()))?;
    let place = Place { arcp, dir: server::directory(seed)? };
    let (way, keep, dir) = (args.way(), args.keep, place.dir.clone());
    println!("crash: {way:?}, {} times, {} sessions, --seed {seed}", args.lives(), args.sessions);

    let mut run = Run::new(args, place, Rng::new(seed));
    let done = run.run().await;
    let failed = done.is_err();
    let violations = summary::violations(&run, done);
    // What a disk that lies brought about is wanted, and only counted.
    let printed = if way == Way::LyingDisk && !failed { 0 } else { summary::PRINTED };
    summary::print(&run, &violations, printed);
    let well = if way == Way::LyingDisk {
        println!(
            "a disk that lies must be found out: {}",
            if violations.is_empty() { "it was not" } else { "it was" }
        );
        !violations.is_empty() && !failed
    } else {
        violations.is_empty()
    };
    if well && !keep {
        std::fs::remove_dir_all(&dir)?;
    } else {
        println!("the store and the server's log are in {}", dir.display());
    }
    Ok(ExitCode::from(u8::from(!well)))
}
