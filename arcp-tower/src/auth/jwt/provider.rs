//! Who does the cryptography.

/// Installs the provider that the crate's features name. It has to be there before the first key:
/// where the features of a program add up to several, `jsonwebtoken` chooses none by itself, and
/// panics. Naming the module makes a missing feature an error of the compiler. One that the host
/// installed before stays.
pub(super) fn install() {
    #[cfg(feature = "jwt-aws-lc-rs")]
    let provider = &jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
    #[cfg(not(feature = "jwt-aws-lc-rs"))]
    let provider = &jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
    let _ = provider.install_default();
}
