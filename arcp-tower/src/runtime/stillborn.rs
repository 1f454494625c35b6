//! A refusal in the form of a job that ends at once, for clients whose other jobs any
//! `session.error` would take down.

use std::sync::Arc;

use arcp_core::agent::AgentRef;
use arcp_core::job::FinalStatus;
use arcp_core::wire::job::{Accepted, JobError};
use arcp_core::{Envelope, Error, Event, JobId, Json, MessageType};
use serde::Deserialize;

use super::{Commands, JobStream};
use crate::profile::Refusable;
use crate::service::Response;
use crate::{clock, random};

pub(super) fn stillborn(commands: &Commands, error: &Error, request: &Refusable) -> Result<Response, Error> {
    #[derive(Deserialize)]
    struct Named {
        agent: AgentRef,
    }
    let Commands { runtime, session } = commands;
    let id = JobId::from_bits(random::bits());
    let log = Arc::new(JobStream::new(id.clone(), runtime.0.config.log_caps()));
    let payload = Json::of(&JobError::new(FinalStatus::Error, error, clock::wall()))?;
    let end = Event::terminal(MessageType::JobError, id.clone(), request.trace_id, payload);
    log.append(end).map_err(|e| Error::limit(e.to_string()))?;
    let feed = session
        .follow(&log, 1, true)
        .ok_or_else(|| Error::limit("the session follows as many jobs as it may"))?;

    // What was asked for may be no name at all; the reply needs one all the same.
    let asked = request.payload.decode().ok().map(|Named { agent }| agent.to_string());
    let mut accepted = Accepted::new(id.clone(), asked.as_deref().unwrap_or("unknown"), clock::wall());
    accepted.request_id.clone_from(&request.id);
    accepted.trace_id = request.trace_id;
    let reply = Envelope::new(MessageType::Accepted, &accepted)?.with_job(id).with_trace(request.trace_id);
    let session = session.clone();
    Ok(Response::one(reply).then(move || session.tell(feed)))
}
