//! TLS of connections that the runtime opens itself.
//!
//! The provider is named here: one that a process has installed, or not, changes nothing, and none is
//! installed for it.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// The roots of the Web.
pub(crate) fn web_roots() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}

/// Adds the certificates of `pem`: `false` if there is none, or one that cannot be a root.
#[cfg(any(feature = "fetch", feature = "jwks"))]
pub(crate) fn trust(roots: &mut RootCertStore, pem: &[u8]) -> bool {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let before = roots.len();
    let all = CertificateDer::pem_slice_iter(pem).all(|read| read.is_ok_and(|root| roots.add(root).is_ok()));
    all && roots.len() > before
}

/// A client that trusts `roots`.
pub(crate) fn client(roots: RootCertStore) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    #[allow(clippy::expect_used)]
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the cipher suites of TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
