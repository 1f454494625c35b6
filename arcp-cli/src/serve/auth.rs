//! Who is let in.

use std::path::Path;

use anyhow::Context as _;
use arcp_tower::BearerTokens;
use arcp_tower::auth::jwks::{Jwks, JwksConfig};
use arcp_tower::auth::jwt::{Algorithm, InvalidKey, JwtKey, JwtVerifier, ScopeClaims};
use serde_json::value::RawValue;
use tower::util::Either;

use crate::args::{Issuers, Scopes};
use crate::exit::{Exit, Failure};

/// What `arcp serve` authenticates with: a list of tokens, or an issuer's keys.
pub(crate) type Authenticator = Either<BearerTokens, JwtVerifier>;

/// The verifier that the command line asks for.
pub(crate) fn verifier(args: &Issuers) -> anyhow::Result<JwtVerifier> {
    let usage = |e: &dyn std::fmt::Display| Failure::new(Exit::Usage, e.to_string());
    let scopes = match args.jwt_scopes {
        Scopes::IfPresent => ScopeClaims::IfPresent,
        Scopes::Required => ScopeClaims::Required,
        Scopes::Ignored => ScopeClaims::Ignored,
    };
    let mut builder = JwtVerifier::builder().principal_claim(&args.jwt_principal).scopes(scopes);
    for issuer in &args.jwt_issuer {
        builder = builder.issuer(issuer);
    }
    for audience in &args.jwt_audience {
        builder = builder.audience(audience);
    }
    for file in &args.jwt_key {
        for key in
            keys(&read(file)?, &args.jwt_algorithm).map_err(|e| usage(&format!("{}: {e}", file.display())))?
        {
            builder = builder.key(key);
        }
    }
    if let Some(url) = &args.jwks {
        let mut config = JwksConfig::default();
        if !args.jwt_algorithm.is_empty() {
            config.algorithms.clone_from(&args.jwt_algorithm);
        }
        if let Some(file) = &args.jwks_ca {
            config.root_certificates = read(file)?;
        }
        builder = builder.jwks(Jwks::new(url, config).map_err(|e| usage(&e))?);
    }
    Ok(builder.build().map_err(|e| usage(&e))?)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// The keys of a file.
fn keys(file: &[u8], algorithms: &[Algorithm]) -> Result<Vec<JwtKey>, InvalidKey> {
    #[derive(serde::Deserialize)]
    struct Set {
        keys: Vec<Box<RawValue>>,
    }
    let text = std::str::from_utf8(file).unwrap_or_default().trim();
    if let Ok(Set { keys }) = serde_json::from_str(text) {
        return keys.iter().map(|key| JwtKey::jwk(key.get())).collect();
    }
    if text.starts_with('{') {
        return JwtKey::jwk(text).map(|key| vec![key]);
    }
    let pem = text.starts_with("-----BEGIN");
    let key = match algorithms {
        [] => {
            let usual = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
            usual.into_iter().find_map(|algorithm| JwtKey::pem([algorithm], file).ok())
        }
        // A public key is no secret, whatever the command line says.
        some if pem => return JwtKey::pem(some, file).map(|key| vec![key]),
        some => return JwtKey::secret(some, text.as_bytes()).map(|key| vec![key]),
    };
    key.map(|key| vec![key]).ok_or(InvalidKey::Unreadable)
}
