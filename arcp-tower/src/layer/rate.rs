//! A rate of commands for each principal, over all its sessions.

use std::future::Future as _;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use tokio::time::Sleep;
use tower_layer::Layer;
use tower_service::Service;

use crate::auth::Principal;
use crate::layer::each_session::{EachSessionService, Wrap};
use crate::service::{Request, SessionCtx};

/// tokio's clock, so that a paused test holds this too.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TokioClock;

impl Clock for TokioClock {
    type Instant = Instant;
    fn now(&self) -> Instant {
        crate::clock::now()
    }
}

/// One bucket for each principal.
pub(crate) type Limiter =
    governor::RateLimiter<Principal, DashMapStateStore<Principal>, TokioClock, NoOpMiddleware<Instant>>;

/// How many commands a principal may send.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Quota {
    per_second: NonZeroU32,
    burst: NonZeroU32,
}

impl Quota {
    /// `per_second` commands, and as many at once.
    pub fn per_second(per_second: NonZeroU32) -> Self {
        Self { per_second, burst: per_second }
    }

    /// `burst` commands at once.
    pub fn burst(self, burst: NonZeroU32) -> Self {
        Self { burst, ..self }
    }
}

/// Delays the commands of a principal that sends too many, whatever the number of its sessions. It
/// is a layer over a connection service: the principal is known only after the handshake. Nothing
/// is refused, so a client that waits loses nothing; control traffic does not pass here.
///
/// ```
/// use std::num::NonZeroU32;
/// use arcp_tower::{PrincipalRateLayer, Runtime, layer::Quota};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let quota = Quota::per_second(NonZeroU32::new(50).unwrap());
/// let runtime = Runtime::builder().build().unwrap().layer(PrincipalRateLayer::new(quota));
/// # let _ = runtime;
/// # }
/// ```
#[derive(Clone)]
pub struct PrincipalRateLayer {
    limiter: Arc<Limiter>,
}

/// Principals that are remembered before those with full quota are forgotten.
const SWEEP: usize = 10_000;

impl PrincipalRateLayer {
    /// One quota for each principal.
    pub fn new(quota: Quota) -> Self {
        let quota = governor::Quota::per_second(quota.per_second).allow_burst(quota.burst);
        let limiter = governor::RateLimiter::new(quota, DashMapStateStore::default(), TokioClock);
        Self { limiter: Arc::new(limiter) }
    }
}

impl std::fmt::Debug for PrincipalRateLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrincipalRateLayer")
    }
}

impl<M> Layer<M> for PrincipalRateLayer {
    type Service = EachSessionService<M, Self>;
    fn layer(&self, make: M) -> Self::Service {
        EachSessionService::new(make, self.clone())
    }
}

impl<S> Wrap<S> for PrincipalRateLayer {
    type Service = PrincipalRate<S>;
    fn wrap(&self, cx: &SessionCtx, inner: S) -> PrincipalRate<S> {
        if self.limiter.len() > SWEEP {
            self.limiter.retain_recent();
        }
        let (limiter, principal) = (self.limiter.clone(), cx.principal().clone());
        PrincipalRate { inner, limiter, principal, sleep: None, granted: false }
    }
}

/// The service of [`PrincipalRateLayer`], one for each session.
pub struct PrincipalRate<S> {
    inner: S,
    limiter: Arc<Limiter>,
    principal: Principal,
    sleep: Option<Pin<Box<Sleep>>>,
    granted: bool,
}

impl<S> std::fmt::Debug for PrincipalRate<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrincipalRate").field("principal", &self.principal).finish_non_exhaustive()
    }
}

impl<S: Service<Request>> Service<Request> for PrincipalRate<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        while !self.granted {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            match self.limiter.check_key(&self.principal) {
                Ok(()) => self.granted = true,
                Err(wait) => {
                    // Never zero, or a clock that stands still would turn this into a busy loop.
                    let wait = wait.wait_time_from(crate::clock::now()).max(Duration::from_millis(1));
                    self.sleep = Some(Box::pin(tokio::time::sleep(wait)));
                }
            }
        }
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> S::Future {
        self.granted = false;
        self.inner.call(request)
    }
}
