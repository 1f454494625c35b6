//! JSON Web Tokens as bearer tokens (RFC 7519).
//!
//! The feature `jwt-aws-lc-rs` or `jwt-rust-crypto` says who does the cryptography; with both it is
//! aws-lc-rs. A process that installed a provider of `jsonwebtoken` before keeps its own.

mod builder;
mod claims;
mod header;
mod key;
mod provider;
mod scope;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use arcp_core::{Code, Error};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
pub use jsonwebtoken::Algorithm;
use tower_service::Service;

pub use builder::{InvalidJwt, JwtBuilder};
pub use key::{InvalidKey, JwtKey};
pub use scope::{ScopeClaims, ScopeNames};

use super::{Credentials, Principal};
use claims::Rules;
use header::Named;

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN: usize = 8 << 10;

/// An authenticator that takes JSON Web Tokens.
///
/// A token is good if a key that is known signed it with an algorithm that is allowed *for that key*
/// (what the token says of itself chooses nothing but the key), if it has `exp` and `sub`, and the
/// `iss` and `aud` that are asked for. Times are numbers and count with a leeway of at most a minute.
/// If no audience is asked for, a token that names one is for somebody else. What a token may do is in
/// its scopes: see [`ScopeClaims`].
///
/// A token is looked at when a session is opened or resumed. The session may outlive it, and a connection
/// does not: it is closed when the token ends, leeway included, or its key is withdrawn, and is resumed with
/// another.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use arcp_tower::auth::jwt::{Algorithm, JwtKey, JwtVerifier};
/// use arcp_tower::AuthLayer;
///
/// let key = JwtKey::secret([Algorithm::HS256], b"a secret of 32 bytes at the least")?;
/// let verifier = JwtVerifier::builder()
///     .issuer("https://login.example.com")
///     .audience("arcp")
///     .key(key)
///     .build()?;
/// let layer = AuthLayer::new(verifier);
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct JwtVerifier(Arc<Inner>);

struct Inner {
    keys: Vec<JwtKey>,
    #[cfg(feature = "jwks")]
    jwks: Option<super::jwks::Jwks>,
    rules: Rules,
}

/// What is said of a token that is not accepted, whatever is wrong with it. Only what its bearer can
/// do something about is told: that it has expired, for one.
fn refused() -> Error {
    Error::new(Code::Unauthenticated, "the token is not accepted")
}

impl JwtVerifier {
    /// One that knows no key yet.
    pub fn builder() -> JwtBuilder {
        JwtBuilder::default()
    }

    /// Whom a token stands for.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if it is not accepted, `PERMISSION_DENIED` if it may do nothing here, and
    /// `INTERNAL_ERROR`, which may pass, if keys have to be fetched and cannot be.
    pub async fn verify(&self, token: &str) -> Result<Principal, Error> {
        let named = Named::of(token).map_err(|why| {
            tracing::debug!(why, "a token was refused unread");
            refused()
        })?;
        let mut meant = self.0.keys.iter().filter(|key| key.is_meant_by(&named));
        if let Some(checked) = meant.find_map(|key| self.0.rules.check(token, key)) {
            return checked;
        }
        #[cfg(feature = "jwks")]
        if let (Some(jwks), Some(kid)) = (&self.0.jwks, &named.kid)
            && let Some(known) = jwks.key(kid).await?.filter(|known| known.key.is_meant_by(&named))
            && let Some(checked) = self.0.rules.check(token, &known.key)
        {
            let principal = checked?;
            jwks.watch();
            return Ok(principal.until_cancelled(known.withdrawn));
        }
        tracing::debug!(
            kid = named.kid.as_deref().unwrap_or_default(),
            "no key that a token was signed with"
        );
        Err(refused())
    }
}

impl Service<Credentials> for JwtVerifier {
    type Response = Principal;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Principal, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, credentials: Credentials) -> Self::Future {
        let verifier = self.clone();
        async move { verifier.verify(credentials.bearer()?).await }.boxed()
    }
}

impl fmt::Debug for JwtVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtVerifier")
            .field("keys", &self.0.keys)
            .field("rules", &self.0.rules)
            .finish_non_exhaustive()
    }
}
