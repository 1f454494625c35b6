//! What `crash` is told.

use std::path::PathBuf;

use clap::Parser;

/// Kills a server again and again while sessions use it, and checks that none of them loses
/// anything.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// The `arcp` under test.
    #[arg(long, default_value = "target/debug/arcp")]
    pub(crate) arcp: PathBuf,
    /// How often the server is killed.
    #[arg(long, default_value_t = 25)]
    pub(crate) kills: u64,
    /// Sessions at the same time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) sessions: u64,
    /// Jobs that each session keeps under way.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) jobs: u64,
    /// Decides what happens, as far as scheduling lets it; made up and printed if it is not given.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Keeps the store and the server's log when nothing was wrong, too.
    #[arg(long)]
    pub(crate) keep: bool,
}
