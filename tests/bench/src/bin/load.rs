//! Drives a runtime and prints one JSON line of figures; [`arcp_bench::args`] has the modes.

use std::process::ExitCode;
use std::time::Duration;

use arcp_bench::{args::Args, mode};
use clap::Parser as _;
use serde_json::json;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let run = tokio::time::timeout(Duration::from_secs(args.timeout_s), mode::run(&args));
    let (mut figures, code) = match run.await {
        Ok(Ok(figures)) => (figures, ExitCode::SUCCESS),
        Ok(Err(error)) => (json!({"error": format!("{error:#}")}), ExitCode::FAILURE),
        Err(_) => (json!({"error": format!("no end within {} s", args.timeout_s)}), ExitCode::FAILURE),
    };
    figures["label"] = args.label.into();
    println!("{figures}");
    code
}
