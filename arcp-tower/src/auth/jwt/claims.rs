//! What a token's claims have to say.

use std::time::Duration;

use arcp_core::{Code, Error, Timestamp};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{TokenData, Validation, decode};
use serde_json::{Map, Value};

use super::{JwtKey, ScopeClaims, ScopeNames, refused};
use crate::auth::Principal;
use crate::clock::Clock;

/// The longest name of a principal, in bytes.
const MAX_NAME: usize = 256;

/// What a token has to say. Times are read here and not by the library, which knows no clock but the
/// system's.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) issuers: Vec<String>,
    pub(super) audiences: Vec<String>,
    pub(super) principal: String,
    pub(super) scope_names: ScopeNames,
    pub(super) scopes: ScopeClaims,
    pub(super) leeway: Duration,
    pub(super) clock: Clock,
}

impl Rules {
    /// Verifies a token with a key, and reads whom it stands for. `None` if it was not signed with that key.
    pub(super) fn check(&self, token: &str, key: &JwtKey) -> Option<Result<Principal, Error>> {
        let decoded = decode::<Map<String, Value>>(token, &key.key, &self.validation(key));
        if decoded.as_ref().is_err_and(|error| !is_about_claims(error.kind())) {
            return None;
        }
        Some(self.read(decoded))
    }

    fn read(
        &self,
        decoded: Result<TokenData<Map<String, Value>>, jsonwebtoken::errors::Error>,
    ) -> Result<Principal, Error> {
        let claims = decoded.map_err(|error| {
            // The kind names a claim at the most; the token itself is in none of them.
            match error.kind() {
                ErrorKind::Json(_) | ErrorKind::Utf8(_) | ErrorKind::Base64(_) => {
                    tracing::debug!("a token cannot be read");
                }
                kind => tracing::debug!(?kind, "a token was refused"),
            }
            refused()
        })?;
        let end = self.in_time(&claims.claims)?;
        let principal = self.principal(&claims.claims)?;
        // An end that no clock can tell is none.
        let end = Duration::try_from_secs_f64(end).ok().and_then(|end| i64::try_from(end.as_millis()).ok());
        Ok(match end {
            Some(end) => principal.until(Timestamp::from_millis(end)),
            None => principal,
        })
    }

    fn validation(&self, key: &JwtKey) -> Validation {
        let mut validation = Validation::default();
        validation.algorithms.clone_from(&key.algorithms);
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        let mut required = vec!["exp", "sub"];
        if !self.issuers.is_empty() {
            required.push("iss");
            validation.set_issuer(&self.issuers);
        }
        // Without an audience of ours, the library refuses a token that names any.
        if !self.audiences.is_empty() {
            required.push("aud");
            validation.set_audience(&self.audiences);
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    /// `exp`, `nbf` and `iat` (RFC 7519 §4.1), which are numbers wherever they are. Returns when the token
    /// ends, in seconds.
    fn in_time(&self, claims: &Map<String, Value>) -> Result<f64, Error> {
        let seconds = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or_else(|| {
                tracing::debug!(claim = name, "a time in a token is no number");
                refused()
            }),
        };
        let now = u64::try_from(self.clock.wall().as_millis()).unwrap_or_default();
        let now = Duration::from_millis(now).as_secs_f64();
        let leeway = self.leeway.as_secs_f64();
        let exp = seconds("exp")?.ok_or_else(refused)?;
        if exp + leeway <= now {
            return Err(Error::new(Code::Unauthenticated, "the token has expired"));
        }
        for begins in [seconds("nbf")?, seconds("iat")?].into_iter().flatten() {
            if begins > now + leeway {
                return Err(Error::new(Code::Unauthenticated, "the token is not valid yet"));
            }
        }
        Ok(exp + leeway)
    }

    fn principal(&self, claims: &Map<String, Value>) -> Result<Principal, Error> {
        let name = claims.get(&self.principal).and_then(Value::as_str).unwrap_or_default();
        if !(1..=MAX_NAME).contains(&name.len()) || name.chars().any(char::is_control) {
            tracing::debug!(claim = %self.principal, "a token names no principal");
            return Err(refused());
        }
        let scopes = self.scope_names.of(claims, self.scopes);
        if scopes.is_empty() {
            return Err(Error::new(Code::PermissionDenied, "the token grants no scope of this runtime"));
        }
        Ok(Principal::new(name).with_scopes(scopes))
    }
}

/// Whether a token was signed with the key that it was verified with, and is refused for what it says.
fn is_about_claims(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::MissingRequiredClaim(_)
            | ErrorKind::InvalidClaimFormat(_)
            | ErrorKind::ExpiredSignature
            | ErrorKind::ImmatureSignature
            | ErrorKind::InvalidIssuer
            | ErrorKind::InvalidAudience
            | ErrorKind::InvalidSubject
    )
}
