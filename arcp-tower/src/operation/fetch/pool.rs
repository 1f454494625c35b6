//! The client, and how many connections it keeps.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use super::address::Addresses;
use super::connect::Guarded;
use super::limits::FetchLimits;
use super::resolve::{Checked, Resolve};
use crate::lock::lock;

pub(super) type Client = legacy::Client<HttpsConnector<Guarded>, Full<Bytes>>;

/// Keeps connections for the next request. hyper's pool is bounded for each host, and an agent can
/// name any number of hosts; so after some connections the pool is left behind with what is unused in
/// it, and a new one begins.
pub(super) struct Pool {
    resolver: Arc<dyn Resolve>,
    addresses: Arc<Addresses>,
    tls: ClientConfig,
    limits: FetchLimits,
    current: std::sync::Mutex<(Client, Arc<AtomicUsize>)>,
}

impl Pool {
    pub(super) fn new(
        resolver: Arc<dyn Resolve>,
        addresses: Addresses,
        tls: ClientConfig,
        limits: FetchLimits,
    ) -> Self {
        let addresses = Arc::new(addresses);
        let current = std::sync::Mutex::new(client(&resolver, &addresses, &tls, &limits));
        Self { resolver, addresses, tls, limits, current }
    }

    /// Another one with other bounds.
    pub(super) fn bounded(&self, limits: FetchLimits) -> Self {
        let (resolver, addresses, tls) = (self.resolver.clone(), self.addresses.clone(), self.tls.clone());
        let current = std::sync::Mutex::new(client(&resolver, &addresses, &tls, &limits));
        Self { resolver, addresses, tls, limits, current }
    }

    pub(super) fn client(&self) -> Client {
        let mut current = lock(&self.current);
        if current.1.load(Ordering::Relaxed) >= self.limits.idle_in_all {
            *current = client(&self.resolver, &self.addresses, &self.tls, &self.limits);
        }
        current.0.clone()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("addresses", &self.addresses)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What hyper needs at least to read the head of a response.
const LEAST_HEADER_BYTES: usize = 8 << 10;

fn client(
    resolver: &Arc<dyn Resolve>,
    addresses: &Arc<Addresses>,
    tls: &ClientConfig,
    limits: &FetchLimits,
) -> (Client, Arc<AtomicUsize>) {
    let opened = Arc::new(AtomicUsize::new(0));
    let mut tcp =
        HttpConnector::new_with_resolver(Checked::new(resolver.clone(), addresses.clone(), limits.addresses));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(limits.connect_timeout));
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls.clone())
        .https_or_http()
        .enable_http1()
        .wrap_connector(Guarded::new(tcp, addresses.clone(), opened.clone()));
    let client = legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(limits.idle)
        .pool_max_idle_per_host(limits.idle_per_host)
        .http1_max_buf_size(limits.header_bytes.max(LEAST_HEADER_BYTES))
        .http1_max_headers(limits.headers)
        .build(https);
    (client, opened)
}
