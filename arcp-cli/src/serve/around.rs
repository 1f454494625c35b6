//! What is around the route in `arcp serve`, as in any app of axum's.

use std::net::SocketAddr;

use arcp_tower::upgrade::Origin;
use axum::extract::Request;
use http::{HeaderName, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::request_id::RequestId;
use tracing::Span;

/// Lets pages of the origins that may connect read what a plain request is answered, and its id. Of the
/// WebSocket itself CORS says nothing: browsers open it without asking, and the runtime looks at the
/// origin.
pub(super) fn cors(origins: &[Origin]) -> CorsLayer {
    let origins = origins.to_vec();
    let allowed = AllowOrigin::predicate(move |origin, _| {
        let origin = origin.to_str().ok().and_then(|origin| origin.parse().ok());
        origin.is_some_and(|origin: Origin| origins.contains(&origin))
    });
    let id = HeaderName::from_static("x-request-id");
    CorsLayer::new().allow_methods([Method::GET]).allow_origin(allowed).expose_headers([id])
}

/// The span of a request: what is logged in it says whose it is, and which. The query is left out, where
/// some clients put secrets.
pub(super) fn span(request: &Request) -> Span {
    let known = request.extensions();
    let peer = known.get::<SocketAddr>().map(tracing::field::display);
    let id = known.get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
    let (method, path) = (request.method().as_str(), request.uri().path());
    tracing::info_span!(target: "http", "request", method, path, peer, id)
}
