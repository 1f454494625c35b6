//! The web server that the route is mounted in.

use std::convert::Infallible;
use std::io;

use actix_web::{App, HttpServer};
use arcp_tower::upgrade::Upgrade;
use arcp_tower::{Config, Mount, Service as _};
use axum::Router;
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceBuilder;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::TraceLayer;

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

/// Serves an axum app until the runtime is stopped.
pub(super) async fn axum(listener: TcpListener, app: Router, config: &Config) -> io::Result<()> {
    let listener = listener.tap_io(|io| prompt(io));
    axum::serve(listener, app).with_graceful_shutdown(config.shutdown.clone().cancelled_owned()).await
}

/// The same over TLS.
pub(super) async fn axum_tls(
    listener: TcpListener,
    certificate: Certificate,
    app: Router,
    config: &Config,
) -> io::Result<()> {
    let listener = TlsListener::new(listener, certificate);
    axum::serve(listener, app).with_graceful_shutdown(config.shutdown.clone().cancelled_owned()).await
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
    let mut server = Builder::new(TokioExecutor::new());
    server.http2().enable_connect_protocol();
    loop {
        let tcp = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => tcp,
                // Too many open files: some will be closed.
                Err(error) => {
                    tracing::warn!(%error, "a connection was not taken");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = config.shutdown.cancelled() => return Ok(()),
        };
        prompt(&tcp);
        let (server, upgrade) = (server.clone(), upgrade.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| answer(upgrade.clone(), request));
            let served = server.serve_connection_with_upgrades(TokioIo::new(tcp), service).await;
            served.unwrap_or_else(|error| tracing::debug!(error, "a connection ended"));
        });
    }
}

async fn answer<M: Mount>(
    mut upgrade: Upgrade<M>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if PATHS.contains(&request.uri().path()) {
        return upgrade.call(request).await;
    }
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NOT_FOUND;
    Ok(response)
}

/// Frames are gathered before they are written; waiting for more would only delay them.
fn prompt(io: &TcpStream) {
    let _ = io.set_nodelay(true);
}
