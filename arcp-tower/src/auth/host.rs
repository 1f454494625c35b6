//! The session that the host has with its user, as the authentication of ours.

mod or;

use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use arcp_core::{Code, Error};
use http::uri::{Authority, Scheme};
use http::{Extensions, Uri, header};
use tower_service::Service;

pub use or::HostSessionOr;

use super::{Credentials, Principal};
use crate::service::HttpInfo;

type Find = dyn Fn(&Extensions) -> Option<Principal> + Send + Sync;

/// An authenticator that takes whom the host's own middleware found, of a cookie for one: it puts a
/// [`Principal`] into the request's extensions, or anything else that [`HostSession::find`] makes one
/// of. The client needs no token in its hello; nobody looks at one.
///
/// A browser sends cookies with every request to the host, whichever page asks it to, and lets any
/// page open a WebSocket. So a cookie says which browser it is, and not who is asking: that does the
/// `Origin` header, which pages cannot choose. Every origin that may use the session has to be named
/// here; a request from another is refused (CWE-1385). One without an `Origin` comes from no browser.
///
/// ```
/// use arcp_tower::auth::HostSession;
/// use arcp_tower::AuthLayer;
/// # fn main() -> Result<(), arcp_tower::auth::InvalidOrigin> {
/// let layer = AuthLayer::new(HostSession::new(["https://app.example.com"])?);
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HostSession {
    origins: Arc<[String]>,
    find: Arc<Find>,
}

/// The text is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} must be an origin such as https://app.example.com, with a port if it is not the usual one")]
pub struct InvalidOrigin(String);

impl HostSession {
    /// Takes sessions of pages of these origins, and of clients that are no browsers.
    ///
    /// # Errors
    /// If one of them is no origin.
    pub fn new<O: AsRef<str>>(origins: impl IntoIterator<Item = O>) -> Result<Self, InvalidOrigin> {
        let read = |origin: O| {
            let origin = origin.as_ref();
            serialized(origin).ok_or_else(|| InvalidOrigin(origin.to_owned()))
        };
        let origins = origins.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { origins, find: Arc::new(|extensions| extensions.get().cloned()) })
    }

    /// Finds the principal another way, in what the host's middleware put into the extensions. `None`
    /// is nobody.
    pub fn find(mut self, find: impl Fn(&Extensions) -> Option<Principal> + Send + Sync + 'static) -> Self {
        self.find = Arc::new(find);
        self
    }

    /// Lets clients in, too, that say a token in their hello: `tokens` decides about those, and the
    /// host's session about the others. So one route serves pages and programs.
    pub fn or<A>(self, tokens: A) -> HostSessionOr<A> {
        HostSessionOr { session: self, tokens }
    }

    fn principal(&self, credentials: &Credentials) -> Result<Principal, Error> {
        let refused = |code, why: &'static str| Err(Error::new(code, why));
        // No request, no page.
        let headers = credentials.extensions.get::<HttpInfo>().map(|http| &http.headers);
        let mut origins = headers.into_iter().flat_map(|headers| headers.get_all(header::ORIGIN));
        // As browsers write it, and not one letter otherwise: what is compared cannot be misread.
        let listed = |origin: &http::HeaderValue| self.origins.iter().any(|known| origin == known.as_str());
        if !origins.all(listed) {
            return refused(Code::PermissionDenied, "pages of this origin may not use the host's session");
        }
        match (self.find)(&credentials.extensions) {
            Some(principal) => Ok(principal),
            None => refused(Code::Unauthenticated, "the host has no session with this client"),
        }
    }
}

/// An origin as browsers write it: in lower case, without the usual port (RFC 6454 §6.2).
fn serialized(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let (scheme, authority): (&Scheme, &Authority) = (uri.scheme()?, uri.authority()?);
    let usual = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let bare = uri.path() == "/" && uri.query().is_none() && !authority.as_str().contains('@');
    let host = authority.host().to_ascii_lowercase();
    if !bare || host.is_empty() {
        return None;
    }
    let port = authority.port_u16().filter(|port| *port != usual);
    Some(port.map_or_else(|| format!("{scheme}://{host}"), |port| format!("{scheme}://{host}:{port}")))
}

impl fmt::Debug for HostSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostSession").field("origins", &self.origins).finish_non_exhaustive()
    }
}

impl Service<Credentials> for HostSession {
    type Response = Principal;
    type Error = Error;
    type Future = Ready<Result<Principal, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, credentials: Credentials) -> Self::Future {
        ready(self.principal(&credentials))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (text, origin) in [
            ("https://app.example.com", "https://app.example.com"),
            ("https://App.Example.com/", "https://app.example.com"),
            ("https://app.example.com:443", "https://app.example.com"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(serialized(text).as_deref(), Some(origin), "{text}");
        }
        for none in ["null", "*", "app.example.com", "https://a/b", "https://a?b", "https://u@a", "ws://a"] {
            assert_eq!(serialized(none), None, "{none}");
        }
    }
}
