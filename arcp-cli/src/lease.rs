//! `arcp lease`: asks leases, without any runtime.

mod check;
mod covers;

use std::process::ExitCode;

use anyhow::Context as _;
use arcp_tower::core::Error;

use crate::args::Lease as Ask;
use crate::exit::{Exit, Failure};

pub(crate) fn run(ask: &Ask) -> anyhow::Result<ExitCode> {
    match ask {
        Ask::Check(ask) => check::run(ask),
        Ask::Covers(ask) => covers::run(ask),
    }
}

/// A lease as it was given: as JSON, or as the name of a file.
fn read(given: &str) -> anyhow::Result<arcp_tower::core::lease::Lease> {
    let text = if given.trim_start().starts_with('{') {
        given.to_owned()
    } else {
        std::fs::read_to_string(given).with_context(|| format!("cannot read {given}"))?
    };
    serde_json::from_str(&text)
        .map_err(|e| Failure::new(Exit::Usage, format!("this is no lease: {e}")).into())
}

/// What is wrong with a lease is wrong with the command line.
fn usage(e: &Error) -> anyhow::Error {
    Failure::of(Exit::Usage, e).into()
}
