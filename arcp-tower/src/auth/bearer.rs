//! Static bearer tokens.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use arcp_core::{Code, Error};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tower_service::Service;

use super::{Credentials, Principal};

type Digest = [u8; 32];

/// An authenticator with a fixed list of tokens. It keeps their digests only, and compares each of
/// them in constant time.
///
/// ```
/// use arcp_tower::{AuthLayer, BearerTokens};
/// let layer = AuthLayer::new(BearerTokens::new([("secret", "me@example.com")]));
/// # let _ = layer;
/// ```
#[derive(Clone)]
pub struct BearerTokens(Arc<[(Digest, Principal)]>);

impl BearerTokens {
    /// Tokens and whom they stand for.
    pub fn new<T: AsRef<str>, P: Into<Arc<str>>>(tokens: impl IntoIterator<Item = (T, P)>) -> Self {
        let digest = |(token, name): (T, P)| (Sha256::digest(token.as_ref()).into(), Principal::new(name));
        Self(tokens.into_iter().map(digest).collect())
    }

    fn principal(&self, token: &str) -> Option<Principal> {
        let digest: Digest = Sha256::digest(token).into();
        let mut found = None;
        for (known, principal) in &*self.0 {
            // No early end: how long it takes must not tell which token was nearly right.
            if bool::from(known.ct_eq(&digest)) {
                found = Some(principal.clone());
            }
        }
        found
    }
}

impl std::fmt::Debug for BearerTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(_, principal)| principal)).finish()
    }
}

impl Service<Credentials> for BearerTokens {
    type Response = Principal;
    type Error = Error;
    type Future = Ready<Result<Principal, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, credentials: Credentials) -> Self::Future {
        let known = credentials.bearer().and_then(|token| {
            let principal = self.principal(token);
            principal.ok_or_else(|| Error::new(Code::Unauthenticated, "the token is not known"))
        });
        ready(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t12_a_token_is_compared_with_all_that_are_known_also_behind_the_one_that_fits() {
        let tokens = BearerTokens::new([("a", "first"), ("b", "other"), ("a", "last")]);
        // The one behind was looked at too: no place ends the search, and no map is asked.
        assert_eq!(tokens.principal("a").unwrap().name(), "last");
        assert_eq!(tokens.principal("b").unwrap().name(), "other");
        assert!(tokens.principal("c").is_none());
    }
}
