//! From a host's name to addresses, all of them checked.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use super::address::Addresses;
use super::fault::Fault;
use crate::BoxError;

/// What a resolver is waiting for.
pub type Resolved = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of a host. It need not be trusted: what it says is checked, and it is asked
/// once for a connection.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of `host`, in the order in which they should be tried.
    fn resolve(&self, host: &str) -> Resolved;
}

/// The system's resolver (`getaddrinfo`), on a thread for blocking work.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str) -> Resolved {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Gives addresses that may be reached, or none. A name with a forbidden address among others is
/// refused as a whole: public names do not have those.
#[derive(Clone)]
pub(super) struct Checked {
    resolver: Arc<dyn Resolve>,
    addresses: Arc<Addresses>,
    /// So many are tried.
    most: usize,
}

impl Checked {
    pub(super) fn new(resolver: Arc<dyn Resolve>, addresses: Arc<Addresses>, most: usize) -> Self {
        Self { resolver, addresses, most }
    }
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Service<Name> for Checked {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (found, addresses) = (self.resolver.resolve(name.as_str()), self.addresses.clone());
        let most = self.most.max(1);
        Box::pin(async move {
            let mut found = found.await.map_err(|_| Fault::Dns)?;
            if found.is_empty() {
                return Err(Fault::Dns.into());
            }
            if !found.iter().all(|address| addresses.allow_to(*address)) {
                return Err(Fault::Address.into());
            }
            found.truncate(most);
            // The connector puts the port of the URL in.
            let found: Vec<_> = found.into_iter().map(|address| SocketAddr::new(address, 0)).collect();
            Ok(found.into_iter())
        })
    }
}
