//! One span for each command (§11).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;
use tracing::{Span, field};

use crate::operation::{Operation, Output};
use crate::service::{Request, Response};

/// Opens a span for each command of a session, and one for each operation of a job, where the runtime
/// puts it. No span lives as long as a connection or a job:
/// those would never be exported.
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
    S::Error: std::fmt::Display,
{
    type Response = Output;
    type Error = S::Error;
    type Future = OperationSpan<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, operation: Operation) -> Self::Future {
        let span = tracing::info_span!(
            "arcp.operation",
            "arcp.capability" = operation.namespace().as_str(),
            "arcp.target" = operation.target(),
            "arcp.job.id" = field::Empty,
            trace_id = field::Empty,
            "error.type" = field::Empty,
        );
        if !span.is_disabled()
            && let Some(job) = operation.job()
        {
            span.record("arcp.job.id", field::display(job.id()));
            span.record("trace_id", field::display(job.trace_id()));
        }
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
    E: std::fmt::Display,
{
    type Output = Result<Output, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _entered = this.span.enter();
        let outcome = this.future.poll(cx);
        if let Poll::Ready(Err(error)) = &outcome {
            this.span.record("error.type", field::display(error));
        }
        outcome
    }
}

impl<S> Service<Request> for Trace<S>
where
    S: Service<Request, Response = Response>,
    S::Error: std::fmt::Display,
{
    type Response = Response;
    type Error = S::Error;
    type Future = TraceFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let span = tracing::info_span!(
            "arcp.command",
            "arcp.message.type" = request.message.kind.as_str(),
            "arcp.session.id" = %request.session.id(),
            "arcp.job.id" = field::Empty,
            trace_id = field::Empty,
            "error.type" = field::Empty,
        );
        if let Some(job_id) = &request.message.job_id {
            span.record("arcp.job.id", field::display(job_id));
        }
        if let Some(trace_id) = &request.message.trace_id {
            span.record("trace_id", field::display(trace_id));
        }
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
    E: std::fmt::Display,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _entered = this.span.enter();
        let outcome = this.future.poll(cx);
        match &outcome {
            Poll::Ready(Ok(response)) => {
                if let Some(job_id) = response.replies.first().and_then(|reply| reply.job_id.as_ref()) {
                    this.span.record("arcp.job.id", field::display(job_id));
                }
            }
            Poll::Ready(Err(error)) => {
                this.span.record("error.type", field::display(error));
            }
            Poll::Pending => {}
        }
        outcome
    }
}
