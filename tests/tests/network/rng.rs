//! Numbers that follow from a seed.

use std::ops::RangeInclusive;
use std::time::Duration;

/// `SplitMix64`: small, and the same everywhere.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xD134_2543_DE82_EF95))
    }

    /// Another one, that goes its own way.
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.next() % (range.end() - range.start() + 1)
    }

    pub fn bytes(&mut self, range: RangeInclusive<usize>) -> usize {
        self.within(*range.start() as u64..=*range.end() as u64) as usize
    }

    pub fn ms(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    /// `true` in one of `of` cases.
    pub fn one_in(&mut self, of: u64) -> bool {
        self.next().is_multiple_of(of)
    }
}

/// The seeds of a test: the first `count`, or so many times as many as `ARCP_NETWORK_MORE` says, or
/// the one that `ARCP_NETWORK_SEED` names.
pub fn seeds(count: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    match number("ARCP_NETWORK_SEED") {
        Some(seed) => vec![seed],
        None => (0..count * number("ARCP_NETWORK_MORE").unwrap_or(1)).collect(),
    }
}

/// Says which seed it was when a test fails.
#[derive(Debug)]
pub struct Said(pub u64);

impl Drop for Said {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("again with ARCP_NETWORK_SEED={}", self.0);
        }
    }
}
