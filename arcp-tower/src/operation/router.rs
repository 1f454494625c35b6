//! From an operation to the backend that carries it out.

use std::sync::Arc;
use std::task::{Context, Poll};

use arcp_core::lease::Namespace;
use arcp_core::{Code, Error};
use futures_util::future::{BoxFuture, Either, Ready, ready};
use tower_service::Service;

use super::{Backend, Operation, Output, Registered};

/// The innermost service of the stack. An operation that a layer held past the end of its lease goes no
/// further (§9.5), and neither does one that no lease was asked about. What waits below, for its backend to
/// be ready or for a slot of it, looks again when it has it.
#[derive(Debug, Clone)]
pub(crate) struct Router(Arc<Registered>);

impl Router {
    pub(crate) fn new(registered: Registered) -> Self {
        Self(Arc::new(registered))
    }

    fn find(&self, operation: &Operation) -> Result<Backend, Error> {
        let Some(job) = operation.job() else {
            return Err(Error::new(Code::PermissionDenied, "no lease was asked for this operation"));
        };
        job.authority().alive()?;
        let found = match operation.namespace() {
            Namespace::ToolCall => match self.0.tools.get(operation.target()) {
                Some(tool) => Some(tool.taking(&operation.args)?),
                None => None,
            },
            namespace => self.0.others.get(namespace),
        };
        found.cloned().ok_or_else(|| {
            let what = operation.label();
            Error::fault("operation", &format!("{what} is not registered here"))
                .with_detail("reason", "unknown")
        })
    }
}

impl Service<Operation> for Router {
    type Response = Output;
    type Error = Error;
    type Future = Either<Ready<Result<Output, Error>>, BoxFuture<'static, Result<Output, Error>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, operation: Operation) -> Self::Future {
        match self.find(&operation) {
            Ok(mut backend) => Either::Right(backend.call(operation)),
            Err(e) => Either::Left(ready(Err(e))),
        }
    }
}

/// What is below the leases: the router, or the operator's layers around it.
#[derive(Debug, Clone)]
pub(crate) enum Operations {
    /// Nothing around it, and so no box for each operation.
    Plain(Router),
    Layered(Backend),
}

impl Service<Operation> for Operations {
    type Response = Output;
    type Error = Error;
    type Future = <Router as Service<Operation>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, operation: Operation) -> Self::Future {
        match self {
            Self::Plain(router) => router.call(operation),
            Self::Layered(backend) => Either::Right(backend.call(operation)),
        }
    }
}
