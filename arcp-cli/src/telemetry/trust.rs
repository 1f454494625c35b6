//! TLS of the way to a collector.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Whom a collector at `https://` is trusted by: the roots of the Web, and those of a file.
#[derive(Debug)]
pub(super) struct Trust {
    roots: RootCertStore,
    pem: Vec<u8>,
}

impl Trust {
    pub(super) fn of(file: Option<&Path>) -> anyhow::Result<Self> {
        let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        let Some(file) = file else { return Ok(Self { roots, pem: Vec::new() }) };
        let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let of_the_web = roots.len();
        let all =
            CertificateDer::pem_slice_iter(&pem).all(|read| read.is_ok_and(|root| roots.add(root).is_ok()));
        anyhow::ensure!(all && roots.len() > of_the_web, "{} has no root certificates", file.display());
        Ok(Self { roots, pem })
    }

    /// For gRPC.
    pub(super) fn grpc(&self) -> ClientTlsConfig {
        let config = ClientTlsConfig::new().with_enabled_roots();
        if self.pem.is_empty() { config } else { config.ca_certificate(Certificate::from_pem(&self.pem)) }
    }

    /// For requests over HTTP.
    pub(super) fn http(self) -> anyhow::Result<HttpsConnector<HttpConnector>> {
        // The provider is named here: none is installed for the process.
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots)
            .with_no_client_auth();
        Ok(HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build())
    }
}
