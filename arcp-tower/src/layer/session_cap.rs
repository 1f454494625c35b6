//! How many sessions of one principal may be open at once (§14).

use std::collections::HashMap;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use arcp_core::wire::session::ResumeRequest;
use arcp_core::{Error, SessionId};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::BoxError;
use crate::auth::Principal;
use crate::lock::lock;
use crate::service::{Connect, Leaving, Session};

/// Caps the sessions of each principal that have a connection: one more is refused with a retryable
/// `INTERNAL_ERROR` of reason `limit`. It belongs inside what authenticates. All mounts that are
/// wrapped by clones of one layer share its count.
///
/// A session that is taken over by another connection counts once, so a client that comes back is
/// let in however many there are. (Sessions without a connection are bounded by
/// [`Config::max_sessions`](crate::Config::max_sessions), too.)
///
/// ```
/// use arcp_tower::{AuthLayer, BearerTokens, Runtime, SessionCapLayer};
/// use tower::ServiceBuilder;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let app = ServiceBuilder::new()
///     .layer(AuthLayer::new(BearerTokens::new([("secret", "me@example.com")])))
///     .layer(SessionCapLayer::new(100))
///     .service(Runtime::builder().build().unwrap());
/// # let _ = app;
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SessionCapLayer(Arc<Cap>);

#[derive(Debug)]
struct Cap {
    most: usize,
    /// How many connections each open session has: two for a moment, while it is taken over.
    open: Mutex<HashMap<Principal, HashMap<SessionId, usize>>>,
}

impl SessionCapLayer {
    /// At most `most` open sessions of each principal.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Cap { most, open: Mutex::default() }))
    }

    /// Sessions of a principal that are open.
    pub fn open(&self, principal: &Principal) -> usize {
        lock(&self.0.open).get(principal).map_or(0, HashMap::len)
    }
}

impl Cap {
    fn full(&self) -> Error {
        Error::limit(format!("at most {} sessions may be open", self.most)).with_retryable(true)
    }

    /// Whether there is room beside those that are open, without the one that is being left.
    fn room(&self, principal: &Principal, leaving: Option<&Leaving>) -> bool {
        let open = lock(&self.open);
        let Some(theirs) = open.get(principal) else { return self.most > 0 };
        let left = leaving.is_some_and(|Leaving(id)| theirs.contains_key(id));
        theirs.len() - usize::from(left) < self.most
    }

    fn take(
        self: &Arc<Self>,
        principal: &Principal,
        id: &SessionId,
        leaving: Option<&Leaving>,
    ) -> Result<Permit, Error> {
        let mut open = lock(&self.open);
        let theirs = open.entry(principal.clone()).or_default();
        let left = leaving.is_some_and(|Leaving(id)| theirs.contains_key(id));
        if !theirs.contains_key(id) && theirs.len() - usize::from(left) >= self.most {
            if theirs.is_empty() {
                open.remove(principal);
            }
            return Err(self.full());
        }
        *theirs.entry(id.clone()).or_default() += 1;
        Ok(Permit { cap: self.clone(), principal: principal.clone(), id: id.clone() })
    }
}

/// The place of an open session.
#[derive(Debug)]
struct Permit {
    cap: Arc<Cap>,
    principal: Principal,
    id: SessionId,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = lock(&self.cap.open);
        let Some(theirs) = open.get_mut(&self.principal) else { return };
        if let Some(connections) = theirs.get_mut(&self.id) {
            *connections -= 1;
            if *connections == 0 {
                theirs.remove(&self.id);
            }
        }
        if theirs.is_empty() {
            open.remove(&self.principal);
        }
    }
}

impl<M> Layer<M> for SessionCapLayer {
    type Service = SessionCap<M>;
    fn layer(&self, make: M) -> SessionCap<M> {
        SessionCap { cap: self.0.clone(), make }
    }
}

/// The service of [`SessionCapLayer`].
#[derive(Debug, Clone)]
pub struct SessionCap<M> {
    cap: Arc<Cap>,
    make: M,
}

impl<M, S> Service<Connect> for SessionCap<M>
where
    M: Service<Connect, Response = Session<S>, Error: Into<BoxError>> + Clone,
{
    type Response = Session<S>;
    type Error = BoxError;
    type Future = SessionCapFuture<M::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.make.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, connect: Connect) -> Self::Future {
        let principal: Option<&Principal> = connect.extensions.get();
        let leaving: Option<Leaving> = connect.extensions.get().cloned();
        let fresh = matches!(ResumeRequest::read(&connect.handshake), Ok(None));
        // One that cannot be let in costs nothing more. Which session a resume leads to is known later.
        if fresh && principal.is_some_and(|principal| !self.cap.room(principal, leaving.as_ref())) {
            return SessionCapFuture { state: State::Refused { error: Some(self.cap.full()) } };
        }
        // The instance that is ready takes the call; a fresh clone stays.
        let clone = self.make.clone();
        let mut make = mem::replace(&mut self.make, clone);
        let state = State::Opening { future: make.call(connect), cap: self.cap.clone(), leaving };
        SessionCapFuture { state }
    }
}

pin_project! {
    /// The response future of [`SessionCap`].
    #[derive(Debug)]
    pub struct SessionCapFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = Proj]
    #[derive(Debug)]
    enum State<F> {
        Refused { error: Option<Error> },
        Opening { #[pin] future: F, cap: Arc<Cap>, leaving: Option<Leaving> },
    }
}

impl<F, S, E> Future for SessionCapFuture<F>
where
    F: Future<Output = Result<Session<S>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Session<S>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Proj::Refused { error } => {
                let again = || Error::new(arcp_core::Code::InternalError, "polled after it was done");
                Poll::Ready(Err(error.take().unwrap_or_else(again).into()))
            }
            Proj::Opening { future, cap, leaving } => {
                let session = ready!(future.poll(cx)).map_err(Into::into)?;
                let taken = cap.take(session.cx().principal(), session.cx().id(), leaving.as_ref());
                Poll::Ready(taken.map(|permit| session.keep(permit)).map_err(Into::into))
            }
        }
    }
}
