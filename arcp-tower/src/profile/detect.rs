//! Telling clients apart by their first frame.

use std::sync::Arc;

use arcp_core::{Envelope, Json};
use serde::Deserialize;

use super::{Draft, Profile, Python, Superset};

/// The profile of the client that sent `first`. What is not recognised gets the superset, which
/// serves the most.
pub fn detect(first: &Envelope) -> Arc<dyn Profile> {
    #[derive(Deserialize, Default)]
    struct Hello {
        #[serde(default)]
        capabilities: Capabilities,
    }
    #[derive(Deserialize, Default)]
    struct Capabilities {
        #[serde(default)]
        agents: Option<Json>,
        #[serde(default, rename = "x-vendor.arcp.profile")]
        profile: Option<Json>,
    }
    let Hello { capabilities } = first.payload.decode().unwrap_or_default();
    let said = capabilities.profile.and_then(|name| name.decode::<String>().ok());
    match said.as_deref() {
        Some("draft") => return Arc::new(Draft),
        Some("python") => return Arc::new(Python),
        _ => {}
    }
    // Only the Python SDK sends `agents` in a hello, and it sends it empty.
    match capabilities.agents {
        Some(agents) if agents.decode::<Vec<Json>>().is_ok_and(|agents| agents.is_empty()) => {
            Arc::new(Python)
        }
        _ => Arc::new(Superset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_apart_by_their_first_frame() {
        let cases = [
            (r#"{"capabilities":{"features":["ack"],"agents":[]}}"#, "python"),
            (r#"{"capabilities":{"features":["ack"],"x-vendor.arcp.profile":"draft"}}"#, "draft"),
            (r#"{"capabilities":{"features":["ack"]}}"#, "superset"),
            (r#"{"capabilities":{"agents":["a"]}}"#, "superset"),
            (r#"{"capabilities":7}"#, "superset"),
            ("{}", "superset"),
        ];
        for (payload, name) in cases {
            let hello = Envelope::of_json("session.hello".into(), Json::parse(payload).unwrap());
            assert_eq!(detect(&hello).name(), name, "{payload}");
        }
    }
}
