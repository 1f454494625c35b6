//! A refusal in the form of a job that ends at once, for clients whose other jobs any
//! `session.error` would take down.

use std::sync::Arc;

use arcp_core::agent::AgentRef;
use arcp_core::job::{FinalStatus, Status};
use arcp_core::store::{Batch, FeedRow, JobRow, Op, StoredEvent};
use arcp_core::wire::job::{Accepted, JobError};
use arcp_core::{Envelope, Error, Event, JobId, Json, MessageType, TraceId};
use serde::Deserialize;

use super::body::JobBody;
use super::{Commands, JobStream, Journal, commit_patiently};
use crate::profile::Refusable;
use crate::random;
use crate::service::Response;

pub(super) fn stillborn(commands: &Commands, error: &Error, request: &Refusable) -> Result<Response, Error> {
    #[derive(Deserialize)]
    struct Named {
        agent: AgentRef,
    }
    let Commands { runtime, session } = commands;
    let id = JobId::from_bits(random::bits());
    let trace_id = request.trace_id.unwrap_or_else(|| TraceId::from_bits(random::bits()));
    let payload = Json::of(&JobError::new(FinalStatus::Error, error, runtime.wall()))?;
    let end = Event::terminal(MessageType::JobError, id.clone(), Some(trace_id), payload);

    // What was asked for may be no name at all; the reply needs one all the same.
    let asked = request.payload.decode().ok().map(|Named { agent }| agent.to_string());
    let asked = asked.unwrap_or_else(|| "unknown".to_owned());
    let mut accepted = Accepted::new(id.clone(), asked.clone(), runtime.wall());
    accepted.request_id.clone_from(&request.id);
    accepted.trace_id = Some(trace_id);
    let reply =
        Envelope::new(MessageType::Accepted, &accepted)?.with_job(id.clone()).with_trace(Some(trace_id));

    // Its log is in memory only, even beside a store: by then the end is in both.
    let log =
        JobStream::new(id.clone(), trace_id, session.principal().clone(), runtime.0.config.log_caps(), None);
    let log = Arc::new(log);
    log.end(end.clone(), Status::Error).map_err(|e| Error::limit(e.to_string()))?;
    let (journal, session) = (runtime.0.journal.clone(), session.clone());
    let now = runtime.wall();
    let begin = move |session: &crate::service::SessionCtx| {
        if let Some(feed) = session.follow(&log, 1, true) {
            session.tell(feed);
        }
    };
    Ok(Response::one(reply).then(move || match journal {
        None => begin(&session),
        Some(journal) => {
            let batch = keep(&journal, &session, asked, &end, (trace_id, now));
            let store = journal.store.clone();
            journal.spawn(async move {
                match commit_patiently(store, batch).await {
                    Ok(_) => begin(&session),
                    Err(error) => tracing::warn!(%error, "a refusal could not be kept"),
                }
            });
        }
    }))
}

/// The job, its end, and that the session follows it.
fn keep(
    journal: &Journal,
    session: &crate::service::SessionCtx,
    agent: String,
    end: &Event,
    (trace_id, now): (TraceId, arcp_core::Timestamp),
) -> Batch {
    let (id, principal) = (end.job_id.clone(), session.principal().name().to_owned());
    let row = JobRow {
        id: id.clone(),
        principal: principal.clone(),
        session: session.id().clone(),
        agent,
        status: Status::Running,
        created_at: now,
        ended_at: None,
        head: 0,
        last_event_seq: 0,
        cancelling: false,
        note: None,
        owner: journal.owner,
        trace_id,
        body: JobBody::empty(),
    };
    let feed = FeedRow { job: id.clone(), principal: principal.clone(), next: 1, own: true };
    let append = Op::Append {
        job: id,
        owner: journal.owner,
        after: 0,
        events: vec![StoredEvent::of(end)],
        at: now,
        ended: Some(Status::Error),
    };
    let follow = Op::PutFeed { session: session.id().clone(), epoch: session.stored_epoch(), feed };
    Batch { id: random::bits(), principal, ops: vec![Op::PutJob { row }, append, follow] }
}
