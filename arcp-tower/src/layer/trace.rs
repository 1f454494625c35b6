//! One span for each command (§11).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;
use tracing::Span;

use crate::operation::{Operation, Output};
use crate::service::{Request, Response};
use crate::telemetry::{answered, code_of, command_span, failed, operation_span};

/// Opens a span for each command of a session, and one for each operation of a job, where the runtime
/// puts it; [`telemetry`](crate::telemetry) says what is in them and whose they are. None lives as long
/// as a connection, or as the job that it begins: it would not be exported before.
///
/// ```
/// use arcp_tower::{Runtime, TraceLayer, each_session};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let runtime = Runtime::builder().build().unwrap().layer(each_session(TraceLayer::new()));
/// # let _ = runtime;
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct TraceLayer(());

impl TraceLayer {
    /// A layer to put into `each_session`.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;
    fn layer(&self, inner: S) -> Trace<S> {
        Trace { inner }
    }
}

/// The service of [`TraceLayer`].
#[derive(Debug, Clone)]
pub struct Trace<S> {
    inner: S,
}

impl<S> Service<Operation> for Trace<S>
where
    S: Service<Operation, Response = Output>,
    S::Error: 'static,
{
    type Response = Output;
    type Error = S::Error;
    type Future = OperationSpan<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, operation: Operation) -> Self::Future {
        let span = operation_span(&operation);
        let future = span.in_scope(|| self.inner.call(operation));
        OperationSpan { future, span }
    }
}

pin_project! {
    /// The response future of [`Trace`] around operations.
    #[derive(Debug)]
    pub struct OperationSpan<F> {
        #[pin]
        future: F,
        span: Span,
    }
}

impl<F, E> Future for OperationSpan<F>
where
    F: Future<Output = Result<Output, E>>,
    E: 'static,
{
    type Output = Result<Output, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _entered = this.span.enter();
        let outcome = this.future.poll(cx);
        if let Poll::Ready(Err(error)) = &outcome {
            failed(this.span, code_of(error));
        }
        outcome
    }
}

impl<S> Service<Request> for Trace<S>
where
    S: Service<Request, Response = Response>,
    S::Error: 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = TraceFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let span = command_span(&mut request);
        let future = span.in_scope(|| self.inner.call(request));
        TraceFuture { future, span }
    }
}

pin_project! {
    /// The response future of [`Trace`].
    #[derive(Debug)]
    pub struct TraceFuture<F> {
        #[pin]
        future: F,
        span: Span,
    }
}

impl<F, E> Future for TraceFuture<F>
where
    F: Future<Output = Result<Response, E>>,
    E: 'static,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _entered = this.span.enter();
        let outcome = this.future.poll(cx);
        match &outcome {
            Poll::Ready(Ok(response)) => answered(this.span, response),
            Poll::Ready(Err(error)) => failed(this.span, code_of(error)),
            Poll::Pending => {}
        }
        outcome
    }
}
