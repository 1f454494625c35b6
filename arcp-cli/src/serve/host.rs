//! The web server that the route is mounted in.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::{App, HttpServer};
use arcp_tower::upgrade::Upgrade;
use arcp_tower::{Config, Mount, Service as _};
use axum::Router;
use axum::body::Body;
use axum::serve::{Listener, ListenerExt as _};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::ServerConfig;
use tower::util::BoxCloneService;
use tower::{ServiceBuilder, service_fn};
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::TraceLayer;

use super::around::{cors, span};
use super::connections;
use super::tls::TlsListener;
use crate::args::Server;

/// Where the runtime is mounted. Some clients ask for the address alone.
const PATHS: [&str; 2] = ["/arcp", "/"];
/// Bytes of a request's body. An upgrade has none, and nobody reads another's.
const BODY: usize = 1024;

/// Serves the runtime in the web server that was asked for, over TLS if there is a configuration for it,
/// until the runtime is stopped.
pub(super) async fn serve(
    server: Server,
    listener: TcpListener,
    tls: Option<ServerConfig>,
    mount: impl Mount + Sync,
    config: &Config,
) -> io::Result<()> {
    match (server, tls) {
        (Server::Actix, tls) => actix(listener, tls, mount, config).await,
        (Server::Axum, None) => axum(listener.tap_io(|io| prompt(io)), mount, config).await,
        (Server::Axum, Some(tls)) => axum(TlsListener::new(listener, tls), mount, config).await,
        (Server::Hyper, None) => hyper(listener.tap_io(|io| prompt(io)), mount, config).await,
        (Server::Hyper, Some(tls)) => hyper(TlsListener::new(listener, tls), mount, config).await,
    }
}

/// The routes of an axum app, with what a host has around its routes.
pub(crate) fn router(mount: impl Mount + Sync, config: &Config) -> Router {
    let around = ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(TraceLayer::new_for_http().make_span_with(span))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(cors(&config.allowed_origins))
        .layer(RequestBodyLimitLayer::new(BODY));
    let route = arcp_axum::handler_with(mount, config.clone());
    PATHS.into_iter().fold(Router::new(), |app, path| app.route(path, route.clone())).layer(around)
}

/// Serves an axum app until the runtime is stopped. Not with `axum::serve`: that waits for ever for a
/// request.
async fn axum(
    listener: impl Listener<Addr = SocketAddr>,
    mount: impl Mount + Sync,
    config: &Config,
) -> io::Result<()> {
    connections::serve(listener, BoxCloneService::new(router(mount, config)), config).await
}

/// Serves an actix-web app until the runtime is stopped.
async fn actix(
    listener: TcpListener,
    tls: Option<ServerConfig>,
    mount: impl Mount + Sync,
    config: &Config,
) -> io::Result<()> {
    let bounds = config.clone();
    let app = move || {
        let route = |path| (path, arcp_actix::handler_with(mount.clone(), bounds.clone()));
        PATHS.map(route).into_iter().fold(App::new(), |app, (path, route)| app.route(path, route))
    };
    // Signals are for the drain. A WebSocket's end is agreed on: nobody is to wait for more of it.
    let server = HttpServer::new(app).tcp_nodelay(true).disable_signals().shutdown_timeout(1);
    let server = server.client_disconnect_timeout(Duration::ZERO);
    let listener = listener.into_std()?;
    let server = match tls {
        Some(mut tls) => {
            // actix-web has no WebSocket over HTTP/2.
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
            server.listen_rustls_0_23(listener, tls)?
        }
        None => server.listen(listener)?,
    };
    let server = server.run();
    let (stop, shutdown) = (server.handle(), config.shutdown.clone());
    tokio::spawn(async move {
        shutdown.cancelled().await;
        stop.stop(true).await;
    });
    server.await
}

/// Serves on hyper alone, over HTTP/1.1 and HTTP/2, until the runtime is stopped.
async fn hyper(
    listener: impl Listener<Addr = SocketAddr>,
    mount: impl Mount + Sync,
    config: &Config,
) -> io::Result<()> {
    let upgrade = Upgrade::with_config(mount, config.clone());
    let answers = BoxCloneService::new(service_fn(move |request| answer(upgrade.clone(), request)));
    connections::serve(listener, answers, config).await
}

async fn answer<M: Mount>(
    mut upgrade: Upgrade<M>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    if PATHS.contains(&request.uri().path()) {
        return upgrade.call(request).await.map(|answer| answer.map(Body::new));
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_FOUND;
    Ok(response)
}

/// Frames are gathered before they are written; waiting for more would only delay them.
fn prompt(io: &TcpStream) {
    let _ = io.set_nodelay(true);
}
