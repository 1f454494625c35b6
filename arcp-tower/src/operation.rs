//! Operations: everything that an agent does with authority (§9), carried out by the runtime.
//!
//! An agent asks its [`Job`]; the runtime makes an [`Operation`] of it and sends it
//! through a stack of services that no agent can go round:
//!
//! | layer | what it does |
//! |---|---|
//! | [`LeaseLayer`](crate::layer::LeaseLayer) | asks the job's lease: expiry, budget, patterns (§9.3) |
//! | [`TraceLayer`](crate::TraceLayer) | one span |
//! | [`MeterLayer`](crate::layer::MeterLayer) | charges what the operation cost (§9.6) |
//! | those of [`Builder::operation_layer`](crate::Builder::operation_layer) | whatever an operator wants around all operations |
//! | those around one tool | time-outs, retries, a concurrency limit |
//! | the backend | a tool, files, HTTP, a model, another agent |
//!
//! A layer can refuse an operation, delay it or repeat it. It cannot widen it: what the lease allowed
//! is fixed in the operation, and one that never passed a [`LeaseLayer`](crate::layer::LeaseLayer)
//! reaches no backend. One that had to wait is asked about once more before it begins: it is refused if its
//! lease ended meanwhile, or its budget was used up.
//!
//! A tool of [`tool_fn`] takes what its argument's type takes, and refuses anything else by its place. With
//! the feature `schema`, one of `Builder::described_tool` is held to a JSON Schema as well, before it and
//! the layers around it are reached, and agents can read that schema: see [`Job::tools`].
//!
//! # A layer in front of one tool
//!
//! A tool is a `tower` service, so a layer goes around it as around any other. This one lets searches
//! through and refuses those for a word, before the tool sees them; the agent reads the refusal, and
//! the client sees it in the `tool_result` event:
//!
//! ```
//! use std::task::{Context, Poll};
//!
//! use arcp_tower::core::{Code, Error};
//! use arcp_tower::operation::{Operation, Output, tool_fn};
//! use arcp_tower::{BoxError, Job, Runtime, Service, agent_fn};
//! use futures_util::future::{Either, Ready, ready};
//! use tower::ServiceBuilder;
//!
//! /// Refuses searches for a word.
//! #[derive(Clone)]
//! struct Forbid<S>(S, &'static str);
//!
//! impl<S: Service<Operation, Response = Output, Error = BoxError>> Service<Operation> for Forbid<S> {
//!     type Response = Output;
//!     type Error = BoxError;
//!     type Future = Either<Ready<Result<Output, BoxError>>, S::Future>;
//!
//!     fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
//!         self.0.poll_ready(cx)
//!     }
//!
//!     fn call(&mut self, operation: Operation) -> Self::Future {
//!         if operation.args.as_str().contains(self.1) {
//!             let refusal = Error::new(Code::PermissionDenied, "this is not searched for");
//!             return Either::Left(ready(Err(refusal.into())));
//!         }
//!         Either::Right(self.0.call(operation))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let search = tool_fn(|query: String, _| async move { Ok(vec![format!("about {query}")]) });
//! let search = ServiceBuilder::new()
//!     .layer_fn(|inner| Forbid(inner, "secret"))
//!     .timeout(std::time::Duration::from_secs(10))
//!     .concurrency_limit(4)
//!     .service(search);
//! let agent = agent_fn(|query: String, job: Job| async move { Ok(job.tool("search.web", &query).await?.result) });
//! let runtime = Runtime::builder().tool("search.web", search).agent("searcher", agent).build()?;
//! # let _ = runtime;
//! # Ok(())
//! # }
//! ```

mod backend;
#[cfg(any(feature = "fetch", all(feature = "fs", unix)))]
mod carry;
#[cfg(feature = "fetch")]
pub mod fetch;
#[cfg(all(feature = "fs", unix))]
pub mod files;
#[cfg(any(feature = "fetch", feature = "fs"))]
mod granted;
mod output;
mod registered;
mod router;
mod tool;

use std::borrow::Cow;
use std::fmt;

use arcp_core::id::CallId;
use arcp_core::lease::{Namespace, Target};
use arcp_core::{Error, Json};
use bytes::Bytes;
use http::Extensions;

pub use backend::Backend;
pub use backend::backend;
#[cfg(all(feature = "fs", unix))]
pub(crate) use carry::Listing;
#[cfg(feature = "fetch")]
pub(crate) use carry::{Answer, Asked};
#[cfg(any(feature = "fetch", feature = "fs"))]
pub use granted::Granted;
pub use output::{Cost, Output};
pub use registered::ToolInfo;
pub(crate) use registered::{Registered, Tool};
pub(crate) use router::{Operations, Router};
pub use tool::{Call, ToolFn, tool_fn};

use crate::agent::Job;

/// One thing that a job wants to do.
#[derive(Clone)]
pub struct Operation {
    namespace: Namespace,
    target: Target<'static>,
    /// What goes with it: a tool's arguments, a model's request.
    pub args: Json,
    /// Bytes that go with it: what a file will be, the body of a request.
    pub content: Option<Bytes>,
    /// What layers tell each other about this operation.
    pub extensions: Extensions,
    permit: Option<Permit>,
    /// Its bits: an id of its own would be one more allocation.
    call: Option<u128>,
}

/// That a lease allowed an operation. Only a lease's layer makes one.
#[derive(Clone)]
struct Permit {
    job: Job,
}

impl Operation {
    /// An operation that no lease was asked about yet. A backend takes it only once a
    /// [`LeaseLayer`](crate::layer::LeaseLayer) let it through.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` if `target` has no canonical form in `namespace`, which no lease can cover: a
    /// relative path, an address with a user in it.
    pub fn new(namespace: Namespace, target: &str, args: Json) -> Result<Self, Error> {
        let target = Target::parse(&namespace, target)?.into_owned();
        Ok(Self {
            namespace,
            target,
            args,
            content: None,
            extensions: Extensions::new(),
            permit: None,
            call: None,
        })
    }

    /// The id that its `tool_call` and `tool_result` have; none before a job carries it out.
    pub fn call_id(&self) -> Option<CallId> {
        self.call.map(CallId::from_bits)
    }

    /// Under the id of its events.
    pub(crate) fn called(&mut self, bits: u128) {
        self.call = Some(bits);
    }

    /// The same, with bytes.
    pub fn with_content(mut self, content: impl Into<Bytes>) -> Self {
        self.content = Some(content.into());
        self
    }

    /// The capability that it needs (§9.2).
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// What it is about, in canonical form: the name of a tool, a path, an address.
    pub fn target(&self) -> &str {
        self.target.as_str()
    }

    /// The same, as leases match it.
    pub fn canonical(&self) -> &Target<'static> {
        &self.target
    }

    /// The job that wants it; `None` before a lease was asked.
    pub fn job(&self) -> Option<&Job> {
        self.permit.as_ref().map(|permit| &permit.job)
    }

    /// Whether it may begin now, though it waited since its lease allowed it: the lease has not ended, and
    /// there is money left (§9.5, §9.6). One without a permit is for its backend to refuse.
    ///
    /// # Errors
    /// `LEASE_EXPIRED` or `BUDGET_EXHAUSTED`.
    pub(crate) fn in_force(&self) -> Result<(), Error> {
        self.job().map_or(Ok(()), |job| job.authority().in_force())
    }

    /// A lease allowed it.
    pub(crate) fn permit(&mut self, job: Job) {
        self.permit = Some(Permit { job });
    }

    /// What a `tool_call` event names it by: a tool by its name, the rest by their capability.
    pub(crate) fn label(&self) -> Cow<'_, str> {
        match self.namespace {
            Namespace::ToolCall => Cow::Borrowed(self.target()),
            _ => Cow::Borrowed(self.namespace.as_str()),
        }
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments may be secrets.
        f.debug_struct("Operation")
            .field("namespace", &self.namespace)
            .field("target", &self.target())
            .field("permitted", &self.permit.is_some())
            .finish_non_exhaustive()
    }
}
