//! TLS of the server.

use std::path::PathBuf;

/// TLS.
#[derive(Debug, clap::Args)]
pub(crate) struct Tls {
    /// Serve over TLS with this certificate, as PEM, with those between it and its root after it. It is
    /// read again on SIGHUP.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
}
