//! The peer's address, from where axum has it to where layers and agents look for it.

use std::net::SocketAddr;
use std::task::{Context, Poll};

use arcp_tower::Service;
use axum::extract::{ConnectInfo, Request};

/// Puts the peer's address among the extensions of a request, unless there is one.
#[derive(Debug, Clone)]
pub(crate) struct Addressed<S>(S);

impl<S> Addressed<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self(inner)
    }
}

impl<S: Service<Request>> Service<Request> for Addressed<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> S::Future {
        let extensions = request.extensions_mut();
        if let Some(&ConnectInfo(peer)) = extensions.get::<ConnectInfo<SocketAddr>>() {
            extensions.get_or_insert(peer);
        }
        self.0.call(request)
    }
}
