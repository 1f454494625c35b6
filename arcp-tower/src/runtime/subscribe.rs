//! `job.subscribe` and `job.unsubscribe` (§7.6).

use arcp_core::wire::job::{Subscribe, Subscribed, Unsubscribe};
use arcp_core::{Envelope, Error, Feature, MessageType};

use super::Commands;
use super::cancel::named;
use crate::service::Response;

pub(super) fn subscribe(commands: &Commands, message: &Envelope) -> Result<Response, Error> {
    let Commands { runtime, session } = commands;
    session.features().require(Feature::Subscribe)?;
    let Subscribe { job_id, from_event_seq, history, .. } = message.payload.decode()?;
    let job_id = named(message, job_id)?;
    let record = runtime.0.registry.visible(session.principal(), &job_id)?;
    tracing::info!(
        subscriber = %session.principal(),
        %job_id,
        owner = %record.session.principal(),
        decision = "allowed",
        "job.subscribe"
    );

    let (head, oldest, ended) = record.log.extent();
    let live = if ended { head } else { head + 1 };
    let next = if history {
        record.session.job_seq_after(&job_id, from_event_seq.unwrap_or(0)).max(oldest).min(live)
    } else {
        // The terminal of a job that has ended is always delivered: without it nobody would know.
        live
    };
    // A job that the session follows already keeps its one stream.
    let feed = if session.follows(&job_id) {
        None
    } else {
        let feed = session.follow(&record.log, next, false);
        Some(feed.ok_or_else(|| Error::limit("the session follows as many jobs as it may"))?)
    };

    let mut subscribed = Subscribed::new(job_id.clone(), record.agent.to_string(), record.status());
    subscribed.request_id.clone_from(&message.id);
    subscribed.lease = record.lease.clone();
    subscribed.lease_constraints.clone_from(&record.lease_constraints);
    subscribed.trace_id = Some(record.trace_id);
    subscribed.subscribed_from = record.session.last_of(&job_id);
    subscribed.replayed = feed.is_some() && next <= head;
    let reply = Envelope::new(MessageType::Subscribed, &subscribed)?.with_job(job_id);
    let session = session.clone();
    Ok(Response::one(reply.with_trace(Some(record.trace_id))).then(move || {
        if let Some(feed) = feed {
            session.tell(feed);
        }
    }))
}

pub(super) fn unsubscribe(commands: &Commands, message: &Envelope) -> Result<Response, Error> {
    let Commands { runtime, session } = commands;
    session.features().require(Feature::Subscribe)?;
    let Unsubscribe { job_id, .. } = message.payload.decode()?;
    let job_id = named(message, job_id)?;
    let own = runtime.0.registry.visible(session.principal(), &job_id);
    if own.is_ok_and(|record| record.session.id() == session.id()) {
        return Err(Error::fault("job_id", "must be a job of another session"));
    }
    // A job that was not followed is not followed afterwards either.
    session.unfollow(&job_id);
    Ok(Response::default())
}
