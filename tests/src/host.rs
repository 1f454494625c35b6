//! The web servers that a runtime can be mounted in.

use std::net::SocketAddr;
use std::time::Duration;

use arcp_tower::upgrade::Upgrade;
use arcp_tower::{Config, Mount};
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::ServiceBuilder;
use tower_http::add_extension::AddExtensionLayer;
use tower_http::cors::CorsLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::TraceLayer;

use crate::ask::Http;

/// A web server. The same tests run over each: those in a module `actix`, `hyper` or `nested` over that
/// one, and all others over axum. In `hyper_http2` and the like, a WebSocket is asked for over HTTP/2; there
/// is no `actix_http2`, because actix-web announces no extended CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// An axum app with one route.
    Axum,
    /// A nested axum app with state, and layers of `tower-http` around it.
    Nested,
    /// An actix-web app, on two workers.
    Actix,
    /// hyper alone.
    Hyper,
}

/// The host that the test of this thread is about, by the first module of its name, and how it is asked.
fn of_this_test() -> (Host, Http) {
    let thread = std::thread::current();
    let module = thread.name().and_then(|name| name.split_once("::")).map_or("", |(module, _)| module);
    let (host, http) = match module.strip_suffix("_http2") {
        Some(host) => (host, Http::Two),
        None => (module, Http::One),
    };
    let host = match host {
        "actix" => Host::Actix,
        "hyper" => Host::Hyper,
        "nested" => Host::Nested,
        _ => Host::Axum,
    };
    (host, http)
}

impl Http {
    /// How the test of this thread asks for a WebSocket.
    pub fn of_this_test() -> Self {
        of_this_test().1
    }
}

impl Host {
    /// The host that the test of this thread is about.
    pub fn of_this_test() -> Self {
        of_this_test().0
    }

    /// Serves `mount` at `/arcp` until `config.shutdown`.
    pub fn serve<M: Mount + Sync>(self, listener: TcpListener, mount: M, config: &Config) -> JoinHandle<()> {
        let route = || arcp_axum::handler_with(mount.clone(), config.clone());
        match self {
            Self::Axum => axum(listener, Router::new().route("/arcp", route()), config),
            Self::Nested => {
                let around = ServiceBuilder::new()
                    .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
                    .layer(TraceLayer::new_for_http())
                    .layer(CorsLayer::permissive())
                    .layer(RequestBodyLimitLayer::new(1024))
                    .layer(PropagateRequestIdLayer::x_request_id());
                let inner: Router<&str> =
                    Router::new().route("/", arcp_axum::handler_with(mount, config.clone()));
                axum(listener, Router::new().nest("/arcp", inner.with_state("state")).layer(around), config)
            }
            Self::Actix => actix(listener, mount, config),
            Self::Hyper => hyper(listener, mount, config),
        }
    }
}

fn axum(listener: TcpListener, app: Router, config: &Config) -> JoinHandle<()> {
    let (stop, app) = (config.shutdown.clone(), app.into_make_service_with_connect_info::<SocketAddr>());
    tokio::spawn(async move {
        axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await.unwrap();
    })
}

fn actix<M: Mount + Sync>(listener: TcpListener, mount: M, config: &Config) -> JoinHandle<()> {
    let (config, listener) = (config.clone(), listener.into_std().unwrap());
    let (stopped, ended) = oneshot::channel();
    // It has threads of its own, and its futures are not for others.
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let stop = config.shutdown.clone();
            let app = move || {
                let route = arcp_actix::handler_with(mount.clone(), config.clone());
                actix_web::App::new().route("/arcp", route)
            };
            let server = actix_web::HttpServer::new(app)
                .tcp_nodelay(true)
                .workers(2)
                .disable_signals()
                .shutdown_timeout(1);
            let server = server.client_disconnect_timeout(Duration::ZERO);
            let server = server.listen(listener).unwrap().run();
            let handle = server.handle();
            actix_web::rt::spawn(async move {
                stop.cancelled().await;
                handle.stop(true).await;
            });
            server.await.unwrap();
        });
        let _ = stopped.send(());
    });
    tokio::spawn(async move {
        let _ = ended.await;
    })
}

fn hyper<M: Mount + Sync>(listener: TcpListener, mount: M, config: &Config) -> JoinHandle<()> {
    let upgrade = Upgrade::with_config(mount, config.clone());
    let stop = config.shutdown.clone();
    let mut server = Builder::new(TokioExecutor::new());
    server.http2().enable_connect_protocol();
    tokio::spawn(async move {
        loop {
            let (tcp, peer) = tokio::select! {
                accepted = listener.accept() => accepted.unwrap(),
                () = stop.cancelled() => return,
            };
            let service = ServiceBuilder::new().layer(AddExtensionLayer::new(peer)).service(upgrade.clone());
            let (server, service) = (server.clone(), TowerToHyperService::new(service));
            tokio::spawn(async move {
                let _ = server.serve_connection_with_upgrades(TokioIo::new(tcp), service).await;
            });
        }
    })
}
