//! Opening a connection, to an address that was checked.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::address::Addresses;
use super::fault::Fault;
use super::resolve::Checked;
use crate::BoxError;

/// Connects to checked addresses. `inner` resolves by [`Checked`] and connects to what that gave; a
/// literal address passes no resolver, so it is checked here.
#[derive(Debug, Clone)]
pub(super) struct Guarded {
    inner: HttpConnector<Checked>,
    addresses: Arc<Addresses>,
    opened: Arc<AtomicUsize>,
}

impl Guarded {
    /// `opened` counts connections.
    pub(super) fn new(
        inner: HttpConnector<Checked>,
        addresses: Arc<Addresses>,
        opened: Arc<AtomicUsize>,
    ) -> Self {
        Self { inner, addresses, opened }
    }
}

/// The address that a URL's host is, if it is one.
fn literal(uri: &Uri) -> Option<IpAddr> {
    let host = uri.host()?;
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

impl Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(BoxError::from)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        if literal(&uri).is_some_and(|address| !self.addresses.allow_to(address)) {
            return Box::pin(async { Err(Fault::Address.into()) });
        }
        let (connecting, addresses, opened) =
            (self.inner.call(uri), self.addresses.clone(), self.opened.clone());
        Box::pin(async move {
            let stream = connecting.await?;
            opened.fetch_add(1, Ordering::Relaxed);
            // Whatever led here: nothing is sent to an address that is not allowed.
            if !addresses.allow_to(stream.inner().peer_addr()?.ip()) {
                return Err(Fault::Address.into());
            }
            Ok(stream)
        })
    }
}
