//! Between actix's version of the `http` crate and ours.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use actix_web::http::{StatusCode, header};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, HttpResponseBuilder};
use arcp_tower::{HttpInfo, Principal};
use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};

/// What a runtime wants to know of a request: its head, and what the layers find beside it.
pub(crate) fn request(actix: &HttpRequest) -> (Request<()>, Extensions) {
    let mut request = Request::new(());
    if let Ok(method) = actix.method().as_str().parse() {
        *request.method_mut() = method;
    }
    *request.uri_mut() = actix.uri().to_string().parse::<Uri>().unwrap_or_default();
    for (name, value) in actix.headers() {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            request.headers_mut().append(name, value);
        }
    }
    let theirs = actix.extensions();
    let mut extensions = theirs.get::<Extensions>().cloned().unwrap_or_default();
    if let Some(principal) = theirs.get::<Principal>() {
        extensions.insert(principal.clone());
    }
    if let Some(peer) = actix.peer_addr() {
        extensions.get_or_insert(peer);
    }
    extensions.insert(HttpInfo::copied(request.uri(), request.headers()));
    (request, extensions)
}

/// The head of an answer. An upgrade is one that actix has to know of.
pub(crate) fn head(
    status: http::StatusCode,
    headers: &HeaderMap,
    build: impl FnOnce(StatusCode) -> HttpResponseBuilder,
) -> HttpResponseBuilder {
    let status = StatusCode::from_u16(status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = build(status);
    if status == StatusCode::SWITCHING_PROTOCOLS {
        answer.upgrade("websocket");
    }
    let said = headers.iter().filter(|(name, _)| !matches!(name.as_str(), "connection" | "upgrade"));
    for (name, value) in said {
        let name = header::HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, header::HeaderValue::from_bytes(value.as_bytes())) {
            answer.insert_header((name, value));
        }
    }
    answer
}

/// A refusal, whole.
pub(crate) fn refusal(refusal: Response<Full<Bytes>>) -> HttpResponse {
    let (parts, body) = refusal.into_parts();
    let mut answer = head(parts.status, &parts.headers, HttpResponse::build);
    if parts.status == http::StatusCode::UPGRADE_REQUIRED {
        answer.insert_header((header::UPGRADE, "websocket"));
    }
    // It is there already.
    let collected = pin!(body.collect()).poll(&mut Context::from_waker(Waker::noop()));
    match collected {
        Poll::Ready(Ok(body)) => answer.body(body.to_bytes()),
        Poll::Ready(Err(never)) => match never {},
        Poll::Pending => answer.finish(),
    }
}
