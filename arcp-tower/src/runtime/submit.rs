//! `job.submit` (§7.1).

use std::sync::Arc;
use std::time::Duration;

use arcp_core::wire::job::{Accepted, Submit};
use arcp_core::{Envelope, Error, Feature, JobId, MessageType, TraceId};
use tower_layer::Layer as _;

use super::registry::JobRecord;
use super::{Commands, JobStream, Publish, supervise};
use crate::agent::{Job, JobParts};
use crate::layer::AckGateLayer;
use crate::service::Response;
use crate::{clock, random};

pub(super) fn submit(commands: &Commands, message: &Envelope) -> Result<Response, Error> {
    let Commands { runtime, session } = commands;
    let inner = &*runtime.0;
    let submit: Submit = message.payload.decode()?;
    let max_runtime = check(commands, &submit)?;
    let (agent_ref, agent) = inner.agents.resolve(&submit.agent)?;
    agent.check(&submit.input)?;

    let id = JobId::from_bits(random::bits());
    let trace_id = message.trace_id.unwrap_or_else(|| TraceId::from_bits(random::bits()));
    let log = Arc::new(JobStream::new(id.clone(), inner.config.log_caps()));
    let Submit { lease_request, lease_constraints, input, .. } = submit;
    let record = Arc::new(JobRecord::new(
        id.clone(),
        agent_ref.clone(),
        session.clone(),
        lease_request,
        lease_constraints,
        trace_id,
        log.clone(),
    ));
    inner.registry.insert(&record)?;
    let Some(feed) = session.follow(&log, 1, true) else {
        inner.registry.ended(&record);
        return Err(Error::limit("the session follows as many jobs as it may"));
    };

    let mut accepted = Accepted::new(id.clone(), agent_ref.to_string(), clock::wall());
    accepted.request_id.clone_from(&message.id);
    accepted.lease = record.lease.clone();
    accepted.lease_constraints.clone_from(&record.lease_constraints);
    accepted.trace_id = Some(trace_id);
    let reply =
        Envelope::new(MessageType::Accepted, &accepted)?.with_job(id.clone()).with_trace(Some(trace_id));

    let publish = Publish { log: log.clone(), session: session.clone() };
    let job = Job::new(JobParts {
        id,
        agent: agent_ref,
        input,
        trace_id,
        session: session.clone(),
        events: AckGateLayer::spending(session.credits()).layer(publish),
        log,
        cancel: record.cancel.clone(),
        config: inner.config.clone(),
    });
    let run =
        supervise::Run { record, job, agent: agent.clone(), registry: inner.registry.clone(), max_runtime };
    let (handle, session) = (inner.handle.clone(), session.clone());
    Ok(Response::one(reply).then(move || {
        session.tell(feed);
        let jobs = handle.clone();
        handle.spawn(run.supervise(jobs));
    }))
}

/// What can be said of a submit before its agent is known. Returns how long the job may run.
fn check(commands: &Commands, submit: &Submit) -> Result<Option<Duration>, Error> {
    let Commands { runtime, session } = commands;
    let (config, features) = (&runtime.0.config, session.features());
    if submit.agent.version().is_some() {
        features.require(Feature::AgentVersions)?;
    }
    submit.lease_request.validate(features, config.lease_caps())?;
    if let Some(constraints) = &submit.lease_constraints {
        if constraints.expires_at.is_some() {
            features.require(Feature::LeaseExpiresAt)?;
        }
        constraints.effective(clock::wall())?;
    }
    let most = config.max_runtime.as_secs();
    match submit.max_runtime_sec {
        Some(seconds) if seconds == 0 || seconds > most => {
            Err(Error::fault("payload.max_runtime_sec", &format!("must be 1 to {most}")))
        }
        seconds => Ok(seconds.map(Duration::from_secs)),
    }
}
