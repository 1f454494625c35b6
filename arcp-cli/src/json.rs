//! JSON on the command line.

use arcp_tower::core::Json;
use serde_json::value::RawValue;

use crate::exit::{Exit, Failure};

/// What `option` was given. The error has the place of what is wrong.
pub(crate) fn parse(option: &str, text: String) -> Result<Json, Failure> {
    serde_json::from_str::<&RawValue>(&text)
        .map_err(|e| Failure::new(Exit::Usage, format!("{option} must be JSON: {e}")))?;
    Json::parse(text).map_err(|e| Failure::of(Exit::Usage, &e))
}
