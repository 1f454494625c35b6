//! Scopes of a token.

use serde_json::Value;

use crate::auth::{Scope, Scopes};

/// What the scopes of a session are taken from: the claim `scope`, a text of names with spaces
/// between (RFC 8693 §4.2), or `scp`, which may be a list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ScopeClaims {
    /// A token with one of the claims may do what that names, and nothing if it names nothing that is
    /// known here. A token with neither may submit and observe.
    #[default]
    IfPresent,
    /// A token with neither may do nothing.
    Required,
    /// Tokens may submit and observe, whatever their claims are.
    Ignored,
}

/// How scopes are called in tokens: `arcp:observe`, `arcp:submit` and `arcp:admin`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScopeNames {
    /// The name of [`Scope::Observe`].
    pub observe: String,
    /// The name of [`Scope::Submit`].
    pub submit: String,
    /// The name of [`Scope::Admin`].
    pub admin: String,
}

impl Default for ScopeNames {
    fn default() -> Self {
        Self::prefixed("arcp:")
    }
}

impl ScopeNames {
    /// The names of [`Scope`], with `prefix` before them.
    pub fn prefixed(prefix: &str) -> Self {
        let name = |scope: Scope| format!("{prefix}{scope}");
        Self { observe: name(Scope::Observe), submit: name(Scope::Submit), admin: name(Scope::Admin) }
    }

    fn read(&self, name: &str) -> Option<Scope> {
        let known = [&self.observe, &self.submit, &self.admin];
        Scope::ALL.into_iter().zip(known).find_map(|(scope, known)| (name == known).then_some(scope))
    }

    /// What the claims allow. A claim that is neither text nor a list allows nothing.
    pub(super) fn of(&self, claims: &serde_json::Map<String, Value>, how: ScopeClaims) -> Scopes {
        let claim = claims.get("scope").or_else(|| claims.get("scp"));
        match (how, claim) {
            (ScopeClaims::Ignored, _) | (ScopeClaims::IfPresent, None) => Scopes::default(),
            (_, Some(Value::String(names))) => names.split(' ').filter_map(|name| self.read(name)).collect(),
            (_, Some(Value::Array(names))) => {
                names.iter().filter_map(Value::as_str).filter_map(|name| self.read(name)).collect()
            }
            _ => Scopes::NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scopes_are_what_the_claims_name_and_nothing_else() {
        use ScopeClaims::{IfPresent, Ignored, Required};
        let names = ScopeNames::default();
        let of = |claims: Value, how| names.of(claims.as_object().unwrap(), how);
        let observe = Scopes::from([Scope::Observe]);
        for (claims, how, scopes) in [
            (json!({ "scope": "openid arcp:observe" }), IfPresent, observe),
            (json!({ "scp": ["arcp:observe", 7] }), Required, observe),
            (json!({ "scp": "arcp:admin" }), Required, Scopes::from([Scope::Admin])),
            (json!({ "scope": "openid arcp:Admin observe" }), IfPresent, Scopes::NONE),
            (json!({ "scope": 7 }), IfPresent, Scopes::NONE),
            (json!({}), IfPresent, Scopes::default()),
            (json!({}), Required, Scopes::NONE),
            (json!({ "scope": "arcp:admin" }), Ignored, Scopes::default()),
        ] {
            assert_eq!(of(claims.clone(), how), scopes, "{claims} {how:?}");
        }
        let short = ScopeNames::prefixed("");
        assert_eq!(short.of(json!({ "scope": "observe" }).as_object().unwrap(), Required), observe);
    }
}
