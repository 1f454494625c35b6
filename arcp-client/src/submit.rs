//! Submitting a job (§7.1).

use std::time::Duration;

use arcp_core::agent::AgentRef;
use arcp_core::lease::{Caps, Lease, LeaseConstraints, Namespace};
use arcp_core::wire::job::Submit;
use arcp_core::{Envelope, Error, Feature, Json, MessageType, Timestamp, TraceContext, TraceId};
use serde::Serialize;
use tracing::Instrument as _;

use crate::engine::Slot;
use crate::error::RequestError;
use crate::job::JobHandle;
use crate::pending::Kind;
use crate::random;
use crate::session::{Ask, Session};
use crate::trace;

/// A job that is about to be submitted.
#[derive(Debug)]
#[must_use = "nothing is submitted before `send`"]
pub struct Submission {
    session: Session,
    agent: Result<AgentRef, Error>,
    input: Json,
    lease: Lease,
    constraints: Option<LeaseConstraints>,
    idempotency_key: Option<String>,
    max_runtime_sec: Option<u64>,
    trace_id: Option<TraceId>,
    fault: Option<Error>,
}

impl Submission {
    pub(crate) fn new(session: Session, agent: &str) -> Self {
        Self {
            session,
            agent: agent.parse().map_err(|e| Error::fault("agent", &format!("{e}"))),
            input: Json::null(),
            lease: Lease::default(),
            constraints: None,
            idempotency_key: None,
            max_runtime_sec: None,
            trace_id: None,
            fault: None,
        }
    }

    /// The agent's input; `null` if not set.
    pub fn input<T: Serialize + ?Sized>(mut self, input: &T) -> Self {
        match Json::of(input) {
            Ok(input) => self.input = input,
            Err(error) => self.fault = Some(error),
        }
        self
    }

    /// Asks for grants in a namespace of §9.2, such as `fs.read`; those of a repeat are added.
    pub fn lease<P: Into<String>>(mut self, namespace: &str, patterns: impl IntoIterator<Item = P>) -> Self {
        match namespace.parse::<Namespace>() {
            Ok(namespace) => {
                self.lease.0.entry(namespace).or_default().extend(patterns.into_iter().map(Into::into));
            }
            Err(e) => self.fault = Some(Error::fault("lease", &e.to_string())),
        }
        self
    }

    /// Asks for money: `"USD"` and `"5.00"` (§9.6). A currency may have one budget.
    pub fn budget(self, currency: &str, amount: &str) -> Self {
        self.lease(Namespace::CostBudget.as_str(), [format!("{currency}:{amount}")])
    }

    /// When the grants end (§9.5).
    pub fn expires_at(mut self, at: Timestamp) -> Self {
        self.constraints = Some(LeaseConstraints::expires_at(at));
        self
    }

    /// Makes a repeat of this submit harmless: the runtime answers it with the same job (§7.2). Only
    /// so is it repeated by itself when the connection is lost before the answer comes.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// How long the job may run, in whole seconds, rounded up.
    pub fn max_runtime(mut self, most: Duration) -> Self {
        let seconds = most.as_secs().saturating_add(u64::from(most.subsec_nanos() > 0));
        self.max_runtime_sec = Some(seconds.max(1));
        self
    }

    /// The trace that the job belongs to (§11). If not set, it is that of the span that the submit is
    /// made in, with the feature `otel`, else a new one.
    pub fn trace_id(mut self, trace_id: TraceId) -> Self {
        self.trace_id = Some(trace_id);
        self
    }

    /// Submits the job and waits until it is accepted. If this is dropped before that, the job may
    /// run all the same.
    ///
    /// # Errors
    /// [`RequestError`], `Refused` if there will be no job.
    pub async fn send(self) -> Result<JobHandle, RequestError> {
        let span = trace::submit_span(self.agent.as_ref().map_or("", AgentRef::name));
        let outcome = self.submit().instrument(span.clone()).await;
        trace::submitted(&span, &outcome);
        outcome
    }

    async fn submit(self) -> Result<JobHandle, RequestError> {
        let session = self.session.clone();
        let here = trace::current().filter(|here| self.trace_id.is_none_or(|id| id == here.trace_id()));
        let trace = match self.trace_id.or(here.as_ref().map(TraceContext::trace_id)) {
            Some(trace) => trace,
            None => random::trace_id().map_err(RequestError::Invalid)?,
        };
        let submit = self.payload()?;
        let message = Envelope::new(MessageType::Submit, &submit).map_err(RequestError::Invalid)?;
        let message = match here {
            Some(here) => message.with_trace_context(here),
            None => message.with_trace(Some(trace)),
        };
        let mut ask = Ask::new(Kind::Submit, message)?;
        ask.again = submit.idempotency_key.is_some();
        let (accepted, feed) = session.request(ask, Slot::Submit).await?;
        Ok(JobHandle::new(session, accepted, trace, feed))
    }

    /// The payload, if it uses nothing that was not negotiated (§6.2).
    fn payload(self) -> Result<Submit, RequestError> {
        if let Some(fault) = self.fault {
            return Err(RequestError::Invalid(fault));
        }
        let agent = self.agent.map_err(RequestError::Invalid)?;
        let info = self.session.info();
        let needs = [
            (Feature::AgentVersions, agent.version().is_some()),
            (Feature::LeaseExpiresAt, self.constraints.is_some()),
            (Feature::CostBudget, self.lease.0.contains_key(&Namespace::CostBudget)),
            (Feature::ModelUse, self.lease.0.contains_key(&Namespace::ModelUse)),
        ];
        for (feature, _) in needs.into_iter().filter(|(_, used)| *used) {
            info.require(feature)?;
        }
        // Its caps are the runtime's to set; its form is known here.
        let caps = Caps { patterns: usize::MAX, pattern_bytes: usize::MAX, bytes: usize::MAX };
        self.lease.validate(info.features, caps).map_err(RequestError::Invalid)?;
        let mut submit = Submit::new(agent, self.input);
        submit.lease_request = self.lease;
        submit.lease_constraints = self.constraints;
        submit.idempotency_key = self.idempotency_key;
        submit.max_runtime_sec = self.max_runtime_sec;
        Ok(submit)
    }
}
