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

    /// The tokens after a welcome for `presented`, and the new one's text. One process always lets
    /// the same token follow another: a resume that was given up, and is dealt with late, must not
    /// make void what a later one with the same token was given.
    pub(crate) fn rotate(presented: Hash, secret: &[u8; 32]) -> (Self, String) {
        let text = successor(presented, secret);
        (Self { current: digest(&text), previous: Some(presented) }, text)
    }
}

/// What is kept of a token.
pub(crate) fn digest(token: &str) -> Hash {
    Sha256::digest(token).into()
}

/// 256 random bits.
fn mint() -> String {
    text([random::bits(), random::bits()])
}

/// 256 bits that nobody without the secret can tell from random ones.
fn successor(presented: Hash, secret: &[u8; 32]) -> String {
    // All parts have a fixed length, so what is hashed cannot be read in two ways.
    let hash = Sha256::new().chain_update(secret).chain_update(b"resume token").chain_update(presented);
    let mut halves = [0; 2];
    for (half, bytes) in halves.iter_mut().zip(hash.finalize().chunks_exact(16)) {
        *half = bytes.iter().fold(0, |bits: u128, byte| bits << 8 | u128::from(*byte));
    }
    text(halves)
}

fn text(halves: [u128; 2]) -> String {
    let halves = halves.into_iter().flat_map(arcp_core::id::crockford);
    "rt_".chars().chain(halves.map(char::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [7; 32];

    #[test]
    fn a_token_that_is_presented_again_is_followed_by_the_same_one() {
        let (_, a) = Tokens::first();
        let (second, b) = Tokens::rotate(digest(&a), &SECRET);
        assert_eq!(Tokens::rotate(digest(&a), &SECRET), (second, b.clone()));
        let (_, c) = Tokens::rotate(digest(&b), &SECRET);
        assert!(b != c && Tokens::rotate(digest(&a), &[8; 32]).1 != b);
        assert_eq!(b.len(), a.len());
    }

    #[test]
    fn t13_a_token_is_compared_as_a_whole_digest_with_both_that_work() {
        let (current, previous) = ([1; 32], [2; 32]);
        let tokens = Tokens { current, previous: Some(previous) };
        for known in [current, previous] {
            assert!(tokens.accept(&known));
            for bit in 0..256 {
                let mut other = known;
                other[bit / 8] ^= 1 << (bit % 8);
                assert!(!tokens.accept(&other), "bit {bit}");
            }
        }
    }

    #[test]
    fn the_presented_token_goes_on_working_beside_the_new_one() {
        let (first, a) = Tokens::first();
        assert!(first.accept(&digest(&a)) && !first.accept(&digest("rt_other")));
        let (second, b) = Tokens::rotate(digest(&a), &SECRET);
        assert!(second.accept(&digest(&a)) && second.accept(&digest(&b)));
        let confirmed = Tokens { previous: None, ..second };
        assert!(!confirmed.accept(&digest(&a)) && confirmed.accept(&digest(&b)));
    }
}
