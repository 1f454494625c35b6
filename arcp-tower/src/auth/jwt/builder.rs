//! What an operator asks of tokens.

use std::sync::Arc;
use std::time::Duration;

use super::claims::Rules;
use super::{Inner, JwtKey, JwtVerifier, ScopeClaims, ScopeNames};
use crate::clock::Clock;

/// The longest leeway.
const MAX_LEEWAY: Duration = Duration::from_secs(60);

/// Makes a [`JwtVerifier`].
#[derive(Debug)]
#[must_use = "a builder does nothing before `build`"]
pub struct JwtBuilder {
    keys: Vec<JwtKey>,
    #[cfg(feature = "jwks")]
    jwks: Option<crate::auth::jwks::Jwks>,
    rules: Rules,
}

/// Why there is no verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidJwt {
    /// There is no key, so that it could accept no token.
    #[error("tokens cannot be verified without a key")]
    NoKey,
    /// The leeway is longer than a minute.
    #[error("the leeway must be at most 60 seconds")]
    Leeway,
}

impl Default for JwtBuilder {
    fn default() -> Self {
        let rules = Rules {
            issuers: Vec::new(),
            audiences: Vec::new(),
            principal: "sub".to_owned(),
            scope_names: ScopeNames::default(),
            scopes: ScopeClaims::default(),
            leeway: Duration::from_secs(30),
            clock: Clock::system(),
        };
        Self {
            keys: Vec::new(),
            #[cfg(feature = "jwks")]
            jwks: None,
            rules,
        }
    }
}

impl JwtBuilder {
    /// Asks for this `iss`; of several, any of them.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.rules.issuers.push(issuer.into());
        self
    }

    /// Asks for this `aud`; of several, any of them. It should be a name of this runtime's own: a
    /// token for another service of the same issuer must be of no use here.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.rules.audiences.push(audience.into());
        self
    }

    /// Accepts tokens that this key signed; there may be several.
    pub fn key(mut self, key: JwtKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Accepts tokens that the keys of a key set signed which is fetched. Such tokens name their key.
    #[cfg(feature = "jwks")]
    pub fn jwks(mut self, jwks: crate::auth::jwks::Jwks) -> Self {
        self.jwks = Some(jwks);
        self
    }

    /// The claim that names the principal, such as `email`; `sub` if not set. It has to be one that
    /// the issuer vouches for, and gives to nobody twice.
    pub fn principal_claim(mut self, claim: impl Into<String>) -> Self {
        self.rules.principal = claim.into();
        self
    }

    /// What the scopes of a session are taken from.
    pub fn scopes(mut self, scopes: ScopeClaims) -> Self {
        self.rules.scopes = scopes;
        self
    }

    /// How scopes are called in tokens.
    pub fn scope_names(mut self, names: ScopeNames) -> Self {
        self.rules.scope_names = names;
        self
    }

    /// How far clocks may differ: 30 s if not set, and at most a minute.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.rules.leeway = leeway;
        self
    }

    /// The clock that tokens expire by; the system's if not set.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.rules.clock = clock;
        self
    }

    /// The verifier.
    ///
    /// # Errors
    /// If there is no key, or the leeway is too long.
    pub fn build(self) -> Result<JwtVerifier, InvalidJwt> {
        if self.rules.leeway > MAX_LEEWAY {
            return Err(InvalidJwt::Leeway);
        }
        #[cfg(feature = "jwks")]
        let fetched = self.jwks.is_some();
        #[cfg(not(feature = "jwks"))]
        let fetched = false;
        if self.keys.is_empty() && !fetched {
            return Err(InvalidJwt::NoKey);
        }
        Ok(JwtVerifier(Arc::new(Inner {
            keys: self.keys,
            #[cfg(feature = "jwks")]
            jwks: self.jwks,
            rules: self.rules,
        })))
    }
}
