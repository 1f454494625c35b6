//! What a token says of itself, before anything is believed.

use jsonwebtoken::{Algorithm, decode_header};

use super::MAX_TOKEN;

/// The longest `kid`, in bytes.
const MAX_KID: usize = 256;

/// The key that a token names. Nothing else is taken from its header: not the key itself, and not
/// where it might be found.
pub(super) struct Named {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
}

impl Named {
    /// Reads a token's header.
    ///
    /// # Errors
    /// Why it is none that is looked at any further; for the log.
    pub(super) fn of(token: &str) -> Result<Self, &'static str> {
        if token.len() > MAX_TOKEN {
            return Err("it is too long");
        }
        if token.bytes().filter(|byte| *byte == b'.').count() != 2 {
            return Err("it has not three parts");
        }
        // `none` is no algorithm of the library's, and so ends here.
        let header = decode_header(token).map_err(|_| "its header cannot be read")?;
        if header.crit.is_some() {
            return Err("its header has critical extensions");
        }
        if header.jwk.is_some() || header.jku.is_some() || header.x5u.is_some() || header.x5c.is_some() {
            return Err("its header brings a key with it");
        }
        if header.kid.as_deref().is_some_and(|kid| !is_kid(kid)) {
            return Err("its kid is none");
        }
        Ok(Self { algorithm: header.alg, kid: header.kid })
    }
}

/// Whether a text is a name of a key as issuers give them: base64 in both alphabets, UUIDs,
/// `public:name`. A path, a URL or a piece of SQL is none, and nobody is asked for it.
pub(in crate::auth) fn is_kid(kid: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:+/=@".contains(&byte);
    (1..=MAX_KID).contains(&kid.len())
        && kid.bytes().all(letter)
        && !kid.starts_with('/')
        && !["..", "//", "--"].iter().any(|part| kid.contains(part))
}

#[cfg(test)]
mod tests {
    use super::is_kid;

    #[test]
    fn names_of_keys_are_known_from_paths_urls_and_sql() {
        for kid in [
            "1",
            "Ux2p-_9",
            "abc/def+ghi=",
            "3f1c8f0e-6f5b-4a51-9d0c-2b1a7b7a3c11",
            "public:hydra.openid.id-token",
            &"k".repeat(256),
        ] {
            assert!(is_kid(kid), "{kid}");
        }
        for none in [
            "",
            "../../etc/passwd",
            "/dev/null",
            "https://evil.test/keys",
            "x' OR '1'='1",
            "1; DROP TABLE keys",
            "a--",
            "a b",
            "ключ",
            "a\0b",
            &"k".repeat(257),
        ] {
            assert!(!is_kid(none), "{none}");
        }
    }
}
