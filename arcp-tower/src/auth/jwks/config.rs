//! The bounds of a key set, all of them.

use std::time::Duration;

use jsonwebtoken::Algorithm;

/// The bounds of a key set, all of them.
///
/// ```
/// use arcp_tower::auth::jwks::JwksConfig;
/// use arcp_tower::auth::jwt::Algorithm;
/// let config = JwksConfig::default().with(|c| c.algorithms = vec![Algorithm::ES256]);
/// assert_eq!(config.body_bytes, 256 * 1024);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct JwksConfig {
    /// How old keys get before they are fetched again: a key that the issuer took away is refused
    /// after that. 5 minutes.
    pub refresh: Duration,
    /// How often they are fetched while there are sessions of tokens that they signed, whether or not
    /// another token comes: once a key is taken away, the connections that it let in are closed after
    /// that. 50 s.
    pub withdrawal: Duration,
    /// How often the names of keys that are not known have the keys fetched early, all of them
    /// together: a key that the issuer added is accepted after that at the latest. 1 minute.
    pub unknown_kid: Duration,
    /// How long after a failure they are not tried to be fetched again. 10 s.
    pub retry: Duration,
    /// How old keys get at the most, while they cannot be fetched. One day.
    pub stale: Duration,
    /// How long fetching them may take; less than a handshake may. 3 s.
    pub timeout: Duration,
    /// Bytes of the answer. 256 KiB; a longer one is refused, as a whole.
    pub body_bytes: usize,
    /// Keys of the answer. 64; with more it is refused, as a whole.
    pub keys: usize,
    /// The algorithms that keys are taken for. Those of public keys; a secret is never taken.
    pub algorithms: Vec<Algorithm>,
    /// Certificates, as PEM, that are trusted beside the roots of the Web. None.
    pub root_certificates: Vec<u8>,
}

impl Default for JwksConfig {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(300),
            withdrawal: Duration::from_secs(50),
            unknown_kid: Duration::from_secs(60),
            retry: Duration::from_secs(10),
            stale: Duration::from_secs(86_400),
            timeout: Duration::from_secs(3),
            body_bytes: 256 << 10,
            keys: 64,
            algorithms: vec![
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
                Algorithm::ES256,
                Algorithm::ES384,
                Algorithm::EdDSA,
            ],
            root_certificates: Vec::new(),
        }
    }
}

impl JwksConfig {
    /// Changes some bounds.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// Why there is no key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidJwks {
    /// Whoever is between could put keys of its own into the answer.
    #[error("the address of a key set must be https://host/path, or http:// on loopback")]
    Url,
    /// The root certificates cannot be read.
    #[error("root certificates must be one or more certificates as PEM")]
    Roots,
}
