//! Tools of async functions.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use arcp_core::money::{Amount, Currency};
use arcp_core::{Code, Error, JobId, Json, TraceContext, TraceId};
use futures_util::future::{BoxFuture, FutureExt as _};
use http::Extensions;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower_service::Service;

use super::{Operation, Output};
use crate::BoxError;
use crate::agent::{AgentError, Job};
use crate::auth::Principal;

/// A tool of an async function: any `Deserialize` arguments, any `Serialize` result, any error. It is
/// a `Service<Operation>`, so that layers go around it.
///
/// ```
/// use arcp_tower::operation::tool_fn;
///
/// #[derive(serde::Deserialize)]
/// struct Search { query: String }
///
/// let search = tool_fn(|args: Search, call| async move {
///     // What it cost is charged to the job, whatever comes of it.
///     call.charge("USD".parse()?, "0.002".parse()?).await?;
///     Ok(vec![args.query])
/// });
/// # let _ = search;
/// ```
pub fn tool_fn<F, I, Fut, R>(f: F) -> ToolFn<F, I>
where
    F: Fn(I, Call) -> Fut + Send + Sync + 'static,
    I: DeserializeOwned + Send + 'static,
    Fut: Future<Output = Result<R, AgentError>> + Send + 'static,
    R: Serialize,
{
    ToolFn { f: Arc::new(f), args: PhantomData }
}

/// The tool of [`tool_fn`].
pub struct ToolFn<F, I> {
    f: Arc<F>,
    args: PhantomData<fn(I)>,
}

impl<F, I> Clone for ToolFn<F, I> {
    fn clone(&self) -> Self {
        Self { f: self.f.clone(), args: PhantomData }
    }
}

impl<F, I> std::fmt::Debug for ToolFn<F, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ToolFn<{}>", std::any::type_name::<I>())
    }
}

#[cfg(feature = "schema")]
impl<F, I, Fut, R> ToolFn<F, I>
where
    F: Fn(I, Call) -> Fut + Send + Sync + 'static,
    I: DeserializeOwned + schemars::JsonSchema + Send + 'static,
    Fut: Future<Output = Result<R, AgentError>> + Send + 'static,
    R: Serialize + schemars::JsonSchema,
{
    /// The schemas of its types, for [`Builder::described_tool`](crate::Builder::described_tool).
    pub fn description(&self) -> arcp_core::agent::AgentDescription {
        crate::agent::schema::description_of::<I, R>()
    }
}

impl<F, I, Fut, R> Service<Operation> for ToolFn<F, I>
where
    F: Fn(I, Call) -> Fut + Send + Sync + 'static,
    I: DeserializeOwned + Send + 'static,
    Fut: Future<Output = Result<R, AgentError>> + Send + 'static,
    R: Serialize,
{
    type Response = Output;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Output, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, operation: Operation) -> Self::Future {
        let f = self.f.clone();
        async move {
            // A layer around this one may have kept it waiting, or makes the call again.
            operation.in_force()?;
            let args = operation.args.decode_at::<I>("args")?;
            let call = Call::of(operation)?;
            let result = f(args, call).await.map_err(AgentError::into_error)?;
            Ok(Output::from(Json::of(&result)?))
        }
        .boxed()
    }
}

/// What a tool knows of its call.
#[derive(Debug, Clone)]
pub struct Call {
    job: Job,
    name: String,
    extensions: Extensions,
}

impl Call {
    fn of(operation: Operation) -> Result<Self, Error> {
        let unasked = || Error::new(Code::PermissionDenied, "no lease was asked");
        let job = operation.job().cloned().ok_or_else(unasked)?;
        let name = operation.target().to_owned();
        Ok(Self { job, name, extensions: operation.extensions })
    }

    /// The job that calls. What a tool emits through it are the job's events.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// The id of that job.
    pub fn job_id(&self) -> &JobId {
        self.job.id()
    }

    /// Whom that job acts for.
    pub fn principal(&self) -> &Principal {
        self.job.principal()
    }

    /// The trace that the call belongs to (§11).
    pub fn trace_id(&self) -> TraceId {
        self.job.trace_id()
    }

    /// What to tell a service that the call goes on to; see [`Job::trace_context`].
    pub fn trace_context(&self) -> TraceContext {
        self.job.trace_context()
    }

    /// What layers know of this call.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Charges what the call has cost so far, whatever comes of it later: also if it fails, or is
    /// made again.
    ///
    /// # Errors
    /// As [`Job::log`].
    pub async fn charge(&self, currency: Currency, amount: Amount) -> Result<(), Error> {
        self.job.charge("cost.tool", &self.name, currency, amount).await
    }
}
