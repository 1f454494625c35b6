//! The gateway whose keys `arcp serve` gives to jobs (§9.8).

use std::path::Path;

use anyhow::Context as _;
use arcp_tower::Builder;
use arcp_tower::credential::Secret;
use arcp_tower::provision::litellm::LiteLlm;

use crate::args::Serve;
use crate::exit::{Exit, Failure};
use crate::token::variable;

/// What manages the gateway's keys, where no file has it.
const KEY: &str = "LITELLM_MASTER_KEY";

/// The gateway that was asked for, if one was.
pub(crate) fn gateway(args: &Serve) -> anyhow::Result<Option<LiteLlm>> {
    let Some(url) = &args.litellm else { return Ok(None) };
    let key = key(args.litellm_key_file.as_deref())?;
    let gateway = LiteLlm::new(url, &key)
        .map_err(|error| Failure::new(Exit::Usage, format!("--litellm {url}: {error}")))?;
    Ok(Some(gateway.with_models(&args.litellm_model)))
}

/// Has `gateway` issue a key for every job.
pub(crate) fn provision(builder: Builder, gateway: Option<LiteLlm>) -> Builder {
    match gateway {
        Some(gateway) => builder.credentials("openai", gateway),
        None => builder,
    }
}

fn key(file: Option<&Path>) -> anyhow::Result<Secret> {
    let text = match file {
        Some(file) => {
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
        }
        None => variable(KEY).unwrap_or_default(),
    };
    let text = text.trim();
    if text.is_empty() {
        let message = format!(
            "--litellm needs the key that manages the gateway's: set {KEY}, or give --litellm-key-file"
        );
        return Err(Failure::new(Exit::Usage, message).into());
    }
    Ok(Secret::new(text))
}
