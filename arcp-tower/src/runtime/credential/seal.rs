//! Secrets at rest (§14): sealed, and bound to what they belong to.

use arcp_core::store::{CredentialRow, Hash};
use arcp_core::wire::credential::Credential;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::random;

/// Bytes of a nonce. They are random, and enough never to be the same twice.
const NONCE: usize = 24;

/// Seals credentials with a key of the store's secret and, if there is one, of the operator's. Who has
/// the store only can open them unless there is one.
pub(super) struct Seal(XChaCha20Poly1305);

impl Seal {
    pub(super) fn new(secret: &Hash, operator: Option<&Hash>) -> Self {
        let parts = Sha256::new().chain_update(secret).chain_update(operator.unwrap_or(&[0; 32]));
        let key = Zeroizing::new(<[u8; 32]>::from(parts.chain_update(b"credentials").finalize()));
        Self(XChaCha20Poly1305::new(Key::from_slice(&*key)))
    }

    /// `credential`, for `row` and no other.
    pub(super) fn seal(&self, row: &CredentialRow, credential: &Credential) -> Option<Vec<u8>> {
        let text = Zeroizing::new(serde_json::to_vec(&credential.revealed()).ok()?);
        let mut sealed = Vec::with_capacity(NONCE + text.len() + 16);
        sealed.extend(random::secret().iter().take(NONCE));
        let nonce = XNonce::clone_from_slice(&sealed);
        sealed.extend(self.0.encrypt(&nonce, Payload { msg: &text, aad: place(row).as_bytes() }).ok()?);
        Some(sealed)
    }

    /// What was sealed for `row`; `None` if it was not, or with another key.
    pub(super) fn open(&self, row: &CredentialRow) -> Option<Credential> {
        let (nonce, text) = row.sealed.as_ref()?.split_at_checked(NONCE)?;
        let place = place(row);
        let payload = Payload { msg: text, aad: place.as_bytes() };
        let text = Zeroizing::new(self.0.decrypt(XNonce::from_slice(nonce), payload).ok()?);
        serde_json::from_slice(&text).ok()
    }
}

/// Where a sealed secret is valid.
fn place(row: &CredentialRow) -> String {
    format!("{}\n{}\n{}\n{}", row.name, row.id, row.job, row.principal)
}

/// The names of credentials: what nobody who lacks the secret can make up, and what all of one store
/// begin with.
pub(super) struct Names {
    secret: Hash,
    prefix: String,
}

impl Names {
    pub(super) fn new(secret: &Hash) -> Self {
        let own = digest(secret, &["prefix"]);
        Self { secret: *secret, prefix: format!("arcp-{}-", &own[..10]) }
    }

    /// What the names of this store's credentials begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The name of a job's credential, in the place of `before` if it is rotated.
    pub(super) fn name(&self, job: &str, profile: &str, before: &str) -> String {
        format!("{}{}", self.prefix, digest(&self.secret, &["name", job, profile, before]))
    }
}

fn digest(secret: &Hash, parts: &[&str]) -> String {
    let mut hash = Sha256::new().chain_update(secret).chain_update(b"credential");
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let hash = hash.finalize();
    let bits = hash.iter().take(16).fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
    arcp_core::id::crockford(bits).map(|c| char::from(c).to_ascii_lowercase()).iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arcp_core::id::CredentialId;
    use arcp_core::store::CredentialState;
    use arcp_core::wire::credential::Secret;
    use arcp_core::{JobId, Timestamp};

    fn row() -> CredentialRow {
        let now = Timestamp::from_millis(0);
        CredentialRow {
            name: "arcp-1".into(),
            id: CredentialId::from_bits(1),
            job: JobId::from_bits(1),
            principal: "ada".into(),
            profile: "openai".into(),
            state: CredentialState::Live,
            since: now,
            owner: 1,
            handle: None,
            sealed: None,
            due: None,
            tries: 0,
            error: None,
            created_at: now,
        }
    }

    #[test]
    fn a_sealed_secret_opens_with_both_keys_and_in_its_own_row_only() {
        let credential = Credential::bearer(row().id, Secret::new("sk-canary"), "https://g/v1");
        let seal = |operator: Option<&Hash>| Seal::new(&[1; 32], operator);
        let sealed = seal(Some(&[2; 32])).seal(&row(), &credential).unwrap();
        assert!(!String::from_utf8_lossy(&sealed).contains("sk-canary"));
        let stored = CredentialRow { sealed: Some(sealed), ..row() };
        assert_eq!(seal(Some(&[2; 32])).open(&stored), Some(credential));
        assert!(seal(None).open(&stored).is_none(), "the store's secret is not enough");
        assert!(Seal::new(&[3; 32], Some(&[2; 32])).open(&stored).is_none());
        let moved = CredentialRow { job: JobId::from_bits(2), ..stored };
        assert!(seal(Some(&[2; 32])).open(&moved).is_none(), "it is another job's row");
    }

    #[test]
    fn names_are_the_same_for_the_same_job_and_different_for_all_else() {
        let names = Names::new(&[1; 32]);
        let name = names.name("job_1", "openai", "");
        assert_eq!(name, Names::new(&[1; 32]).name("job_1", "openai", ""));
        assert!(name.starts_with(names.prefix()) && name.len() == 16 + 26);
        for other in [
            names.name("job_2", "openai", ""),
            names.name("job_1", "anthropic", ""),
            names.name("job_1", "openai", &name),
            names.name("job_1o", "penai", ""),
            Names::new(&[2; 32]).name("job_1", "openai", ""),
        ] {
            assert_ne!(name, other);
        }
    }
}
