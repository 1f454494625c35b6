//! The cursors of listings (§6.6): sealed places, which say nothing to those who carry them.

use arcp_core::store::{Hash, Position};
use arcp_core::{Error, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};

use crate::random;

/// Bytes of a nonce. They are random, and enough never to be the same twice.
const NONCE: usize = 24;

/// Seals places, for one principal and one filter: a cursor of somebody else, or of another listing,
/// is none.
pub(super) struct Cursors {
    cipher: XChaCha20Poly1305,
    scope: String,
}

impl Cursors {
    /// Cursors of `scope`; whoever has the secret can read them, in another process too.
    pub(super) fn new(secret: &Hash, scope: String) -> Self {
        let key = Sha256::new().chain_update(secret).chain_update(b"cursors").finalize();
        Self { cipher: XChaCha20Poly1305::new(&Key::from(<[u8; 32]>::from(key))), scope }
    }

    /// The cursor of the page behind `at`.
    pub(super) fn write(&self, at: &Position) -> Option<String> {
        let mut sealed = Vec::with_capacity(128);
        sealed.extend(random::secret().iter().take(NONCE));
        let place = format!("{}.{}", at.created_at.as_millis(), at.job);
        let payload = Payload { msg: place.as_bytes(), aad: self.scope.as_bytes() };
        let text = self.cipher.encrypt(XNonce::from_slice(&sealed), payload).ok()?;
        sealed.extend(text);
        Some(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The place of a cursor.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if it is none of this scope.
    pub(super) fn read(&self, cursor: &str) -> Result<Position, Error> {
        self.open(cursor).ok_or_else(|| {
            Error::fault("payload.cursor", "must be the next_cursor of the page before, unchanged")
        })
    }

    fn open(&self, cursor: &str) -> Option<Position> {
        let sealed = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (nonce, text) = sealed.split_at_checked(NONCE)?;
        let payload = Payload { msg: text, aad: self.scope.as_bytes() };
        let place = self.cipher.decrypt(XNonce::from_slice(nonce), payload).ok()?;
        let (millis, job) = std::str::from_utf8(&place).ok()?.split_once('.')?;
        let created_at = Timestamp::from_millis(millis.parse().ok()?);
        Some(Position { created_at, job: job.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arcp_core::JobId;

    fn place() -> Position {
        Position { created_at: Timestamp::from_millis(1_800_000_000_000), job: JobId::from_bits(7) }
    }

    #[test]
    fn a_cursor_is_read_by_whoever_has_the_secret_and_in_its_scope_only() {
        let cursor = Cursors::new(&[1; 32], "ada\n{}".into()).write(&place()).unwrap();
        assert_eq!(Cursors::new(&[1; 32], "ada\n{}".into()).read(&cursor).unwrap(), place());
        for (secret, scope) in [([2; 32], "ada\n{}"), ([1; 32], "bob\n{}"), ([1; 32], "ada\n{1}")] {
            assert!(Cursors::new(&secret, scope.into()).read(&cursor).is_err());
        }
    }

    #[test]
    fn a_cursor_shows_no_place_and_is_never_the_same_twice() {
        let cursors = Cursors::new(&[1; 32], "ada".into());
        let (a, b) = (cursors.write(&place()).unwrap(), cursors.write(&place()).unwrap());
        assert_ne!(a, b);
        let bytes = URL_SAFE_NO_PAD.decode(&a).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("1800000000000") && !text.contains(place().job.as_str()));
    }

    #[test]
    fn every_changed_byte_and_every_garbage_is_refused() {
        let cursors = Cursors::new(&[1; 32], "ada".into());
        let cursor = cursors.write(&place()).unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            assert!(cursors.read(&URL_SAFE_NO_PAD.encode(bytes)).is_err());
        }
        for garbage in ["", "x", "!!!", "AAAA", &"A".repeat(10_000)] {
            assert!(cursors.read(garbage).is_err());
        }
    }
}
