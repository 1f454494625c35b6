//! Lease enforcement (§9.3), in front of everything that carries operations out.

use std::task::{Context, Poll};

use arcp_core::Error;
use futures_util::future::{Either, Ready, ready};
use tower_layer::Layer;
use tower_service::Service;

use crate::agent::Job;
use crate::operation::{Operation, Output};
use crate::telemetry;

/// Asks a job's lease about each operation: whether it has expired, whether there is budget left, and
/// whether a pattern covers the target, in this order. What is denied goes no further.
///
/// The runtime puts it around every job's operations; it is not one of the layers that can be left
/// out. With [`Builder::audit_leases`](crate::Builder::audit_leases) it lets through what it would
/// deny, and says so.
#[derive(Debug, Clone)]
pub struct LeaseLayer {
    job: Job,
}

impl LeaseLayer {
    pub(crate) fn new(job: Job) -> Self {
        Self { job }
    }
}

impl<S> Layer<S> for LeaseLayer {
    type Service = Lease<S>;
    fn layer(&self, inner: S) -> Lease<S> {
        Lease { inner, job: self.job.clone() }
    }
}

/// The service of [`LeaseLayer`].
#[derive(Debug, Clone)]
pub struct Lease<S> {
    inner: S,
    job: Job,
}

impl<S> Service<Operation> for Lease<S>
where
    S: Service<Operation, Response = Output, Error = Error>,
{
    type Response = Output;
    type Error = Error;
    type Future = Either<S::Future, Ready<Result<Output, Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    /// The check is here and not in `poll_ready`: it is about this operation, and about now.
    fn call(&mut self, mut operation: Operation) -> Self::Future {
        let authority = self.job.authority();
        if let Err(denial) = authority.check(operation.namespace(), operation.canonical()) {
            telemetry::denied(operation.namespace(), &denial);
            if !authority.only_audits(&denial) {
                return Either::Right(ready(Err(denial)));
            }
            self.job.would_deny(operation.namespace(), operation.target(), &denial);
        }
        operation.permit(self.job.clone());
        Either::Left(self.inner.call(operation))
    }
}
