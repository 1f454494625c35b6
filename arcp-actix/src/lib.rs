//! Mounts an ARCP runtime in an actix-web app: `.route("/arcp", arcp_actix::handler(runtime))`.
//!
//! ```no_run
#![doc = include_str!("../../examples/src/bin/actix.rs")]
//! ```
//!
//! The WebSocket is the one of every other host: actix hands over the bytes of an upgraded connection,
//! so limits, close codes and answers to pings are the same to the last one. Connections live on actix's
//! workers, and jobs where the runtime was built: a worker that is restarted costs its connections, which
//! resume, and no job.
//!
//! actix waits, after an answer, for up to a second for whatever a client may still send, and a client that
//! closes its WebSocket waits for the server. `HttpServer::client_disconnect_timeout(Duration::ZERO)` spares
//! it that second. And `HttpServer::tcp_nodelay(true)` sends each event at once: by itself actix leaves it to
//! the system, which keeps a small frame back until the one before was acknowledged. The hosts on hyper need no
//! word for it.
//!
//! A WebSocket comes by the upgrade of HTTP/1.1 only. actix-web has HTTP/2 too, but announces no extended
//! CONNECT there (RFC 8441) and gives a service no stream to keep, so no client asks: browsers see the
//! missing setting, and open a connection of HTTP/1.1 for it. Where many sessions are to share a
//! connection, mount the runtime in axum or on hyper.

mod convert;
mod stream;

use actix_web::{HttpRequest, HttpResponse, Route, rt, web};
use arcp_tower::upgrade::Upgrade;
use arcp_tower::{Config, Mount};

/// A route that serves ARCP over WebSocket, with the default bounds.
///
/// Layers, authenticators and agents find in the request's extensions: [`arcp_tower::HttpInfo`], the
/// peer's [`std::net::SocketAddr`], and whatever the app's middleware put into an [`http::Extensions`]
/// among the request's own (`request.extensions_mut()`): actix's cannot be copied. A [`Principal`] of the
/// app's is taken from there and from beside it.
///
/// The address is the one of the connection, which actix knows by itself; behind a proxy it is the
/// proxy's. Middleware that knows better puts another `SocketAddr` into that `http::Extensions`, and that
/// one counts. `examples/src/bin/actix_middleware.rs` has both.
///
/// [`Principal`]: arcp_tower::Principal
pub fn handler<M: Mount + Sync>(runtime: M) -> Route {
    handler_with(runtime, Config::default())
}

/// [`handler`] with bounds of your own: a clone of those that the runtime was built with. Allowed hosts and
/// origins, handshakes, frames and the drain are seen to here, and [`handler`] knows only the defaults of them.
pub fn handler_with<M: Mount + Sync>(runtime: M, config: Config) -> Route {
    let (tracker, capacity) = (config.tracker.clone(), config.write_buffer);
    let upgrade = Upgrade::with_config(runtime, config);
    web::route().to(move |request: HttpRequest, payload: web::Payload| {
        let (request, extensions) = convert::request(&request);
        let answer = match upgrade.answer(&request) {
            Ok(head) => {
                let (io, body) = stream::bytes(payload, capacity);
                rt::spawn(tracker.track_future(upgrade.clone().serve(io, extensions)));
                convert::head(head.status(), head.headers(), HttpResponse::build).streaming(body)
            }
            Err(refusal) => convert::refusal(*refusal),
        };
        std::future::ready(answer)
    })
}
