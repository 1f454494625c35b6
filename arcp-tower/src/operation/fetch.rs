//! HTTP requests that the runtime makes for an agent (§9.2 `net.fetch`).
//!
//! A lease speaks of URLs; what a URL reaches is decided later, by a name server and by the server
//! that answers. Both are checked where they are used:
//!
//! | what | rule |
//! |---|---|
//! | scheme | `http` and `https`; a user in the URL is refused |
//! | host | *every* address that the name has must be public, or in a network that the operator allowed; the connection goes to one of the checked addresses, nothing is looked up twice, and the peer of the open socket is checked once more |
//! | a literal address | the same, in whatever notation: the URL is read by the WHATWG rules |
//! | redirect | a new operation: the lease is asked, its end and its budget too, before a name is resolved; `https` never becomes `http`; at most [`FetchLimits::hops`]; another origin gets no header that could carry a secret |
//! | proxy | none; the environment is not read |
//! | body | never decompressed: what arrives is what was counted |
//! | TLS | rustls, with the roots of the Web and those of the operator |
//!
//! Refusals are `PERMISSION_DENIED` with `details.reason`: `address`, `scheme`, `userinfo`,
//! `not_granted`, `downgrade`, `hops`, `location`. A request that has no sense is `INVALID_REQUEST`.
//! What fails on the way is `INTERNAL_ERROR`, which may be tried again, with the reason `dns`,
//! `connect`, `tls`, `protocol`, `timeout` or `limit`. No text tells an address that a name has.

mod address;
mod builder;
mod connect;
mod fault;
mod headers;
mod hop;
mod limits;
mod pool;
mod resolve;

use std::sync::Arc;

use arcp_core::Error;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::sync::Semaphore;

use self::fault::Fault;
use self::hop::{Hop, Next};
use self::pool::Pool;
use super::Granted;

pub use builder::{FetcherBuilder, InvalidNetwork, InvalidRoots};
pub use limits::FetchLimits;
pub use resolve::{Resolve, Resolved, SystemResolver};

/// Makes HTTP/1.1 requests. Cheap to clone; clones share connections and bounds.
///
/// A connection is used again for the same scheme, host and port; it carries no identity of its own.
///
/// ```
/// use arcp_tower::operation::{Granted, fetch::Fetcher};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let fetcher = Fetcher::new();
/// let granted = Granted::new(|_: &str| true);
/// let metadata = http::Request::get("http://169.254.169.254/latest/").body(bytes::Bytes::new())?;
/// let refused = fetcher.fetch(metadata, &granted).await.unwrap_err();
/// assert_eq!(refused.code(), arcp_core::Code::PermissionDenied);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Fetcher {
    pool: Arc<Pool>,
    slots: Arc<Semaphore>,
    limits: FetchLimits,
    /// Whether they were chosen for this one.
    own_limits: bool,
}

impl Default for Fetcher {
    fn default() -> Self {
        Self::new()
    }
}

impl Fetcher {
    /// Reaches public addresses only, and trusts the roots of the Web.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// With networks, roots, bounds or a resolver of the operator's own.
    pub fn builder() -> FetcherBuilder {
        FetcherBuilder::default()
    }

    fn build(pool: Pool, limits: FetchLimits, own_limits: bool) -> Self {
        let slots = limits.concurrent.clamp(1, Semaphore::MAX_PERMITS);
        Self { pool: Arc::new(pool), slots: Arc::new(Semaphore::new(slots)), limits, own_limits }
    }

    /// With `limits`, unless others were chosen.
    pub(crate) fn or_limits(self, limits: FetchLimits) -> Self {
        if self.own_limits { self } else { Self::build(self.pool.bounded(limits), limits, false) }
    }

    /// Carries out `request`, redirects included, and gives the last answer whatever its status. The
    /// time-out covers all of it, waiting for a slot too; a dropped future ends the request.
    ///
    /// `Host`, `Content-Length` and what concerns a single connection (`Connection`,
    /// `Transfer-Encoding`, `Upgrade` ...) are set by the runtime; a `Host` that is not the URL's is
    /// refused.
    ///
    /// # Errors
    /// See the [module](self).
    pub async fn fetch(&self, request: Request<Bytes>, granted: &Granted) -> Result<Response<Bytes>, Error> {
        match tokio::time::timeout(self.limits.timeout, self.follow(request, granted)).await {
            Ok(answer) => answer,
            Err(_) => Err(Fault::Timeout.into_error()),
        }
    }

    async fn follow(&self, request: Request<Bytes>, granted: &Granted) -> Result<Response<Bytes>, Error> {
        if request.body().len() > self.limits.request {
            return Err(Fault::Limit("the request's body", self.limits.request).into());
        }
        let mut hop = Hop::first(request)?;
        let _slot = self.slots.acquire().await.map_err(|_| Fault::Timeout)?;
        for _ in 0..=self.limits.hops {
            // Asked with the slot in hand: the lease may have ended while this waited for it.
            if !granted.ask(hop.url())? {
                return Err(Fault::NotGranted.into());
            }
            let response = self.pool.client().request(hop.request()?).await.map_err(|e| self.failed(&e))?;
            hop = match hop.next(&response)? {
                Next::Arrived => return Ok(self.gather(response).await?),
                Next::Follow(next) => *next,
            };
        }
        Err(Fault::Hops.into())
    }

    /// The body, whole.
    async fn gather(&self, response: Response<Incoming>) -> Result<Response<Bytes>, Fault> {
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, self.limits.response).collect().await;
        let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => Fault::Limit("the response's body", self.limits.response),
            None => self.failed(error.as_ref()),
        })?;
        // Extensions tell which address answered, and stay here.
        let mut response = Response::new(body.to_bytes());
        *response.status_mut() = parts.status;
        *response.version_mut() = parts.version;
        *response.headers_mut() = parts.headers;
        Ok(response)
    }

    fn failed(&self, error: &(dyn std::error::Error + 'static)) -> Fault {
        Fault::of(error, self.limits.header_bytes)
    }
}
