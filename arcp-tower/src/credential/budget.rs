//! Errors of services that mean `BUDGET_EXHAUSTED` (§9.6).

use arcp_core::{Code, Error};
use serde::Deserialize;

/// What services say when a key has spent what it may: as a type, as a code, or within the text.
const WORDS: [&str; 5] = [
    "budget_exceeded",
    "insufficient_quota",
    "exceededbudget",
    "budget has been exceeded",
    "billing_hard_limit",
];

/// The error of a service's answer as `BUDGET_EXHAUSTED`, if it says that the credential has spent
/// what it may: the agent returns it instead of its own, so that clients see one code whoever
/// enforces the budget. `None` if the answer says something else, such as a rate limit.
///
/// ```
/// use arcp_tower::credential::budget_exhausted;
/// let body = r#"{"error":{"type":"budget_exceeded","message":"Budget has been exceeded!"}}"#;
/// let error = budget_exhausted(429, body).expect("it is one");
/// assert_eq!(error.code(), arcp_tower::core::Code::BudgetExhausted);
/// assert!(budget_exhausted(429, r#"{"error":{"type":"rate_limit_exceeded"}}"#).is_none());
/// ```
pub fn budget_exhausted(status: u16, body: &str) -> Option<Error> {
    #[derive(Deserialize)]
    struct Body {
        error: Parts,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Parts {
        Text(String),
        Object {
            #[serde(default, rename = "type")]
            kind: Option<String>,
            #[serde(default)]
            code: Option<serde_json::Value>,
            #[serde(default)]
            message: Option<String>,
        },
    }
    let paid = status == 402;
    if !paid && !(400..500).contains(&status) {
        return None;
    }
    let said = match serde_json::from_str(body).ok().map(|Body { error }| error) {
        None => String::new(),
        Some(Parts::Text(text)) => text,
        Some(Parts::Object { kind, code, message }) => {
            let code = code.as_ref().and_then(serde_json::Value::as_str);
            [kind.as_deref(), code, message.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("\n")
        }
    };
    let said = said.to_lowercase();
    let exhausted = paid || WORDS.iter().any(|word| said.contains(word));
    exhausted.then(|| {
        let error = Error::new(Code::BudgetExhausted, "the credential has spent what it may");
        error.with_detail("reason", "upstream")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_services_say_of_a_spent_budget_is_budget_exhausted_and_nothing_else_is() {
        for (status, body) in [
            (
                400,
                r#"{"error":{"message":"ExceededBudget: User over budget.","type":"auth_error","code":"400"}}"#,
            ),
            (429, r#"{"error":{"message":"Budget has been exceeded! Current cost: 2","code":400}}"#),
            (429, r#"{"error":{"type":"insufficient_quota","param":null}}"#),
            (402, "Payment Required"),
            (403, r#"{"error":"budget_exceeded"}"#),
        ] {
            let error = budget_exhausted(status, body).unwrap();
            assert!(error.code() == Code::BudgetExhausted && !error.retryable(), "{body}");
        }
        for (status, body) in [
            (429, r#"{"error":{"type":"rate_limit_error","message":"slow down"}}"#),
            (500, r#"{"error":{"type":"budget_exceeded"}}"#),
            (200, r#"{"error":{"type":"budget_exceeded"}}"#),
            (400, "budget_exceeded, says a page"),
            (400, "[]"),
        ] {
            assert!(budget_exhausted(status, body).is_none(), "{body}");
        }
    }
}
