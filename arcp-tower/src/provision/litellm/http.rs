//! One request after the other to a gateway.

use std::fmt::{self, Write as _};
use std::time::Duration;

use ::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use ::http::{Method, Request, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::credential::{ProvisionError, Secret, budget_exhausted};
use crate::tls;

/// Bytes of an answer.
const MOST: usize = 4 << 20;
/// How long a connection that is not used is kept.
const IDLE: Duration = Duration::from_secs(30);

/// A gateway, and the right to manage its keys.
pub(super) struct Gateway {
    base: String,
    bearer: HeaderValue,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Gateway {
    pub(super) fn new(base: &str, admin: &Secret) -> Option<Self> {
        let uri: Uri = base.parse().ok()?;
        if !matches!(uri.scheme_str(), Some("http" | "https"))
            || uri.host().is_none()
            || uri.query().is_some()
        {
            return None;
        }
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", admin.expose())).ok()?;
        bearer.set_sensitive(true);
        let tls = tls::client(tls::web_roots());
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(https);
        Some(Self { base: base.to_owned(), bearer, client })
    }

    pub(super) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer, ProvisionError> {
        let body =
            serde_json::to_vec(body).map_err(|_| ProvisionError::permanent("a request has no JSON form"))?;
        self.ask(Method::POST, path, body).await
    }

    pub(super) async fn get(&self, path: &str) -> Result<Answer, ProvisionError> {
        self.ask(Method::GET, path, Vec::new()).await
    }

    async fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Answer, ProvisionError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(AUTHORIZATION, self.bearer.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body));
        let request = request.map_err(|_| ProvisionError::permanent("the gateway's address is none"))?;
        let response = self.client.request(request).await.map_err(|e| lost(&e))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MOST).collect().await;
        let body =
            body.map_err(|_| ProvisionError::transient("the gateway's answer was cut off"))?.to_bytes();
        Ok(Answer { status, body })
    }
}

fn lost(error: &hyper_util::client::legacy::Error) -> ProvisionError {
    let what =
        if error.is_connect() { "the gateway cannot be reached" } else { "the gateway's answer was lost" };
    ProvisionError::transient(what)
}

/// What a gateway answered. The body of a success has secrets.
pub(super) struct Answer {
    pub(super) status: u16,
    body: Bytes,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Answer {
    /// The answer to `what`, if it is a success that can be read.
    pub(super) fn expect<T: DeserializeOwned>(self, what: &str) -> Result<T, ProvisionError> {
        if !(200..300).contains(&self.status) {
            return Err(self.error(what));
        }
        // What does not fit is not quoted: it may be the secret.
        let unread = |_| ProvisionError::transient(format!("{what}, and the answer cannot be read"));
        serde_json::from_slice(&self.body).map_err(unread)
    }

    /// Whether its text has `words`, which are in lower case.
    pub(super) fn says(&self, words: &str) -> bool {
        String::from_utf8_lossy(&self.body).to_lowercase().contains(words)
    }

    /// What follows from an answer that is no success.
    pub(super) fn error(&self, what: &str) -> ProvisionError {
        let text = String::from_utf8_lossy(&self.body);
        let said = format!("{what}: the gateway answered {}: {text}", self.status);
        match self.status {
            status if budget_exhausted(status, &text).is_some() => ProvisionError::budget_exhausted(said),
            // Somebody has a key of this name; the next one has another.
            400 if self.says("already exists") => ProvisionError::transient(said),
            408 | 409 | 425 | 429 => ProvisionError::transient(said),
            400..500 => ProvisionError::permanent(said),
            _ => ProvisionError::transient(said),
        }
    }
}

/// `text` as part of a query.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::ProvisionErrorKind::{BudgetExhausted, Permanent, Transient};

    #[test]
    fn what_follows_from_an_answer() {
        let answer =
            |status, body: &'static str| Answer { status, body: Bytes::from_static(body.as_bytes()) };
        for (status, body, kind) in [
            (500, "", Transient),
            (429, "slow down", Transient),
            (401, r#"{"error":{"message":"Authentication Error"}}"#, Permanent),
            (400, r#"{"error":{"message":"Key with alias 'a' already exists."}}"#, Transient),
            (422, "{}", Permanent),
            (400, r#"{"error":{"type":"budget_exceeded"}}"#, BudgetExhausted),
        ] {
            assert_eq!(answer(status, body).error("it was asked").kind(), kind, "{status} {body}");
        }
        let unread = answer(200, r#"{"key":7,"other":"sk-canary"}"#)
            .expect::<std::collections::BTreeMap<String, u8>>("x");
        assert!(!unread.unwrap_err().message().contains("canary"));
    }

    #[test]
    fn an_address_needs_a_scheme_and_a_host() {
        for bad in ["", "gateway", "ftp://gateway", "/v1", "http://", "http://gateway?x=1"] {
            assert!(Gateway::new(bad, &Secret::new("sk-1")).is_none(), "{bad}");
        }
        assert!(Gateway::new("https://gateway:4000/llm", &Secret::new("sk-1")).is_some());
        assert!(Gateway::new("https://gateway", &Secret::new("sk\n1")).is_none());
    }

    #[test]
    fn what_goes_into_a_query_is_escaped() {
        assert_eq!(escape("a-b_c.9&x=é"), "a-b_c.9%26x%3D%C3%A9");
    }
}
