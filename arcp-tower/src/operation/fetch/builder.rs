//! What an operator says about requests.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::Fetcher;
use super::address::Addresses;
use super::limits::FetchLimits;
use super::pool::Pool;
use super::resolve::{Resolve, SystemResolver};

/// Makes a [`Fetcher`].
#[must_use]
pub struct FetcherBuilder {
    addresses: Addresses,
    roots: RootCertStore,
    resolver: Arc<dyn Resolve>,
    limits: Option<FetchLimits>,
}

/// The text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a network such as 10.0.0.0/8 or fd00::/8, or an address")]
pub struct InvalidNetwork;

/// The text holds no certificate that can be a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one or more certificates as PEM")]
pub struct InvalidRoots;

impl Default for FetcherBuilder {
    fn default() -> Self {
        Self {
            addresses: Addresses::default(),
            roots: webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
            resolver: Arc::new(SystemResolver),
            limits: None,
        }
    }
}

impl std::fmt::Debug for FetcherBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FetcherBuilder")
            .field("addresses", &self.addresses)
            .field("roots", &self.roots.len())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl FetcherBuilder {
    /// Allows loopback, private and unique-local addresses and those that carriers share. Link-local
    /// ones stay refused, since there clouds keep a machine's credentials.
    pub fn allow_private(mut self) -> Self {
        self.addresses.allow_private();
        self
    }

    /// Allows a network or an address, whatever it is.
    ///
    /// # Errors
    /// If it is neither.
    pub fn allow(mut self, network: &str) -> Result<Self, InvalidNetwork> {
        let network = network.parse::<IpNet>().or_else(|_| network.parse::<IpAddr>().map(IpNet::from));
        self.addresses.allow(network.map_err(|_| InvalidNetwork)?);
        Ok(self)
    }

    /// Trusts the certificates of `pem`, beside the roots of the Web.
    ///
    /// # Errors
    /// If there is none, or one that cannot be a root.
    pub fn trust_pem(mut self, pem: &[u8]) -> Result<Self, InvalidRoots> {
        let before = self.roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            self.roots.add(certificate.map_err(|_| InvalidRoots)?).map_err(|_| InvalidRoots)?;
        }
        if self.roots.len() == before {
            return Err(InvalidRoots);
        }
        Ok(self)
    }

    /// Asks `resolver` for the addresses of names.
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// With bounds of its own, instead of those of [`Config::fetch`](crate::Config::fetch).
    pub fn limits(mut self, limits: FetchLimits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// The fetcher.
    pub fn build(self) -> Fetcher {
        // The provider is named here: one that a process has installed, or not, changes nothing.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        #[allow(clippy::expect_used)]
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of TLS 1.2 and 1.3")
            .with_root_certificates(self.roots)
            .with_no_client_auth();
        let limits = self.limits.unwrap_or_default();
        let pool = Pool::new(self.resolver, self.addresses, tls, limits);
        Fetcher::build(pool, limits, self.limits.is_some())
    }
}
