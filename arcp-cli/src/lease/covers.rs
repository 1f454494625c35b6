//! `arcp lease covers`.

use std::process::ExitCode;

use arcp_tower::core::lease::{Authority, ModelUse};

use super::{read, usage};
use crate::args::LeaseCovers;
use crate::exit::Exit;
use crate::output;

/// Says whether a child may have a lease (§9.4). Ends with 0 if it may, with 10 if it may not.
pub(super) fn run(ask: &LeaseCovers) -> anyhow::Result<ExitCode> {
    let (parent, child) = (read(&ask.parent)?, read(&ask.child)?);
    let remaining = parent.budget().map_err(|e| usage(&e))?;
    let parent = Authority::new(&parent, None).map_err(|e| usage(&e))?;
    let child = Authority::new(&child, None).map_err(|e| usage(&e))?;
    let models = if ask.require_model_use { ModelUse::Required } else { ModelUse::Optional };
    match parent.covers(&child, &remaining, models) {
        Ok(()) => output::line("covered").map(|()| ExitCode::SUCCESS),
        Err(why) => output::line(&format!("not covered: {why}")).map(|()| Exit::JobError.into()),
    }
}
