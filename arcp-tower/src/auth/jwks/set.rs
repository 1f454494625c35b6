//! Reading a key set.

use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::JwksConfig;
use super::failure::Failure;
use crate::auth::jwt::JwtKey;

#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// The keys of a key set that tokens can be verified with. Those of kinds that are not known, without
/// a name, for another use or with a secret are left out, as RFC 7517 §5 has it.
pub(super) fn read(body: &[u8], config: &JwksConfig) -> Result<Vec<JwtKey>, Failure> {
    let set: Set<'_> = serde_json::from_slice(body).map_err(|_| Failure::Unreadable)?;
    if set.keys.len() > config.keys {
        return Err(Failure::TooMany);
    }
    let jwks = set.keys.into_iter().filter_map(|key| serde_json::from_str::<Jwk>(key.get()).ok());
    let keys = jwks.filter_map(|jwk| JwtKey::of(&jwk).ok());
    let good = |key: &JwtKey| {
        key.name().is_some()
            && !key.is_secret()
            && key.algorithms().iter().all(|algorithm| config.algorithms.contains(algorithm))
    };
    Ok(keys.filter(good).collect())
}
