//! Acknowledgement back-pressure as readiness (§6.5).

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;
use tower_layer::Layer;
use tower_service::Service;

/// Makes a service ready only while a session has credits. It works for every kind of request: on
/// events it spends a credit for each, on commands it only waits for one.
#[derive(Debug, Clone)]
pub struct AckGateLayer {
    credits: Arc<Semaphore>,
    spend: bool,
}

impl AckGateLayer {
    /// Each call spends a credit; `session.ack` gives it back.
    pub fn spending(credits: Arc<Semaphore>) -> Self {
        Self { credits, spend: true }
    }

    /// Each call waits for a credit and spends none: no new work for a consumer that is behind.
    ///
    /// Commands that wait are read ahead up to [`Config::max_pending`](crate::Config::max_pending), and no
    /// further: a client that sends more of them at once than that, and its ack behind them, waits for itself.
    pub fn waiting(credits: Arc<Semaphore>) -> Self {
        Self { credits, spend: false }
    }
}

impl<S> Layer<S> for AckGateLayer {
    type Service = AckGate<S>;
    fn layer(&self, inner: S) -> AckGate<S> {
        let credits = PollSemaphore::new(self.credits.clone());
        AckGate { inner, credits, permit: None, spend: self.spend }
    }
}

/// The service of [`AckGateLayer`].
#[derive(Debug)]
pub struct AckGate<S> {
    inner: S,
    credits: PollSemaphore,
    permit: Option<OwnedSemaphorePermit>,
    spend: bool,
}

// A clone was not asked whether it is ready, so it holds no permit: as `tower`'s own limits do.
impl<S: Clone> Clone for AckGate<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), credits: self.credits.clone(), permit: None, spend: self.spend }
    }
}

impl<S: Service<R>, R> Service<R> for AckGate<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if self.permit.is_none() {
            // The semaphore is never closed; were it, the gate would be open.
            self.permit = ready!(self.credits.poll_acquire(cx));
        }
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        let permit = self.permit.take();
        if self.spend {
            permit.into_iter().for_each(OwnedSemaphorePermit::forget);
        }
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower::{ServiceExt as _, service_fn};

    #[tokio::test]
    async fn a_spending_gate_shuts_and_a_waiting_one_only_looks() {
        let credits = Arc::new(Semaphore::new(2));
        let inner = service_fn(|()| async { Ok::<_, std::convert::Infallible>(()) });
        let mut spending = AckGateLayer::spending(credits.clone()).layer(inner);
        let mut waiting = AckGateLayer::waiting(credits.clone()).layer(inner);
        for left in [1, 0] {
            waiting.ready().await.unwrap().call(()).await.unwrap();
            spending.ready().await.unwrap().call(()).await.unwrap();
            assert_eq!(credits.available_permits(), left);
        }
        let shut = tokio::time::timeout(std::time::Duration::from_millis(1), waiting.ready()).await;
        assert!(shut.is_err());
        credits.add_permits(1);
        waiting.ready().await.unwrap().call(()).await.unwrap();
        assert_eq!(credits.available_permits(), 1);
    }
}
