//! The `arcp` command.

mod agents;
mod args;
mod cancel;
mod completions;
mod credentials;
mod demo;
mod demo_agents;
mod demo_credentials;
mod doctor;
mod end;
mod exit;
mod help;
mod jobs;
mod lease;
mod man;
mod output;
mod plain;
mod progress;
mod proxy;
mod raw;
mod remote;
mod replay;
mod screen;
mod send;
mod serve;
mod submit;
mod tail;
mod token;

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use args::{Args, Command};

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    anstream::ColorChoice::from(args.color).write_global();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never)
        .init();
    let json = args.json();
    let done = match args.command {
        Command::Serve(serve) => serve::run(serve).await.map(|()| ExitCode::SUCCESS),
        Command::Submit(submit) => submit::run(submit).await,
        Command::Demo(demo) => demo::run(demo).await,
        Command::Tail(tail) => tail::run(tail).await,
        Command::Jobs(jobs) => jobs::run(jobs).await.map(|()| ExitCode::SUCCESS),
        Command::Agents(agents) => agents::run(agents).await.map(|()| ExitCode::SUCCESS),
        Command::Cancel(cancel) => cancel::run(cancel).await.map(|()| ExitCode::SUCCESS),
        Command::Send(send) => send::run(send).await,
        Command::Doctor(doctor) => doctor::run(&doctor).await,
        Command::Completions(completions) => completions::run(&completions).map(|()| ExitCode::SUCCESS),
        Command::Man(man) => man::run(&man).map(|()| ExitCode::SUCCESS),
        Command::Help(help) => help::run(&help).map(|()| ExitCode::SUCCESS),
        Command::Lease(ask) => lease::run(&ask),
        Command::Credentials(credentials) => credentials::run(credentials).await.map(|()| ExitCode::SUCCESS),
        Command::Replay(replay) => replay::run(replay).await.map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|failure| {
        if output::has_enough(&failure) {
            return ExitCode::SUCCESS;
        }
        output::failure(&failure, json);
        exit::code_of(&failure)
    })
}
