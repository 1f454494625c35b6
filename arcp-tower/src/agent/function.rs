//! Agents of async functions and of tower services.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use arcp_core::{Error, Json};
use futures_util::future::{BoxFuture, FutureExt as _, poll_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower_service::Service;

use super::{Agent, AgentError, Job};
use crate::BoxError;

/// An agent of an async function. Its input is any `Deserialize` type, its result any `Serialize`
/// one, its error any error.
///
/// ```
/// use arcp_tower::{AgentError, Job, agent_fn};
///
/// #[derive(serde::Deserialize)]
/// struct Input { count: u64 }
///
/// let agent = agent_fn(|input: Input, job: Job| async move {
///     for i in 1..=input.count {
///         job.progress(i).total(input.count).send().await?;
///     }
///     Ok(input.count)
/// });
/// # let _ = agent;
/// ```
pub fn agent_fn<F, I, Fut, R>(f: F) -> AgentFn<F, I>
where
    F: Fn(I, Job) -> Fut + Send + Sync + 'static,
    I: DeserializeOwned + Send + 'static,
    Fut: Future<Output = Result<R, AgentError>> + Send + 'static,
    R: Serialize,
{
    AgentFn { f: Arc::new(f), input: PhantomData }
}

/// The agent of [`agent_fn`]. It is a `Service<Job>` too, so that layers can go around it; see
/// [`agent_service`].
pub struct AgentFn<F, I> {
    f: Arc<F>,
    input: PhantomData<fn(I)>,
}

impl<F, I> Clone for AgentFn<F, I> {
    fn clone(&self) -> Self {
        Self { f: self.f.clone(), input: PhantomData }
    }
}

impl<F, I> std::fmt::Debug for AgentFn<F, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AgentFn<{}>", std::any::type_name::<I>())
    }
}

impl<F, I, Fut, R> AgentFn<F, I>
where
    F: Fn(I, Job) -> Fut + Send + Sync + 'static,
    I: DeserializeOwned + Send + 'static,
    Fut: Future<Output = Result<R, AgentError>> + Send + 'static,
    R: Serialize,
{
    fn start(&self, job: Job) -> BoxFuture<'static, Result<Json, AgentError>> {
        let f = self.f.clone();
        async move {
            let input = job.input::<I>()?;
            let result = f(input, job).await?;
            Ok(Json::of(&result)?)
        }
        .boxed()
    }
}

#[cfg(feature = "schema")]
impl<F, I, Fut, R> AgentFn<F, I>
where
    F: Fn(I, Job) -> Fut + Send + Sync + 'static,
    I: DeserializeOwned + schemars::JsonSchema + Send + 'static,
    Fut: Future<Output = Result<R, AgentError>> + Send + 'static,
    R: Serialize + schemars::JsonSchema,
{
    /// Has it say in the inventory what it takes and gives, in the schemas of its types, and holds inputs
    /// to what they say beyond serde, such as ranges and patterns. See [`schema`](super::schema).
    pub fn typed(self) -> super::schema::Described<Self> {
        super::schema::described(self, super::schema::description_of::<I, R>())
    }
}

impl<F, I, Fut, R> Agent for AgentFn<F, I>
where
    F: Fn(I, Job) -> Fut + Send + Sync + 'static,
    I: DeserializeOwned + Send + 'static,
    Fut: Future<Output = Result<R, AgentError>> + Send + 'static,
    R: Serialize,
{
    fn check(&self, input: &Json) -> Result<(), Error> {
        input.decode_at::<I>("input").map(drop)
    }

    fn run(&self, job: Job) -> BoxFuture<'static, Result<Json, AgentError>> {
        self.start(job)
    }
}

impl<F, I, Fut, R> Service<Job> for AgentFn<F, I>
where
    F: Fn(I, Job) -> Fut + Send + Sync + 'static,
    I: DeserializeOwned + Send + 'static,
    Fut: Future<Output = Result<R, AgentError>> + Send + 'static,
    R: Serialize,
{
    type Response = Json;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Json, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, job: Job) -> Self::Future {
        let run = self.start(job);
        async move { run.await.map_err(|e| e.into_error().into()) }.boxed()
    }
}

/// An agent of a `tower` service: layers such as `tower::limit::ConcurrencyLimitLayer` make a queue
/// of its jobs. While the service is not ready a job is pending, and its events have not begun.
///
/// ```
/// use arcp_tower::{Job, agent_fn, agent_service};
/// use tower::ServiceBuilder;
///
/// let agent = agent_fn(|text: String, _: Job| async move { Ok(text) });
/// let one_at_a_time = agent_service(ServiceBuilder::new().concurrency_limit(1).service(agent));
/// # let _ = one_at_a_time;
/// ```
pub fn agent_service<S, R>(service: S) -> AgentService<S>
where
    S: Service<Job, Response = R, Error: Into<BoxError>, Future: Send + 'static> + Clone + Send + 'static,
    R: Serialize,
{
    AgentService(Mutex::new(service))
}

/// The agent of [`agent_service`].
#[derive(Debug)]
pub struct AgentService<S>(Mutex<S>);

impl<S, R> Agent for AgentService<S>
where
    S: Service<Job, Response = R, Error: Into<BoxError>, Future: Send + 'static> + Clone + Send + 'static,
    R: Serialize,
{
    fn run(&self, job: Job) -> BoxFuture<'static, Result<Json, AgentError>> {
        let mut service = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        async move {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            let result = service.call(job).await?;
            Ok(Json::of(&result)?)
        }
        .boxed()
    }
}
