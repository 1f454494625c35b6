//! What operations cost (§9.6).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use arcp_core::Error;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::agent::Job;
use crate::operation::{Operation, Output};

/// Charges what a backend says that an operation cost, in the moment it says so: an agent cannot
/// forget it, and cannot begin another operation before.
#[derive(Debug, Clone)]
pub struct MeterLayer {
    job: Job,
}

impl MeterLayer {
    pub(crate) fn new(job: Job) -> Self {
        Self { job }
    }
}

impl<S> Layer<S> for MeterLayer {
    type Service = Meter<S>;
    fn layer(&self, inner: S) -> Meter<S> {
        Meter { inner, job: self.job.clone() }
    }
}

/// The service of [`MeterLayer`].
#[derive(Debug, Clone)]
pub struct Meter<S> {
    inner: S,
    job: Job,
}

impl<S> Service<Operation> for Meter<S>
where
    S: Service<Operation, Response = Output, Error = Error>,
{
    type Response = Output;
    type Error = Error;
    type Future = MeterFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, operation: Operation) -> Self::Future {
        MeterFuture { future: self.inner.call(operation), job: self.job.clone() }
    }
}

pin_project! {
    /// The response future of [`Meter`].
    #[derive(Debug)]
    pub struct MeterFuture<F> {
        #[pin]
        future: F,
        job: Job,
    }
}

impl<F: Future<Output = Result<Output, Error>>> Future for MeterFuture<F> {
    type Output = Result<Output, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = ready!(this.future.poll(cx));
        if let Ok(output) = &outcome {
            for cost in &output.costs {
                this.job.authority().charge(&cost.currency, cost.amount);
            }
        }
        Poll::Ready(outcome)
    }
}
