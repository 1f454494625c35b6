//! Authenticates handshakes (§6.1). An authenticator is a service itself, so that a lookup can be
//! cached, retried or timed out with ordinary layers.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use arcp_core::{Code, Error};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::BoxError;
use crate::auth::{Credentials, Principal};
use crate::service::Connect;

/// Turns the token of a hello into a [`Principal`] in the handshake's extensions. The token goes to
/// the authenticator and no further, and nor do the request's `Authorization`, `Proxy-Authorization` and
/// `Cookie`.
#[derive(Debug, Clone)]
pub struct AuthLayer<A>(A);

impl<A> AuthLayer<A> {
    /// Authenticates with `authenticator`: a `Service<Credentials, Response = Principal>`.
    pub fn new(authenticator: A) -> Self {
        Self(authenticator)
    }
}

impl<A: Clone, M> Layer<M> for AuthLayer<A> {
    type Service = Auth<A, M>;
    fn layer(&self, make: M) -> Auth<A, M> {
        Auth { authenticator: self.0.clone(), make }
    }
}

/// The service of [`AuthLayer`].
#[derive(Debug, Clone)]
pub struct Auth<A, M> {
    authenticator: A,
    make: M,
}

impl<A, M> Service<Connect> for Auth<A, M>
where
    A: Service<Credentials, Response = Principal, Error: Into<BoxError>>,
    M: Service<Connect, Error: Into<BoxError>> + Clone,
{
    type Response = M::Response;
    type Error = BoxError;
    type Future = AuthFuture<A::Future, M, M::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        ready!(self.authenticator.poll_ready(cx)).map_err(Into::into)?;
        self.make.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut connect: Connect) -> Self::Future {
        // The instance that is ready goes with the call; a fresh clone stays.
        let fresh = self.make.clone();
        let make = mem::replace(&mut self.make, fresh);
        let state = match Credentials::take_from(&mut connect) {
            Ok(credentials) => {
                let future = self.authenticator.call(credentials);
                State::Verifying { future, make, connect: Some(connect) }
            }
            Err(error) => State::Refused { error: Some(error) },
        };
        AuthFuture { state }
    }
}

pin_project! {
    /// The response future of [`Auth`].
    #[derive(Debug)]
    pub struct AuthFuture<AF, M, MF> {
        #[pin]
        state: State<AF, M, MF>,
    }
}

pin_project! {
    #[project = Proj]
    #[derive(Debug)]
    enum State<AF, M, MF> {
        Refused { error: Option<Error> },
        Verifying { #[pin] future: AF, make: M, connect: Option<Connect> },
        Opening { #[pin] future: MF },
    }
}

impl<AF, E, M> Future for AuthFuture<AF, M, M::Future>
where
    AF: Future<Output = Result<Principal, E>>,
    E: Into<BoxError>,
    M: Service<Connect, Error: Into<BoxError>>,
{
    type Output = Result<M::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let again = || Error::new(Code::InternalError, "polled after it was done");
        let mut state = self.project().state;
        loop {
            let future = match state.as_mut().project() {
                Proj::Refused { error } => {
                    return Poll::Ready(Err(error.take().unwrap_or_else(again).into()));
                }
                Proj::Verifying { future, make, connect } => {
                    let principal = ready!(future.poll(cx)).map_err(Into::into)?;
                    let mut connect = connect.take().ok_or_else(again)?;
                    connect.extensions.insert(principal);
                    make.call(connect)
                }
                Proj::Opening { future } => return future.poll(cx).map_err(Into::into),
            };
            state.set(State::Opening { future });
        }
    }
}
