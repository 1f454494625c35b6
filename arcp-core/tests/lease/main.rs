//! Leases (§9, §10): what they grant and to whom they may be passed on, against models that are too
//! slow to be wrong, and against texts that were made to get through.
//!
//! `ARCP_CASES=1000000` runs the long form of the properties.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod attacks;
mod budget;
mod delegation;
mod globs;
mod oracle;
mod paths;
mod urls;
mod values;

use arcp_core::Error;
use arcp_core::lease::{Authority, Lease, Namespace, Target};
use proptest::prelude::ProptestConfig;

fn lease(json: &str) -> Lease {
    serde_json::from_str(json).unwrap()
}

fn authority(json: &str) -> Authority {
    Authority::new(&lease(json), None).unwrap()
}

/// The text that an operation on `text` would use, and whether it may.
fn grants(authority: &Authority, namespace: &Namespace, text: &str) -> Result<String, Error> {
    let target = Target::parse(namespace, text)?;
    authority.check(namespace, &target).into_result()?;
    Ok(target.as_str().to_owned())
}

/// As many cases as the environment asks for, or a few.
fn cases() -> ProptestConfig {
    let asked = std::env::var("ARCP_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(asked.unwrap_or(256)) }
}
