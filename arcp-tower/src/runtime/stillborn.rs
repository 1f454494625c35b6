//! A refusal in the form of a job that ends at once, for clients whose other jobs any
//! `session.error` would take down.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::agent::AgentRef;
use arcp_core::job::{FinalStatus, Status};
use arcp_core::store::{Batch, FeedRow, JobRow, Op, StoredEvent};
use arcp_core::wire::job::{Accepted, JobError};
use arcp_core::{Envelope, Error, Event, JobId, Json, MessageType, Timestamp, TraceId};
use serde::Deserialize;

use super::body::JobBody;
use super::{Commands, JobStream, Journal, commit_patiently};
use crate::profile::Refusable;
use crate::random;
use crate::service::{Response, SessionCtx};

/// How long a refusal that could not be kept waits for its next try.
const RETRY: Duration = Duration::from_secs(1);

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
    let session = session.clone();
    let begin = move |session: &SessionCtx| {
        if let Some(feed) = session.follow_end(&log) {
            session.tell(feed);
        }
    };
    let Some(journal) = runtime.0.journal.clone() else {
        return Ok(Response::one(reply).then(move || begin(&session)));
    };
    // Those that the store does not take yet are only here.
    let place = session.refusals().try_acquire_owned();
    let place = place.map_err(|_| Error::limit("too many refusals wait for the store"))?;
    let now = runtime.wall();
    let refusal = Refusal { journal: journal.clone(), session, agent: asked, end, trace_id, now };
    Ok(Response::one(reply).then(move || {
        journal.spawn(async move {
            if refusal.kept().await {
                begin(&refusal.session);
            }
            drop(place);
        });
    }))
}

/// A refusal on its way to the store.
struct Refusal {
    journal: Arc<Journal>,
    session: SessionCtx,
    agent: String,
    end: Event,
    trace_id: TraceId,
    now: Timestamp,
}

impl Refusal {
    /// Has it kept, however long that takes: its client was told of a job, and waits for the end. `false` if
    /// its session is over.
    async fn kept(&self) -> bool {
        let (store, principal) = (&self.journal.store, self.session.principal().name());
        while let Err(error) = commit_patiently(store.clone(), self.batch()).await {
            if self.session.is_over() {
                return false;
            }
            // An earlier try may have done it.
            if let Ok(Some(_)) = store.job(principal, &self.end.job_id).await {
                return true;
            }
            tracing::warn!(%error, "a refusal could not be kept yet");
            tokio::time::sleep(RETRY).await;
        }
        true
    }

    /// The job, its end, and that the session follows it: under the epoch that it has now, since another
    /// connection may have taken it over.
    fn batch(&self) -> Batch {
        let Self { journal, session, agent, end, trace_id, now } = self;
        let (id, principal, epoch) =
            (end.job_id.clone(), session.principal().name().to_owned(), session.stored_epoch());
        let row = JobRow {
            id: id.clone(),
            principal: principal.clone(),
            session: session.id().clone(),
            agent: agent.clone(),
            status: Status::Running,
            created_at: *now,
            ended_at: None,
            head: 0,
            last_event_seq: 0,
            cancelling: false,
            note: None,
            owner: journal.owner,
            trace_id: *trace_id,
            body: JobBody::empty(),
        };
        let feed = FeedRow { job: id.clone(), principal: principal.clone(), next: 1, own: true };
        let append = Op::Append {
            job: id,
            owner: journal.owner,
            after: 0,
            events: vec![StoredEvent::of(end)],
            at: *now,
            ended: Some(Status::Error),
        };
        let follow = Op::PutFeed { session: session.id().clone(), epoch, feed };
        Batch { id: random::bits(), principal, ops: vec![Op::PutJob { row }, append, follow] }
    }
}
