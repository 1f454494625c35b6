//! One request on the way to an answer, and the one that a redirect makes of it.

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use url::Url;

use super::fault::Fault;
use super::headers;

/// A request whose URL was read by the WHATWG rules.
#[derive(Debug)]
pub(super) struct Hop {
    url: Url,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
}

/// What an answer means.
#[derive(Debug)]
pub(super) enum Next {
    /// It is the last one.
    Arrived,
    /// It leads on.
    Follow(Box<Hop>),
}

impl Hop {
    /// The request as the agent wrote it.
    pub(super) fn first(request: Request<Bytes>) -> Result<Self, Fault> {
        const ABSOLUTE: Fault = Fault::Form("url", "must be absolute");
        let (parts, body) = request.into_parts();
        if parts.uri.scheme().is_none() {
            return Err(ABSOLUTE);
        }
        let url = Url::parse(&parts.uri.to_string()).map_err(|_| ABSOLUTE)?;
        let url = checked(url)?;
        // A tunnel would reach what no lease was asked about; an echo shows headers to who may not see them.
        if parts.method == Method::CONNECT || parts.method == Method::TRACE {
            return Err(Fault::Form("method", "must not be CONNECT or TRACE"));
        }
        let mut headers = parts.headers;
        headers::own(&mut headers, &url[url::Position::BeforeHost..url::Position::AfterPort])?;
        Ok(Self { url, method: parts.method, headers, body })
    }

    /// What the lease is asked about.
    pub(super) fn url(&self) -> &str {
        self.url.as_str()
    }

    /// What is sent.
    pub(super) fn request(&self) -> Result<Request<Full<Bytes>>, Fault> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.url.as_str().parse().map_err(|_| Fault::Form("url", "is no URI"))?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }

    /// What `response` asks for.
    pub(super) fn next<B>(mut self, response: &Response<B>) -> Result<Next, Fault> {
        let status = response.status();
        let redirects = matches!(
            status,
            StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT
        );
        let Some(location) = response.headers().get(LOCATION).filter(|_| redirects) else {
            return Ok(Next::Arrived);
        };
        let location = location.to_str().ok().and_then(|text| self.url.join(text).ok());
        let url = checked(location.ok_or(Fault::Location)?)?;
        if self.url.scheme() == "https" && url.scheme() == "http" {
            return Err(Fault::Downgrade);
        }
        if self.url.origin() != url.origin() {
            headers::share(&mut self.headers);
        }
        // RFC 9110 §15.4: what browsers made of 301 and 302 is allowed, 303 asks for it, 307 and 308
        // forbid it.
        let becomes_get = match status {
            StatusCode::SEE_OTHER => self.method != Method::GET && self.method != Method::HEAD,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body = Bytes::new();
            headers::bodiless(&mut self.headers);
        }
        Ok(Next::Follow(Box::new(Self { url, ..self })))
    }
}

fn checked(mut url: Url) -> Result<Url, Fault> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Fault::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Fault::UserInfo);
    }
    url.set_fragment(None);
    Ok(url)
}
