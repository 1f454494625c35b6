//! The session that the host has with its user, as the authentication of ours.

mod or;

use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use arcp_core::{Code, Error};
use http::{Extensions, HeaderValue, header};
use tower_service::Service;

pub use or::HostSessionOr;

use super::{Credentials, Principal};
use crate::service::HttpInfo;
use crate::upgrade::{NotAllowable, Origin};

type Find = dyn Fn(&Extensions) -> Option<Principal> + Send + Sync;

/// An authenticator that takes whom the host's own middleware found, of a cookie for one: it puts a
/// [`Principal`] into the request's extensions, or anything else that [`HostSession::find`] makes one
/// of. The client needs no token in its hello; nobody looks at one.
///
/// A browser sends cookies with every request to the host, whichever page asks it to, and lets any
/// page open a WebSocket. So a cookie says which browser it is, and not who is asking: that does the
/// `Origin` header, which pages cannot choose. Every origin that may use the session has to be named
/// here; a request from another is refused (CWE-1385). One without an `Origin` comes from no browser.
/// [`Config::allowed_origins`](crate::Config::allowed_origins) says which pages may connect at all, with a
/// token for one; these are those of them that may do without.
///
/// ```
/// use arcp_tower::auth::HostSession;
/// use arcp_tower::AuthLayer;
/// # fn main() -> Result<(), arcp_tower::upgrade::NotAllowable> {
/// let layer = AuthLayer::new(HostSession::new(["https://app.example.com"])?);
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HostSession {
    origins: Arc<[Origin]>,
    find: Arc<Find>,
}

impl HostSession {
    /// Takes sessions of pages of these origins, and of clients that are no browsers.
    ///
    /// # Errors
    /// If one of them is no origin.
    pub fn new<O: AsRef<str>>(origins: impl IntoIterator<Item = O>) -> Result<Self, NotAllowable> {
        let origins = origins.into_iter().map(|origin| origin.as_ref().parse()).collect::<Result<_, _>>()?;
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
        let listed =
            |origin: &HeaderValue| Origin::read(origin).is_some_and(|origin| self.origins.contains(&origin));
        if !origins.all(listed) {
            return refused(Code::PermissionDenied, "pages of this origin may not use the host's session");
        }
        match (self.find)(&credentials.extensions) {
            Some(principal) => Ok(principal),
            None => refused(Code::Unauthenticated, "the host has no session with this client"),
        }
    }
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
