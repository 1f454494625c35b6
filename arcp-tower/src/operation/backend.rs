//! Services that carry operations out, without their type.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use arcp_core::Error;
use futures_util::future::{BoxFuture, FutureExt as _, poll_fn};
use tower_service::Service;

use super::{Operation, Output};
use crate::BoxError;
use crate::fault::to_wire;
use crate::lock::lock;

/// Anything that carries operations out.
trait Erased: Send + Sync {
    fn start(&self, operation: Operation) -> BoxFuture<'static, Result<Output, Error>>;
}

/// A service that is cloned for each operation, as `tower`'s limits are made for.
struct Cloned<S>(Mutex<S>);

impl<S> Erased for Cloned<S>
where
    S: Service<Operation, Response = Output, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
{
    fn start(&self, operation: Operation) -> BoxFuture<'static, Result<Output, Error>> {
        let mut service = lock(&self.0).clone();
        async move {
            let failed = |e: S::Error| to_wire(&*e.into());
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(failed)?;
            // It may have waited there past the end of its lease, or of its money.
            operation.in_force()?;
            service.call(operation).await.map_err(failed)
        }
        .boxed()
    }
}

/// A backend of any type; see [`backend`].
#[derive(Clone)]
pub struct Backend(Arc<dyn Erased>);

/// Takes the type of a service that carries operations out, and what its errors say beside being one
/// of [`arcp_core::Error`]: the agent and the client read those.
pub fn backend<S>(service: S) -> Backend
where
    S: Service<Operation, Response = Output, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
{
    Backend(Arc::new(Cloned(Mutex::new(service))))
}

impl Service<Operation> for Backend {
    type Response = Output;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Output, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // Each operation has a clone of its own, and waits for that.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, operation: Operation) -> Self::Future {
        self.0.start(operation)
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backend")
    }
}
