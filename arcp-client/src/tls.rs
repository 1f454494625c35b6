//! TLS of `wss:` addresses.
//!
//! The provider is named here: one that a process has installed, or not, changes nothing, and none is
//! installed for it.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::ConnectError;

/// Whom a client trusts: the roots of the Web, and those of PEM texts.
#[derive(Clone)]
pub(crate) struct Tls(TlsConnector);

impl Tls {
    pub(crate) fn trusting(pems: &[Vec<u8>]) -> Result<Self, ConnectError> {
        let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        for pem in pems {
            let before = roots.len();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|_| ConnectError::RootCertificate)?;
                roots.add(certificate).map_err(|_| ConnectError::RootCertificate)?;
            }
            if roots.len() == before {
                return Err(ConnectError::RootCertificate);
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = config
            .map_err(|e| ConnectError::Io(io::Error::other(e)))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Encrypts a connection to `host`, once its certificate was found to be its own.
    pub(crate) async fn connect(
        &self,
        host: &str,
        io: TcpStream,
    ) -> Result<TlsStream<TcpStream>, ConnectError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ConnectError::Url)?;
        Ok(self.0.connect(name, io).await?)
    }
}
