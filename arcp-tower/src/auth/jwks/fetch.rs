//! One request for a key set.

use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use http::header::{ACCEPT, HeaderValue};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::failure::Failure;
use super::set::read;
use super::{InvalidJwks, JwksConfig};
use crate::auth::jwt::JwtKey;
use crate::tls;

/// Bytes of the head of an answer.
const HEAD: usize = 16 << 10;

/// Where a key set is.
pub(super) struct Source {
    uri: Uri,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl Source {
    pub(super) fn new(url: &str, config: &JwksConfig) -> Result<Self, InvalidJwks> {
        let uri: Uri = url.parse().map_err(|_| InvalidJwks::Url)?;
        let bare = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        let private = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => is_loopback(&uri),
            _ => false,
        };
        if !bare || !private {
            return Err(InvalidJwks::Url);
        }
        let mut roots = tls::web_roots();
        if !config.root_certificates.is_empty() && !tls::trust(&mut roots, &config.root_certificates) {
            return Err(InvalidJwks::Roots);
        }
        let https = HttpsConnectorBuilder::new().with_tls_config(tls::client(roots));
        let https = https.https_or_http().enable_http1().build();
        // It is asked every few minutes: no connection is worth being kept.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .http1_max_buf_size(HEAD)
            .build(https);
        Ok(Self { uri, client })
    }

    /// Fetches the keys.
    ///
    /// # Errors
    /// Why not; for the log, and for metrics.
    pub(super) async fn fetch(&self, config: &JwksConfig) -> Result<Vec<JwtKey>, Failure> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        let response = self.client.request(request).await;
        let response = response.map_err(|error| {
            tracing::debug!(error = &error as &dyn std::error::Error, "no answer");
            if error.is_connect() { Failure::Unreachable } else { Failure::Lost }
        })?;
        // A redirect is no answer: it could lead anywhere.
        if response.status() != StatusCode::OK {
            return Err(Failure::Status);
        }
        let body = Limited::new(response.into_body(), config.body_bytes).collect().await;
        read(&body.map_err(|_| Failure::Length)?.to_bytes(), config)
    }
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_or_on_loopback() {
        let new = |url: &str| Source::new(url, &JwksConfig::default()).map(|_| ());
        for good in
            ["https://a.test/jwks.json", "http://127.0.0.1:1/k", "http://[::1]/k", "http://localhost/k"]
        {
            assert_eq!(new(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a.test",
            "/k",
            "http://a.test/k",
            "http://127.0.0.1.a.test/k",
            "https://u:p@a.test/k",
            "ftp://a",
        ] {
            assert_eq!(new(bad), Err(InvalidJwks::Url), "{bad}");
        }
        let junk = JwksConfig::default().with(|c| c.root_certificates = b"none".to_vec());
        assert_eq!(Source::new("https://a.test", &junk).map(|_| ()), Err(InvalidJwks::Roots));
    }
}
