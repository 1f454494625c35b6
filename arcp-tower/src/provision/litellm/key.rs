//! What is said about keys.

use std::collections::BTreeMap;

use arcp_core::lease::{Namespace, Pattern, Target};
use arcp_core::money::Amount;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::credential::{Handle, Issue, Secret};

/// Pages of a listing that are read, of 100 keys each.
pub(super) const MOST_PAGES: u64 = 1000;
/// The entry that stands for no model at all: an empty list stands for every one.
pub(super) const NO_MODELS: &str = "no-default-models";
/// Entries that stand for more than a name.
const SPECIAL: [&str; 3] = ["all-team-models", "all-proxy-models", NO_MODELS];

/// The models of a lease as a gateway has them: names as they are, patterns as those of the models
/// `there` that they cover. A pattern goes to the gateway itself only if it means no more there: a star
/// goes past `/`, stars make a regular expression of the whole entry, and some names stand for every
/// model. What would mean more is left out.
pub(super) fn models(patterns: &[String], there: &[String]) -> Vec<String> {
    let mut models = Vec::new();
    for pattern in patterns {
        let before = models.len();
        match pattern.strip_suffix("**") {
            _ if SPECIAL.contains(&pattern.as_str()) => {}
            _ if !pattern.contains('*') => models.push(pattern.clone()),
            // Everything below, and the gateway's star is that.
            Some(tree) if !tree.contains('*') && tree.chars().all(plain) => models.push(format!("{tree}*")),
            _ => models.extend(covered(pattern, there)),
        }
        if models.len() == before {
            tracing::warn!(pattern, "a pattern of models opens none: name the gateway's models");
        }
    }
    if models.is_empty() {
        models.push(NO_MODELS.to_owned());
    }
    models
}

/// The same as patterns of a lease, whose star stays within its segment.
pub(super) fn patterns(models: Vec<String>) -> Vec<String> {
    let pattern = |model: String| match model.strip_suffix('*') {
        Some(tree) => format!("{tree}**"),
        None => model,
    };
    models.into_iter().filter(|model| model != NO_MODELS).map(pattern).collect()
}

fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_./:@-".contains(c)
}

/// Those of the models `there` that a lease's pattern covers.
fn covered(pattern: &str, there: &[String]) -> Vec<String> {
    let Ok(pattern) = Pattern::new(&Namespace::ModelUse, pattern) else { return Vec::new() };
    let fits = |model: &str| {
        let literal = !model.contains('*') && !SPECIAL.contains(&model);
        literal && Target::parse(&Namespace::ModelUse, model).is_ok_and(|model| pattern.matches(&model))
    };
    there.iter().filter(|model| fits(model)).cloned().collect()
}

/// `/key/generate`.
#[derive(Serialize)]
pub(super) struct Generate<'a> {
    key_alias: &'a str,
    duration: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_budget: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<&'a [String]>,
    metadata: BTreeMap<&'static str, String>,
}

impl<'a> Generate<'a> {
    pub(super) fn new(issue: &'a Issue, max_budget: Option<Amount>, models: Option<&'a [String]>) -> Self {
        let metadata = BTreeMap::from([
            ("arcp_job_id", issue.job.to_string()),
            ("arcp_agent", issue.agent.clone()),
            ("arcp_credential_id", issue.credential.to_string()),
            ("arcp_principal", issue.principal.to_string()),
            ("arcp_trace_id", issue.trace_id.to_string()),
        ]);
        let duration = format!("{}s", issue.ttl.as_secs().max(1));
        Self { key_alias: &issue.name, duration, max_budget, models, metadata }
    }
}

/// The answer to it.
#[derive(Deserialize)]
pub(super) struct Generated {
    pub(super) key: Secret,
    #[serde(default)]
    pub(super) token_id: Option<String>,
    #[serde(default)]
    pub(super) token: Option<String>,
}

/// `/key/delete`.
#[derive(Serialize)]
pub(super) struct Delete<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_aliases: Option<[&'a str; 1]>,
}

impl<'a> Delete<'a> {
    pub(super) fn of(handle: &'a Handle) -> Self {
        match &handle.handle {
            Some(hash) => Self { keys: Some([hash]), key_aliases: None },
            None => Self { keys: None, key_aliases: Some([&handle.name]) },
        }
    }
}

/// The answer to `/key/info`.
#[derive(Deserialize)]
pub(super) struct Info {
    info: Spending,
}

#[derive(Deserialize)]
struct Spending {
    #[serde(default)]
    spend: Option<Box<RawValue>>,
    #[serde(default)]
    max_budget: Option<Box<RawValue>>,
}

impl Info {
    /// What is left of a key's budget; `None` if it has none, or it cannot be told exactly.
    pub(super) fn left(&self) -> Option<Amount> {
        let amount = |raw: &Option<Box<RawValue>>| Amount::parse_number(raw.as_ref()?.get()).ok();
        let spent = amount(&self.info.spend).unwrap_or(Amount::ZERO);
        amount(&self.info.max_budget)?.checked_sub(spent)
    }
}

/// A page of `/key/list`.
#[derive(Deserialize)]
pub(super) struct List {
    pub(super) keys: Vec<Listed>,
    #[serde(default)]
    pub(super) total_pages: u64,
}

#[derive(Deserialize)]
pub(super) struct Listed {
    #[serde(default)]
    key_alias: Option<String>,
    #[serde(default)]
    token: Option<String>,
}

impl Listed {
    pub(super) fn into_handle(self) -> Option<Handle> {
        Some(Handle::new(self.key_alias?, self.token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_that_would_mean_more_to_the_gateway_are_left_out() {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let of = |patterns: &[&str]| models(&owned(patterns), &[]);
        assert_eq!(of(&["gpt-4o", "tier-fast/**", "a|b"]), ["gpt-4o", "tier-fast/*", "a|b"]);
        // The gateway's star goes past `/`, and a lease's does not.
        for wider in ["tier-fast/*", "*", "gpt-*", "*/x", "a*/**"] {
            assert_eq!(of(&[wider]), [NO_MODELS], "{wider}");
        }
        for hostile in
            ["|*", "(x|)*", "a?*", "[a]*", "*|", "^*", "a\\*", "all-proxy-models", "all-team-models"]
        {
            assert_eq!(of(&[hostile]), [NO_MODELS], "{hostile}");
        }
        // Where the gateway's models are known, a pattern is those of them that it covers.
        let there = owned(&[
            "tier-fast/a",
            "tier-fast/b",
            "tier-fast/b/c",
            "tier-slow/a",
            "gpt-4o",
            "*",
            "tier-fast/*",
        ]);
        assert_eq!(models(&owned(&["tier-fast/*"]), &there), ["tier-fast/a", "tier-fast/b"]);
        assert_eq!(models(&owned(&["*"]), &there), ["gpt-4o"]);
        // A lease that names no model is not one that does not say.
        assert_eq!(of(&[]), [NO_MODELS]);
    }

    #[test]
    fn what_is_left_of_a_key_is_exact() {
        let left =
            |json: &str| serde_json::from_str::<Info>(json).unwrap().left().map(|left| left.to_string());
        assert_eq!(left(r#"{"info":{"spend":0.1,"max_budget":0.3}}"#).unwrap(), "0.2");
        assert_eq!(left(r#"{"info":{"spend":1e-7,"max_budget":1}}"#).unwrap(), "0.9999999");
        assert_eq!(left(r#"{"info":{"spend":null,"max_budget":2}}"#).unwrap(), "2");
        assert_eq!(left(r#"{"info":{"spend":3,"max_budget":2}}"#).unwrap(), "-1");
        assert_eq!(left(r#"{"info":{"spend":3,"max_budget":null}}"#), None);
    }
}
