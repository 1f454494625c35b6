//! Commands about the command itself, and about its surroundings.

use std::path::PathBuf;

use clap_complete::Shell;

use super::Remote;

#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// Write a page for every command into this directory, instead of the first one to standard output.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) remote: Remote,
    /// Look at a store's file, too, unless a runtime has it open.
    #[arg(long, value_name = "FILE")]
    pub(crate) db: Option<PathBuf>,
    /// Write each finding as a line of JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
