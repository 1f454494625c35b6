//! Applies ordinary tower layers to the commands of every session.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::service::{Connect, Session, SessionCtx};

/// Builds a session's stack around the service that takes its commands.
pub trait Wrap<S> {
    /// The wrapped service. Its connection owns it, so it need not be `Clone`.
    type Service;
    /// Wraps the service of one session.
    fn wrap(&self, cx: &SessionCtx, inner: S) -> Self::Service;
}

/// Wraps with a layer that knows nothing of sessions.
#[derive(Debug, Clone)]
pub struct Plain<L>(L);

impl<S, L: Layer<S>> Wrap<S> for Plain<L> {
    type Service = L::Service;
    fn wrap(&self, _: &SessionCtx, inner: S) -> L::Service {
        self.0.layer(inner)
    }
}

/// Wraps with a function of the session.
#[derive(Debug, Clone)]
pub struct WithCtx<F>(F);

impl<S, T, F: Fn(&SessionCtx, S) -> T> Wrap<S> for WithCtx<F> {
    type Service = T;
    fn wrap(&self, cx: &SessionCtx, inner: S) -> T {
        (self.0)(cx, inner)
    }
}

/// A layer over a connection service that wraps each session it opens.
#[derive(Debug, Clone)]
pub struct EachSession<W>(W);

/// Applies `layer` to every session. A limit such as `tower::limit::RateLimitLayer` then holds for
/// each session by itself.
pub fn each_session<L>(layer: L) -> EachSession<Plain<L>> {
    EachSession(Plain(layer))
}

/// Applies `f(session, inner)` to every session, for layers that need to know it.
///
/// ```
/// use arcp_tower::runtime::Commands;
/// use arcp_tower::{AckGateLayer, Layer as _, Runtime, SessionCtx, each_session_fn};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // No new jobs from a client that is behind with its events.
/// let runtime = Runtime::builder().build().unwrap().layer(each_session_fn(
///     |cx: &SessionCtx, inner: Commands| AckGateLayer::waiting(cx.credits()).layer(inner),
/// ));
/// # let _ = runtime;
/// # }
/// ```
pub fn each_session_fn<F>(f: F) -> EachSession<WithCtx<F>> {
    EachSession(WithCtx(f))
}

impl<M, W: Clone> Layer<M> for EachSession<W> {
    type Service = EachSessionService<M, W>;
    fn layer(&self, make: M) -> Self::Service {
        EachSessionService { make, wrap: self.0.clone() }
    }
}

/// The service of [`EachSession`].
#[derive(Debug, Clone)]
pub struct EachSessionService<M, W> {
    make: M,
    wrap: W,
}

impl<M, W> EachSessionService<M, W> {
    pub(super) fn new(make: M, wrap: W) -> Self {
        Self { make, wrap }
    }
}

impl<M, S, W> Service<Connect> for EachSessionService<M, W>
where
    M: Service<Connect, Response = Session<S>>,
    W: Wrap<S> + Clone,
{
    type Response = Session<W::Service>;
    type Error = M::Error;
    type Future = EachSessionFuture<M::Future, W>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        self.make.poll_ready(cx)
    }

    fn call(&mut self, connect: Connect) -> Self::Future {
        EachSessionFuture { inner: self.make.call(connect), wrap: self.wrap.clone() }
    }
}

pin_project! {
    /// The response future of [`EachSessionService`].
    #[derive(Debug)]
    pub struct EachSessionFuture<F, W> {
        #[pin]
        inner: F,
        wrap: W,
    }
}

impl<F, S, E, W> Future for EachSessionFuture<F, W>
where
    F: Future<Output = Result<Session<S>, E>>,
    W: Wrap<S>,
{
    type Output = Result<Session<W::Service>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let session = ready!(this.inner.poll(cx))?;
        Poll::Ready(Ok(session.map_service(|cx, service| this.wrap.wrap(cx, service))))
    }
}
