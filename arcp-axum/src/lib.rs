//! Mounts an ARCP runtime in an axum app: `.route("/arcp", arcp_axum::handler(runtime))`.
//!
//! ```no_run
#![doc = include_str!("../../examples/src/bin/axum.rs")]
//! ```
//!
//! With axum's feature `http2`, `axum::serve` takes sessions over HTTP/2 as well (RFC 8441), many on one
//! connection. It waits as long as a peer wants for a request: the time-out of a hello begins with the
//! upgrade. `arcp serve` sends such peers away; in an app of your own, what is in front of it has to.

use arcp_tower::upgrade::Upgrade;
use arcp_tower::{Config, Mount};
use axum::routing::{MethodRouter, any_service};

/// The programs of the README are compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// A route that serves ARCP over WebSocket, with the default bounds. It goes wherever a
/// `MethodRouter` goes: below nesting, state and layers. What middleware puts into the request's
/// extensions reaches the authenticator and the agents.
///
/// `any` and not `get`: an upgrade over HTTP/2 is a `CONNECT`.
pub fn handler<M: Mount + Sync, S: Clone>(runtime: M) -> MethodRouter<S> {
    handler_with(runtime, Config::default())
}

/// [`handler`] with bounds of your own: best those that the runtime was built with.
pub fn handler_with<M: Mount + Sync, S: Clone>(runtime: M, config: Config) -> MethodRouter<S> {
    any_service(Upgrade::with_config(runtime, config))
}
