//! Who issues tokens to the tests.

use std::time::{Duration, SystemTime};

use arcp_core::Timestamp;
use arcp_tower::Clock;
use arcp_tower::auth::jwt::{Algorithm, JwtBuilder, JwtKey, JwtVerifier};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::{Value, json};

/// The `iss` of every token.
pub const ISSUER: &str = "https://issuer.test";
/// The `aud`.
pub const AUDIENCE: &str = "arcp";
/// The time that [`JwtBuilder`]s of [`verifier`] have, in seconds.
pub const NOW: u64 = 1_800_000_000;

/// A clock that stands still at [`NOW`].
pub fn clock() -> Clock {
    let now = Timestamp::from_millis(i64::try_from(NOW * 1000).unwrap());
    Clock::new(move || now)
}

/// A verifier that asks for [`ISSUER`] and [`AUDIENCE`], with the clock of [`clock`].
pub fn verifier() -> JwtBuilder {
    JwtVerifier::builder().issuer(ISSUER).audience(AUDIENCE).clock(clock())
}

/// Claims of `sub` that are good for an hour from `now`.
pub fn claims_at(now: u64, sub: &str) -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": sub, "exp": now + 3600 })
}

/// Claims of `sub` that are good at [`NOW`].
pub fn claims(sub: &str) -> Value {
    claims_at(NOW, sub)
}

/// The same with another claim, or without one if it is null.
pub fn but(mut claims: Value, name: &str, value: Value) -> Value {
    let members = claims.as_object_mut().unwrap();
    if value.is_null() {
        members.remove(name)
    } else {
        members.insert(name.to_owned(), value)
    };
    claims
}

/// The time, in seconds.
pub fn today() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().as_ref().map(Duration::as_secs).unwrap()
}

/// Part of a token.
pub fn part(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// A key of the issuer's, for ES256.
#[derive(Debug)]
pub struct Key {
    kid: String,
    pair: KeyPair,
}

impl Key {
    /// A new key, called `kid`.
    pub fn new(kid: &str) -> Self {
        Self { kid: kid.to_owned(), pair: KeyPair::generate().unwrap() }
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.kid.clone());
        self.sign_as(&header, claims)
    }

    /// A token with a header of its own.
    pub fn sign_as(&self, header: &Header, claims: &Value) -> String {
        let key = EncodingKey::from_ec_der(&self.pair.serialize_der());
        jsonwebtoken::encode(header, claims, &key).unwrap()
    }

    /// The public key.
    pub fn pem(&self) -> String {
        self.pair.public_key_pem()
    }

    /// The public key, as one that verifies.
    pub fn public(&self) -> JwtKey {
        JwtKey::pem([Algorithm::ES256], self.pem().as_bytes()).unwrap().kid(&self.kid).unwrap()
    }

    /// The public key as a JWK.
    pub fn jwk(&self) -> Value {
        let raw = self.pair.public_key_raw();
        let (x, y) = (part(&raw[1..33]), part(&raw[33..]));
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid, "x": x, "y": y })
    }
}

/// A set of public keys.
pub fn set(keys: &[&Key]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string()
}

/// An RSA key, whose private half nobody has any more.
pub const RSA_PEM: &str = "\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAulpKJeVYNzDREgd0DYtK
ZZYrl/8gf8r+4gEwPNEEDasVbNMP9rJcOwHe1cjYMoRVbPTDsut4fu5bfFXJsR4j
/PNW0SFQa/depsYM9nv9uNklQoDUp9yyVkPfGe39/4xjcXrREZu2cEBtM2ZDTqVU
JJHWPy70t7qBf8wlQ7c5xyrbMNehQcK05FuEWR7l1fLkKYAxrUrY3UscH/bIYCKp
7aUbzXG84rzlPAOHF382sEgMtfYuIGvB9F2MMgOVrtMle0R5jgZ2/8RC/V5jMMkV
gBzblejLj03vxWOgUDKeQvrq+hI3b/1d9LwkDkwhMMOLD9347eCEOOZ3+VFQHSjH
6wIDAQAB
-----END PUBLIC KEY-----
";

/// A token of `alice` that the RSA key signed with RS256, good until the year 2100.
pub const RSA_TOKEN: &str = "\
eyJhbGciOiAiUlMyNTYiLCAidHlwIjogIkpXVCJ9.eyJpc3MiOiAiaHR0cHM6Ly9pc3N1ZXIudGVzdCIsICJhdWQiOiAiYXJjcCI\
sICJzdWIiOiAiYWxpY2UiLCAiZXhwIjogNDEwMjQ0NDgwMH0.DwJI9vwlmJxuqEfUKJ_Oj4vGZkXvM22U45D9FnxmUQQZYd0GfY6\
EGHAB7ddT2_UJlaxO3N2LPRevXIYjwF3TNn4VD2VCxFeq-EGfL51XkHtch_HizBs2g24FUwG8sigLAwi2DdBRcbDgGc62jd1UnT0\
5l9zXijFTpzOuTTsr9ffvxe-jS6PyWMOcuG5vl-kKXU3TbvnXkACbqsmaAZCxvRBaJW1sLFfZ6s4Zegf1qB1kVX0CURHLaGLWjTP\
7fq4DrVNAUbqvdjWuYOnBnbsOHnSrMA9QcKQNQD2jsh0JBJoeQciClyUA5DS3of_IgjiOXodRLfhsQFDjAwx3udxUcw\
";
