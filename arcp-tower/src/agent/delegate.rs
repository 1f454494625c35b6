//! Part of a job's work goes to another agent, with part of its authority (§10).

use std::time::Duration;

use arcp_core::agent::AgentRef;
use arcp_core::id::DelegateId;
use arcp_core::lease::{Lease, LeaseConstraints, Namespace};
use arcp_core::wire::event::{Delegate, ToolResult};
use arcp_core::{Code, Error, JobId, Json, Timestamp};
use serde::Serialize;

use super::Job;
use crate::fault;
use crate::operation::Operation;
use crate::runtime::ChildJob;

/// A delegation that is being put together; see [`Job::delegate`].
#[derive(Debug)]
#[must_use = "nothing is delegated before `send`"]
pub struct Delegation<'a> {
    job: &'a Job,
    agent: String,
    input: Result<Json, Error>,
    lease: Lease,
    constraints: Option<LeaseConstraints>,
    max_runtime: Option<Duration>,
}

/// What a delegation asks of the runtime.
#[derive(Debug, Clone)]
pub(crate) struct Delegated {
    pub(crate) delegate_id: DelegateId,
    pub(crate) agent: AgentRef,
    pub(crate) lease: Lease,
    pub(crate) constraints: Option<LeaseConstraints>,
    pub(crate) max_runtime: Option<Duration>,
}

impl Job {
    /// Begins to delegate `input` to an agent of this runtime. The lease needs `agent.delegate` for
    /// its name. The child gets the grants that it is given here and no others, and they must be
    /// within this job's (§9.4); money that it is given is taken from this job's, and what it leaves
    /// comes back when it ends. Money that it is not given a counter of is spent from this job's.
    ///
    /// A child is cancelled with its parent, and ends with it at the latest.
    ///
    /// ```
    /// # use arcp_tower::{AgentError, Job};
    /// # use arcp_tower::core::lease::Namespace;
    /// async fn lint(job: &Job) -> Result<String, AgentError> {
    ///     let child = job
    ///         .delegate("lint-runner", &"/workspace/src")
    ///         .grant(Namespace::FsRead, "/workspace/src/**")
    ///         .budget("USD", "0.50")
    ///         .send()
    ///         .await?;
    ///     Ok(child.result().await?.decode()?)
    /// }
    /// ```
    pub fn delegate(&self, agent: impl Into<String>, input: &(impl Serialize + ?Sized)) -> Delegation<'_> {
        Delegation {
            job: self,
            agent: agent.into(),
            input: Json::of(input),
            lease: Lease::default(),
            constraints: None,
            max_runtime: None,
        }
    }
}

impl Delegation<'_> {
    /// Grants a pattern.
    pub fn grant(mut self, namespace: Namespace, pattern: impl Into<String>) -> Self {
        self.lease.0.entry(namespace).or_default().push(pattern.into());
        self
    }

    /// Gives money.
    pub fn budget(self, currency: &str, amount: &str) -> Self {
        self.grant(Namespace::CostBudget, format!("{currency}:{amount}"))
    }

    /// Grants what `lease` says, beside what was granted before.
    pub fn lease(mut self, lease: Lease) -> Self {
        for (namespace, patterns) in lease.0 {
            self.lease.0.entry(namespace).or_default().extend(patterns);
        }
        self
    }

    /// Lets the authority end at `at`; without, it ends with the parent's.
    pub fn expires_at(mut self, at: Timestamp) -> Self {
        self.constraints = Some(LeaseConstraints::expires_at(at));
        self
    }

    /// Lets it run for so long at the most.
    pub fn max_runtime(mut self, most: Duration) -> Self {
        self.max_runtime = Some(most);
        self
    }

    /// Delegates. The runtime says so with a `delegate` event, and with a `tool_result` if it refuses.
    ///
    /// # Errors
    /// As [`Job::tool`], and `LEASE_SUBSET_VIOLATION` if the child's lease is not within this job's,
    /// `AGENT_NOT_AVAILABLE` if there is no such agent, and `INTERNAL_ERROR` with reason `limit` if the
    /// tree grows too deep or too wide.
    pub async fn send(self) -> Result<ChildJob, Error> {
        let delegate_id = DelegateId::from_bits(crate::random::bits());
        let Self { job, agent, input, lease, constraints, max_runtime } = self;
        let outcome = async {
            let (input, agent) =
                (input?, agent.parse::<AgentRef>().map_err(|e| Error::fault("agent", &e.to_string()))?);
            let mut operation = Operation::new(Namespace::AgentDelegate, agent.name(), input)?;
            let delegate_id = delegate_id.clone();
            operation.extensions.insert(Delegated { delegate_id, agent, lease, constraints, max_runtime });
            let output = job.carry_out(operation).await?;
            let child = output.extensions.get::<ChildJob>().cloned();
            child.ok_or_else(|| Error::new(Code::InternalError, "a layer answered in place of the runtime"))
        };
        match outcome.await {
            Ok(child) => {
                let accepted = child.accepted();
                let body = Delegate {
                    child_job_id: Some(child.id().clone()),
                    agent: accepted.agent.clone().unwrap_or(agent),
                    lease: Some(Json::of(&accepted.lease)?),
                    delegate_id: Some(delegate_id),
                    ..Delegate::default()
                };
                // It runs only from now on: nobody hears of a child before its parent named it.
                let said = job.emit_body("delegate", &body).await;
                child.begin();
                said.map(|()| child)
            }
            Err(error) => {
                let call_id = delegate_id.to_string();
                let said = fault::cut(error.clone(), job.config()).body();
                let body = ToolResult { call_id, result: None, error: Some(said) };
                job.emit_body("tool_result", &body).await?;
                Err(error)
            }
        }
    }
}

/// Jobs of one tree, by id; what a child needs to know of where it hangs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Parent {
    pub(crate) job_id: JobId,
    pub(crate) delegate_id: DelegateId,
    /// How far it is from the job that a client submitted, which is 0.
    pub(crate) depth: usize,
}
