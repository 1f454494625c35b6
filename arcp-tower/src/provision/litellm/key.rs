//! What is said about keys.

use std::collections::BTreeMap;

use arcp_core::money::Amount;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::credential::{Handle, Issue, Secret};

/// Pages of a listing that are read, of 100 keys each.
pub(super) const MOST_PAGES: u64 = 1000;

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
    /// What was spent; `None` as for [`left`](Self::left).
    pub(super) fn spent(&self) -> Option<Amount> {
        amount(self.info.spend.as_deref()?)
    }

    /// What is left of a key's budget; `None` if the answer does not say it, which is not that nothing was
    /// spent.
    pub(super) fn left(&self) -> Option<Amount> {
        let spent = self.spent()?;
        amount(self.info.max_budget.as_deref()?)?.checked_sub_down(spent)
    }
}

/// A number, or a text with one: gateways write money in both ways. What was spent is never less than
/// nothing.
fn amount(raw: &RawValue) -> Option<Amount> {
    let text = raw.get();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    Amount::parse_number(text).ok().filter(|amount| !amount.is_negative())
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

    fn left(json: &str) -> Option<String> {
        serde_json::from_str::<Info>(json).unwrap().left().map(|left| left.to_string())
    }

    #[test]
    fn what_is_left_of_a_key_is_exact() {
        assert_eq!(left(r#"{"info":{"spend":0.1,"max_budget":0.3}}"#).unwrap(), "0.2");
        assert_eq!(left(r#"{"info":{"spend":1e-7,"max_budget":1}}"#).unwrap(), "0.9999999");
        assert_eq!(left(r#"{"info":{"spend":0,"max_budget":2}}"#).unwrap(), "2");
        assert_eq!(left(r#"{"info":{"spend":3,"max_budget":2}}"#).unwrap(), "-1");
        assert_eq!(left(r#"{"info":{"spend":"0.1","max_budget":"3e-1"}}"#).unwrap(), "0.2");
        // What there is no room for is rounded against who spends.
        let many = r#"{"info":{"spend":1e-27,"max_budget":1000}}"#;
        assert_eq!(left(many).unwrap(), "999.9999999999999999999999999");
    }

    #[test]
    fn what_an_answer_does_not_say_is_neither_nothing_spent_nor_a_whole_budget() {
        for spend in ["null", r#""""#, r#""much""#, r#""1 USD""#, "-1", "[1]", "true", "1e-99"] {
            assert_eq!(left(&format!(r#"{{"info":{{"spend":{spend},"max_budget":2}}}}"#)), None, "{spend}");
            assert_eq!(left(&format!(r#"{{"info":{{"spend":1,"max_budget":{spend}}}}}"#)), None, "{spend}");
        }
        for missing in [r#"{"max_budget":2}"#, r#"{"spend":1}"#, "{}"] {
            assert_eq!(left(&format!(r#"{{"info":{missing}}}"#)), None, "{missing}");
        }
    }
}
