//! Keys that verify.

use std::fmt;

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};

use super::header::{Named, is_kid};
use super::provider;

/// A key that tokens are verified with, and the algorithms that it is for: those, and no others,
/// whatever a token says.
#[derive(Clone)]
pub struct JwtKey {
    kid: Option<String>,
    /// What tells it from another of the same name (RFC 7638), if it came as a JWK.
    thumbprint: Option<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// No algorithm was named, or not all are of the key's kind.
    #[error("a key needs algorithms, all of its own kind")]
    Algorithms,
    /// It cannot be read.
    #[error("the key must be a public key as PEM, or one as a JWK")]
    Unreadable,
    /// The secret is shorter than what its algorithm makes of it (RFC 7518 §3.2).
    #[error("a secret must be as long as its algorithm's digest: 32 bytes for HS256, 64 for HS512")]
    Short,
    /// The `kid` is none.
    #[error("a kid must have 1 to 256 letters, digits, or some of -._~:+/=@")]
    Kid,
}

impl JwtKey {
    /// A public key as PEM, for `algorithms`, such as `[Algorithm::RS256]`.
    ///
    /// # Errors
    /// If it cannot be read, or is not for them.
    pub fn pem(algorithms: impl Into<Vec<Algorithm>>, pem: &[u8]) -> Result<Self, InvalidKey> {
        provider::install();
        let algorithms = algorithms.into();
        let key = match family(&algorithms)? {
            AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem),
            AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem),
            AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem),
            AlgorithmFamily::Hmac => return Err(InvalidKey::Algorithms),
        };
        Ok(Self { kid: None, thumbprint: None, algorithms, key: key.map_err(|_| InvalidKey::Unreadable)? })
    }

    /// A secret that the issuer shares, for `algorithms`, such as `[Algorithm::HS256]`.
    ///
    /// # Errors
    /// If it is too short for them, or they are none of secrets.
    pub fn secret(algorithms: impl Into<Vec<Algorithm>>, secret: &[u8]) -> Result<Self, InvalidKey> {
        provider::install();
        let algorithms = algorithms.into();
        if family(&algorithms)? != AlgorithmFamily::Hmac {
            return Err(InvalidKey::Algorithms);
        }
        if algorithms.iter().any(|algorithm| secret.len() < digest(*algorithm)) {
            return Err(InvalidKey::Short);
        }
        Ok(Self { kid: None, thumbprint: None, algorithms, key: DecodingKey::from_secret(secret) })
    }

    /// A key as a JWK (RFC 7517), with its `kid`, if it has one, and its `alg`. One without an `alg`
    /// is for RS256, for ES256 or ES384 by its curve, or for `EdDSA`; a secret needs one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn jwk(json: &str) -> Result<Self, InvalidKey> {
        let jwk: Jwk = serde_json::from_str(json).map_err(|_| InvalidKey::Unreadable)?;
        Self::of(&jwk)
    }

    pub(in crate::auth) fn of(jwk: &Jwk) -> Result<Self, InvalidKey> {
        provider::install();
        if jwk.common.public_key_use.as_ref().is_some_and(|is_for| *is_for != PublicKeyUse::Signature) {
            return Err(InvalidKey::Algorithms);
        }
        let key = DecodingKey::from_jwk(jwk).map_err(|_| InvalidKey::Unreadable)?;
        let algorithm = match jwk.common.key_algorithm {
            Some(named) => Algorithm::try_from(named).map_err(|_| InvalidKey::Algorithms)?,
            None => usual(jwk).ok_or(InvalidKey::Algorithms)?,
        };
        if algorithm.family() != key.family() {
            return Err(InvalidKey::Algorithms);
        }
        let key = match &jwk.algorithm {
            AlgorithmParameters::OctetKey(_) => {
                let secret = key.try_get_as_bytes().map_err(|_| InvalidKey::Unreadable)?;
                Self::secret([algorithm], secret)?
            }
            _ => Self { kid: None, thumbprint: None, algorithms: vec![algorithm], key },
        };
        let key = Self { thumbprint: jwk.thumbprint(ThumbprintHash::SHA256).ok(), ..key };
        match &jwk.common.key_id {
            Some(kid) => key.kid(kid.as_str()),
            None => Ok(key),
        }
    }

    /// The name that tokens call it by. A key without one verifies tokens whatever they call theirs.
    ///
    /// # Errors
    /// If it is none.
    pub fn kid(self, kid: impl Into<String>) -> Result<Self, InvalidKey> {
        let kid = kid.into();
        if is_kid(&kid) { Ok(Self { kid: Some(kid), ..self }) } else { Err(InvalidKey::Kid) }
    }

    /// The name that tokens call it by.
    #[cfg(feature = "jwks")]
    pub(in crate::auth) fn name(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Whether an issuer means the same key by both.
    #[cfg(feature = "jwks")]
    pub(in crate::auth) fn is(&self, other: &Self) -> bool {
        self.kid == other.kid && self.thumbprint == other.thumbprint
    }

    /// What it is for.
    #[cfg(feature = "jwks")]
    pub(in crate::auth) fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// Whether it is a secret.
    #[cfg(feature = "jwks")]
    pub(in crate::auth) fn is_secret(&self) -> bool {
        self.key.family() == AlgorithmFamily::Hmac
    }

    pub(super) fn is_meant_by(&self, named: &Named) -> bool {
        let by_name = self.kid.is_none() || self.kid == named.kid;
        by_name && self.algorithms.contains(&named.algorithm)
    }
}

fn family(algorithms: &[Algorithm]) -> Result<AlgorithmFamily, InvalidKey> {
    let family = algorithms.first().ok_or(InvalidKey::Algorithms)?.family();
    let same = algorithms.iter().all(|algorithm| algorithm.family() == family);
    if same { Ok(family) } else { Err(InvalidKey::Algorithms) }
}

fn digest(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::HS512 => 64,
        Algorithm::HS384 => 48,
        _ => 32,
    }
}

/// The algorithm of a key that names none.
fn usual(jwk: &Jwk) -> Option<Algorithm> {
    use jsonwebtoken::jwk::EllipticCurve;
    match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Some(Algorithm::RS256),
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            Some(Algorithm::EdDSA)
        }
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => Some(Algorithm::ES256),
            EllipticCurve::P384 => Some(Algorithm::ES384),
            _ => None,
        },
        _ => None,
    }
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtKey")
            .field("kid", &self.kid)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}
