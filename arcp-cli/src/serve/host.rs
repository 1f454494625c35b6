//! The web server that the route is mounted in.

use std::convert::Infallible;
use std::io;

use actix_web::{App, HttpServer};
use arcp_tower::upgrade::Upgrade;
use arcp_tower::{Config, Mount, Service as _};
use axum::Router;
use axum::body::Body;
use axum::serve::ListenerExt as _;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tower::util::BoxCloneService;
use tower::{ServiceBuilder, service_fn};
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::TraceLayer;

use super::connections;
use super::tls::{Certificate, TlsListener};

/// Where the runtime is mounted. Some clients ask for the address alone.
const PATHS: [&str; 2] = ["/arcp", "/"];

/// The routes of an axum app, with a request's id and trace around them.
pub(crate) fn router(mount: impl Mount + Sync, config: &Config) -> Router {
    let around = ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(TraceLayer::new_for_http())
        .layer(PropagateRequestIdLayer::x_request_id());
    let route = arcp_axum::handler_with(mount, config.clone());
    PATHS.into_iter().fold(Router::new(), |app, path| app.route(path, route.clone())).layer(around)
}

/// Serves an axum app until the runtime is stopped. Not with `axum::serve`: that waits for ever for a
/// request.
pub(super) async fn axum(listener: TcpListener, app: Router, config: &Config) -> io::Result<()> {
    connections::serve(listener.tap_io(|io| prompt(io)), BoxCloneService::new(app), config).await
}

/// The same over TLS.
pub(super) async fn axum_tls(
    listener: TcpListener,
    certificate: Certificate,
    app: Router,
    config: &Config,
) -> io::Result<()> {
    connections::serve(TlsListener::new(listener, certificate), BoxCloneService::new(app), config).await
}

/// Serves an actix-web app until the runtime is stopped.
pub(super) async fn actix(
    listener: TcpListener,
    mount: impl Mount + Sync,
    config: &Config,
) -> io::Result<()> {
    let bounds = config.clone();
    let app = move || {
        let route = |path| (path, arcp_actix::handler_with(mount.clone(), bounds.clone()));
        PATHS.map(route).into_iter().fold(App::new(), |app, (path, route)| app.route(path, route))
    };
    // Signals are for the drain.
    let server = HttpServer::new(app).disable_signals().shutdown_timeout(1);
    let server = server.listen(listener.into_std()?)?.run();
    let (stop, shutdown) = (server.handle(), config.shutdown.clone());
    tokio::spawn(async move {
        shutdown.cancelled().await;
        stop.stop(true).await;
    });
    server.await
}

/// Serves on hyper alone, over HTTP/1.1 and HTTP/2, until the runtime is stopped.
pub(super) async fn hyper(
    listener: TcpListener,
    mount: impl Mount + Sync,
    config: &Config,
) -> io::Result<()> {
    let upgrade = Upgrade::with_config(mount, config.clone());
    let answers = BoxCloneService::new(service_fn(move |request| answer(upgrade.clone(), request)));
    connections::serve(listener.tap_io(|io| prompt(io)), answers, config).await
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
