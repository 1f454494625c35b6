//! The `arcp` command.

mod args;
mod demo_agents;
mod exit;
mod serve;
mod token;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use args::{Args, Command};

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let json = args.json();
    let done = match args.command {
        Command::Serve(serve) => serve::run(serve).await.map(|()| ExitCode::SUCCESS),
        _ => Ok(ExitCode::FAILURE),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("{failure:#} {json}");
        exit::code_of(&failure)
    })
}
