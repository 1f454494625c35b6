//! The WebSocket upgrade: a service that any host on hyper can mount, axum among them.

mod allow;
mod connection;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use arcp_core::transport::WebSocket;
use bytes::Bytes;
use http::{Extensions, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tower_service::Service;

pub use allow::{Host, NotAllowable, Origin};

use connection::Connection;

use crate::config::Config;
use crate::service::{HttpInfo, Mount};

/// Upgrades requests, and serves each WebSocket with a clone of the connection service.
///
/// HTTP/1.1 upgrades and HTTP/2 extended CONNECT (RFC 8441) are taken; a server on hyper announces the
/// latter with `http2().enable_connect_protocol()`. What the host's middleware
/// put into the request's extensions reaches every layer, with the target and the headers as
/// [`HttpInfo`].
///
/// The peer's address is a [`SocketAddr`](std::net::SocketAddr) among them, in every host. Who accepts
/// connections knows it, and on hyper that is the program itself:
///
/// ```
/// use std::net::SocketAddr;
///
/// use arcp_tower::upgrade::Upgrade;
/// use arcp_tower::{Mount, Service};
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use hyper::body::Incoming;
///
/// /// The service of one connection: best made anew for each, with its `peer`.
/// fn connection<M: Mount>(
///     upgrade: Upgrade<M>,
///     peer: SocketAddr,
/// ) -> impl hyper::service::Service<Request<Incoming>, Response = Response<Full<Bytes>>> {
///     hyper::service::service_fn(move |mut request: Request<Incoming>| {
///         request.extensions_mut().insert(peer);
///         upgrade.clone().call(request)
///     })
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Upgrade<M> {
    make: M,
    config: Arc<Config>,
}

impl<M> Upgrade<M> {
    /// Serves with `make` and the default bounds.
    pub fn new(make: M) -> Self {
        Self::with_config(make, Config::default())
    }

    /// Serves with `make` and `config`, which the runtime was best built with too.
    pub fn with_config(make: M, config: impl Into<Arc<Config>>) -> Self {
        Self { make, config: config.into() }
    }
}

impl<M: Mount, B> Service<Request<B>> for Upgrade<M> {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let answer = match self.answer(&request) {
            Ok(answer) => answer.map(|()| Full::default()),
            Err(refusal) => return ready(Ok(*refusal)),
        };
        let upgrade = hyper::upgrade::on(&mut request);
        let (parts, _) = request.into_parts();
        let mut extensions = parts.extensions;
        extensions.insert(HttpInfo::copied(&parts.uri, &parts.headers));
        let serving = self.clone();
        self.config.tracker.spawn(async move {
            match upgrade.await {
                Ok(io) => serving.serve(Connection::from(io), extensions).await,
                Err(error) => tracing::debug!(%error, "the upgrade failed"),
            }
        });
        ready(Ok(answer))
    }
}

impl<M: Mount> Upgrade<M> {
    /// The head of the answer to a request: for hosts that are not on hyper. With it the connection
    /// becomes a byte stream, for [`Upgrade::serve`].
    ///
    /// # Errors
    /// The whole answer, if the request is not an upgrade, or not one that is let in.
    pub fn answer<B>(&self, request: &Request<B>) -> Result<Response<()>, Box<Response<Full<Bytes>>>> {
        if let Some((status, why)) = allow::refusal(&self.config, request.uri(), request.headers()) {
            return Err(Box::new(plain(status, why)));
        }
        let accept = accept_key(request).map_err(|(status, why)| Box::new(plain(status, why)))?;
        if self.config.door.is_shut() || self.config.shutdown.is_cancelled() {
            return Err(Box::new(plain(StatusCode::SERVICE_UNAVAILABLE, "the runtime is stopping")));
        }
        let mut response = Response::new(());
        let headers = response.headers_mut();
        if let Some(protocol) = protocol(request) {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        if let Some(accept) = accept {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        }
        Ok(response)
    }

    /// Serves the connection that an upgraded request became, until it is closed. `extensions` are for
    /// the layers; an [`HttpInfo`] should be among them.
    pub async fn serve<T>(self, io: T, mut extensions: Extensions)
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        crate::telemetry::observed(&mut extensions);
        let ws = WebSocket::server(io, self.config.ws_limits()).await;
        crate::serve(ws, self.make, extensions, self.config).await;
    }
}

/// The first protocol that the client offers and that is this one. A browser that offers some, and is
/// answered with none, gives up.
fn protocol<B>(request: &Request<B>) -> Option<&'static str> {
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut offered = offered.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    offered.find_map(|offer| ["arcp.v1.1", "arcp.v1"].into_iter().find(|known| *known == offer.trim()))
}

/// The accept key of an HTTP/1.1 upgrade; none for an extended CONNECT.
fn accept_key<B>(request: &Request<B>) -> Result<Option<HeaderValue>, (StatusCode, &'static str)> {
    let says = |name: header::HeaderName, token: &str| {
        let values = request.headers().get_all(name);
        let mut words = values.iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
        words.any(|word| word.trim().eq_ignore_ascii_case(token))
    };
    if !says(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err((StatusCode::UPGRADE_REQUIRED, "ARCP needs a WebSocket, version 13"));
    }
    if request.method() == Method::CONNECT {
        return match request.extensions().get::<hyper::ext::Protocol>() {
            Some(protocol) if protocol.as_str() == "websocket" => Ok(None),
            _ => Err((StatusCode::BAD_REQUEST, "ARCP needs :protocol websocket")),
        };
    }
    let upgrades = says(header::CONNECTION, "upgrade") && says(header::UPGRADE, "websocket");
    if request.method() != Method::GET || !upgrades {
        return Err((StatusCode::UPGRADE_REQUIRED, "ARCP needs a WebSocket upgrade"));
    }
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    let key = key.ok_or((StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing"))?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
        .map(Some)
        .map_err(|_| (StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is no key"))
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    if status == StatusCode::UPGRADE_REQUIRED {
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    response
}
