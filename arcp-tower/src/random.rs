//! Random bits from the operating system.

/// 128 random bits: an id that nobody can guess.
///
/// # Panics
/// If the operating system has no randomness. Going on without would give ids away.
pub(crate) fn bits() -> u128 {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    u128::from_ne_bytes(bytes)
}

/// A session's secret.
pub(crate) fn secret() -> [u8; 32] {
    let mut bytes = [0; 32];
    fill(&mut bytes);
    bytes
}

fn fill(bytes: &mut [u8]) {
    #[allow(clippy::expect_used)]
    getrandom::fill(bytes).expect("the operating system provides randomness");
}
