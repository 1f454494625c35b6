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
mod file;
mod help;
mod jobs;
mod json;
mod lease;
mod litellm;
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
mod telemetry;
mod token;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use args::{Args, Command};

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::failure(&error.into(), false);
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run());
    // A read of standard input that has begun cannot be given up.
    runtime.shutdown_timeout(Duration::from_millis(200));
    code
}

async fn run() -> ExitCode {
    let args = Args::parse();
    anstream::ColorChoice::from(args.color).write_global();
    let json = args.json();
    let telemetry = match telemetry::start(&args.telemetry()) {
        Ok(telemetry) => telemetry,
        Err(failure) => {
            output::failure(&failure, json);
            return exit::code_of(&failure);
        }
    };
    let done = match args.command {
        Command::Serve(serve) => serve::run(*serve).await.map(|()| ExitCode::SUCCESS),
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
    telemetry.finish().await;
    done.unwrap_or_else(|failure| {
        if output::has_enough(&failure) {
            return ExitCode::SUCCESS;
        }
        output::failure(&failure, json);
        exit::code_of(&failure)
    })
}
