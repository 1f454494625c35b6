//! What an agent does with authority (§9): it asks, and the runtime carries it out.

use std::borrow::Cow;
use std::future::poll_fn;

use arcp_core::id::CallId;
use arcp_core::lease::{Lease, Namespace, Target};
use arcp_core::wire::event::ToolCall;
use arcp_core::{Code, Error, Event, Json, Timestamp};
use serde::Serialize;
use tower_layer::Layer as _;
use tower_service::Service as _;

use super::unsaid::Unsaid;
use super::{Job, Level};
use crate::layer::{LeaseLayer, MeterLayer, TraceLayer};
use crate::operation::{Operation, Output, ToolInfo};

/// What a lease says of an operation, without carrying it out.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[must_use = "asking refuses nothing by itself"]
pub enum Verdict {
    /// It would be carried out.
    Allowed {
        /// The pattern that covers it; `None` where a deployment allows models that no lease names, or only
        /// [audits](crate::Builder::audit_leases) what no pattern covers.
        grant: Option<String>,
    },
    /// It would be refused with this error.
    Denied(Error),
}

impl Verdict {
    /// Whether it would be carried out.
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }

    /// The code of the refusal, if it would be refused.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Allowed { .. } => None,
            Self::Denied(error) => Some(error.code()),
        }
    }
}

impl Job {
    /// Calls a tool: `job.tool("search.web", &args)`. The lease needs `tool.call` for its name. The
    /// runtime says so with `tool_call` and `tool_result` events, and charges what the tool costs.
    ///
    /// ```
    /// # use arcp_tower::{AgentError, Job};
    /// async fn search(job: &Job) -> Result<Vec<String>, AgentError> {
    ///     let found = job.tool("search.web", &serde_json::json!({ "query": "arcp" })).await?;
    ///     Ok(found.decode()?)
    /// }
    /// ```
    ///
    /// # Errors
    /// `PERMISSION_DENIED`, `BUDGET_EXHAUSTED` or `LEASE_EXPIRED` if the lease does not allow it (§9.3),
    /// `INVALID_REQUEST` if there is no such tool or the arguments do not fit it, and whatever the tool
    /// fails with.
    pub async fn tool(&self, name: &str, args: &(impl Serialize + ?Sized)) -> Result<Output, Error> {
        self.operate(Operation::new(Namespace::ToolCall, name, Json::of(args)?)?).await
    }

    /// Asks a model: `job.model("tier-fast/small", &request)`. The lease needs `model.use` for its name
    /// (§9.7), if it names models or the deployment requires it to.
    ///
    /// # Errors
    /// As [`Job::tool`].
    pub async fn model(&self, model: &str, request: &(impl Serialize + ?Sized)) -> Result<Output, Error> {
        self.operate(Operation::new(Namespace::ModelUse, model, Json::of(request)?)?).await
    }

    /// Does something in a namespace of the deployment's own, such as `x-vendor.acme.gpu`.
    ///
    /// # Errors
    /// As [`Job::tool`], and `INVALID_REQUEST` if `namespace` is none.
    pub async fn operation(
        &self,
        namespace: &str,
        target: &str,
        args: &(impl Serialize + ?Sized),
    ) -> Result<Output, Error> {
        self.operate(Operation::new(named(namespace)?, target, Json::of(args)?)?).await
    }

    /// Only asks what would become of an operation now: expiry, budget, patterns. Nothing is recorded, also
    /// where a lease is only audited.
    pub fn check(&self, namespace: &str, target: &str) -> Verdict {
        let ask = || {
            let namespace = named(namespace)?;
            let target = Target::parse(&namespace, target)?;
            match self.authority().check(&namespace, &target) {
                Err(denial) if self.authority().only_audits(&denial) => Ok(None),
                verdict => Ok(verdict?.map(str::to_owned)),
            }
        };
        match ask() {
            Ok(grant) => Verdict::Allowed { grant },
            Err(denial) => Verdict::Denied(denial),
        }
    }

    /// The tools that its lease has a pattern for, in the order of their names, with what they say of
    /// themselves: what a model can be told that it may call.
    ///
    /// ```
    /// # use arcp_tower::Job;
    /// use serde_json::{Value, json};
    /// fn functions(job: &Job) -> Vec<Value> {
    ///     let function = |tool: &arcp_tower::operation::ToolInfo| {
    ///         json!({ "name": tool.name, "description": tool.description, "parameters": tool.input_schema })
    ///     };
    ///     job.tools().into_iter().map(function).collect()
    /// }
    /// ```
    pub fn tools(&self) -> Vec<&ToolInfo> {
        let granted = |name: &str| {
            let target = Target::parse(&Namespace::ToolCall, name);
            target.is_ok_and(|target| self.authority().covers(&Namespace::ToolCall, &target))
        };
        self.runtime().tools().iter().filter(|tool| granted(&tool.name)).collect()
    }

    /// What it may do, as it was accepted (§9.1).
    pub fn lease(&self) -> &Lease {
        self.authority().lease()
    }

    /// When its lease ends, if it does (§9.5). The runtime then ends the job.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.authority().expires_at()
    }

    /// Carries an operation out, and says so.
    pub(super) async fn operate(&self, mut operation: Operation) -> Result<Output, Error> {
        let bits = crate::random::bits();
        let call_id = CallId::from_bits(bits);
        let body = ToolCall {
            tool: operation.label().into_owned(),
            args: self.shown(&described(&operation)),
            call_id: call_id.to_string(),
        };
        operation.called(bits);
        self.emit_body("tool_call", &body).await?;
        let name = metric_of(operation.namespace());
        let target = match operation.namespace() {
            Namespace::ToolCall => body.tool,
            _ => operation.target().to_owned(),
        };
        let mut unsaid = Unsaid::of(self, call_id, name, target);
        let outcome = self.carry_out(operation).await;
        unsaid.came(&outcome);
        unsaid.say().await?;
        outcome
    }

    /// Sends an operation through the stack, and says nothing.
    pub(super) async fn carry_out(&self, operation: Operation) -> Result<Output, Error> {
        let metered = MeterLayer::new(self.clone()).layer(self.0.parts.operations.clone());
        let mut stack = LeaseLayer::new(self.clone()).layer(TraceLayer::new().layer(metered));
        poll_fn(|cx| stack.poll_ready(cx)).await?;
        stack.call(operation).await
    }

    /// What is only audited was let through: everybody who watches, and the audit, should know.
    pub(crate) fn would_deny(&self, namespace: &Namespace, target: &str, denial: &Error) {
        let (job_id, namespace) = (self.id(), namespace.as_str());
        tracing::warn!(%job_id, namespace, target, "the lease does not cover an operation");
        let message = format!("the lease does not cover this, and is only audited: {}", denial.message());
        let body = arcp_core::wire::event::Log { level: Cow::Borrowed(Level::Warn.as_str()), message };
        self.append("log", &body);
        let record = serde_json::json!({
            "action": "lease.would_deny", "job_id": job_id, "principal": self.principal().name(),
            "namespace": namespace, "target": target, "code": denial.code(),
        });
        self.0.parts.runtime.audit(self.principal(), &record);
    }

    /// A value, unless it is too large for an event.
    pub(super) fn shown(&self, value: &Json) -> Json {
        let bytes = value.as_str().len();
        if bytes <= self.config().max_shown {
            return value.clone();
        }
        Json::of(&serde_json::json!({ "omitted_bytes": bytes })).unwrap_or_else(|_| Json::empty_object())
    }

    /// Appends an event without waiting for room: there may be nobody to wait.
    pub(super) fn append(&self, kind: &str, body: &impl Serialize) {
        let parts = &self.0.parts;
        if let Ok(payload) = arcp_core::wire::event::payload(kind, self.wall(), body) {
            let event = Event::new(kind, parts.id.clone(), Some(parts.trace_id), payload);
            // A job that has ended needs it no more.
            let _ = parts.log.append(event);
        }
    }
}

/// The arguments of an operation as observers see them: those of tools as they are, and of the rest
/// what it is about, too.
fn described(operation: &Operation) -> Json {
    if *operation.namespace() == Namespace::ToolCall {
        return operation.args.clone();
    }
    let described = serde_json::json!({ "target": operation.target(), "args": operation.args });
    Json::of(&described).unwrap_or_else(|_| Json::empty_object())
}

/// A namespace by its name.
fn named(namespace: &str) -> Result<Namespace, Error> {
    namespace
        .parse()
        .map_err(|e: arcp_core::lease::InvalidNamespace| Error::fault("namespace", &e.to_string()))
}

/// The metric that the cost of an operation is reported as.
const fn metric_of(namespace: &Namespace) -> &'static str {
    match namespace {
        Namespace::ToolCall => "cost.tool",
        Namespace::ModelUse => "cost.inference",
        Namespace::NetFetch => "cost.fetch",
        Namespace::AgentDelegate => "cost.delegate",
        _ => "cost.operation",
    }
}
