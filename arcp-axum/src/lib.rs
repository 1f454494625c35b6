//! Mounts an ARCP runtime in an axum app: `.route("/arcp", arcp_axum::handler(runtime))`.
//!
//! ```no_run
#![doc = include_str!("../../examples/src/bin/axum.rs")]
//! ```
//!
//! With axum's feature `http2`, `axum::serve` takes sessions over HTTP/2 as well (RFC 8441), many on one
//! connection. It waits as long as a peer wants for a request: the time-out of a hello begins with the
//! upgrade. `arcp serve` sends such peers away; in an app of your own, what is in front of it has to.
//!
//! # In an app that is there already
//!
//! The route goes below nesting, state and layers. Layers around it see one request for each connection,
//! the upgrade, and their answer to it: a time-out bounds the handshake and not the session, a limit of
//! concurrent requests counts handshakes and not sessions, and CORS says nothing of a WebSocket, which
//! browsers open without asking. What is about sessions and pages has bounds of its own in [`Config`]:
//! `max_sessions`, `allowed_origins` and so on.
//!
//! What middleware puts into the request's extensions reaches the authenticator, the runtime's layers and
//! the agents, with the request's target and headers as [`HttpInfo`](arcp_tower::HttpInfo), a request id
//! among them. `examples/src/bin/axum_nested.rs` has all of it in one program.
//!
//! # The peer's address
//!
//! axum knows it if the app is served with
//! [`into_make_service_with_connect_info`](axum::Router::into_make_service_with_connect_info):
//!
//! ```no_run
//! # use std::net::SocketAddr;
//! # async fn serve(listener: tokio::net::TcpListener, app: axum::Router) -> std::io::Result<()> {
//! axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
//! # }
//! ```
//!
//! Then it is a [`SocketAddr`](std::net::SocketAddr) among the extensions, as in every other host. Behind a
//! proxy it is the proxy's. Middleware that knows better, since it trusts the proxy's headers, puts a
//! `SocketAddr` into the request's extensions itself; that one counts.

mod peer;

use arcp_tower::upgrade::Upgrade;
use arcp_tower::{Config, Mount};
use axum::routing::{MethodRouter, any_service};

use peer::Addressed;

/// A route that serves ARCP over WebSocket, with the default bounds. It goes wherever a
/// `MethodRouter` goes: below nesting, state and layers. What middleware puts into the request's
/// extensions reaches the authenticator and the agents.
///
/// `any` and not `get`: an upgrade over HTTP/2 is a `CONNECT`.
pub fn handler<M: Mount + Sync, S: Clone>(runtime: M) -> MethodRouter<S> {
    handler_with(runtime, Config::default())
}

/// [`handler`] with bounds of your own: a clone of those that the runtime was built with. Allowed hosts and
/// origins, handshakes, frames and the drain are seen to here, and [`handler`] knows only the defaults of them.
pub fn handler_with<M: Mount + Sync, S: Clone>(runtime: M, config: Config) -> MethodRouter<S> {
    any_service(Addressed::new(Upgrade::with_config(runtime, config)))
}
