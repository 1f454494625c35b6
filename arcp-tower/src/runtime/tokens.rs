//! Resume tokens (§6.3): a new one with every welcome, kept as digests only.

use arcp_core::store::Hash;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::random;

/// The tokens of a session that work: the newest, and the one that was presented for it until a
/// message arrives under the newest. A welcome may get lost, and must not lock its client out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) current: Hash,
    pub(crate) previous: Option<Hash>,
}

impl Tokens {
    /// The first token of a session, and its text.
    pub(crate) fn first() -> (Self, String) {
        let text = mint();
        (Self { current: digest(&text), previous: None }, text)
    }

    /// Whether `presented` works. Both are compared, in constant time.
    pub(crate) fn accept(&self, presented: &Hash) -> bool {
        let current = self.current.ct_eq(presented);
        let previous = self.previous.unwrap_or(self.current).ct_eq(presented);
        bool::from(current | previous)
    }

    /// The tokens after a welcome for `presented`, and the new one's text.
    pub(crate) fn rotate(presented: Hash) -> (Self, String) {
        let text = mint();
        (Self { current: digest(&text), previous: Some(presented) }, text)
    }
}

/// What is kept of a token.
pub(crate) fn digest(token: &str) -> Hash {
    Sha256::digest(token).into()
}

/// 256 random bits.
fn mint() -> String {
    let bits = |bits: u128| arcp_core::id::crockford(bits).map(char::from);
    "rt_".chars().chain(bits(random::bits())).chain(bits(random::bits())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presented_token_goes_on_working_beside_the_new_one() {
        let (first, a) = Tokens::first();
        assert!(first.accept(&digest(&a)) && !first.accept(&digest("rt_other")));
        let (second, b) = Tokens::rotate(digest(&a));
        assert!(second.accept(&digest(&a)) && second.accept(&digest(&b)));
        let confirmed = Tokens { previous: None, ..second };
        assert!(!confirmed.accept(&digest(&a)) && confirmed.accept(&digest(&b)));
    }
}
