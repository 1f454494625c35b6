//! `job.subscribe` and `job.unsubscribe` (§7.6).

use std::sync::Arc;

use arcp_core::session::Outbox;
use arcp_core::store::{Batch, FeedRow, Op};
use arcp_core::wire::job::{Subscribe, Subscribed, Unsubscribe};
use arcp_core::{Code, Envelope, Error, Feature, JobId, Json, MessageType};
use serde::Serialize;

use super::cancel::named;
use super::registry::{JobRecord, not_found};
use super::{Commands, Journal, commit_patiently, recall, refused};
use crate::observe::Access;
use crate::random;
use crate::service::{Response, SessionCtx};

/// What a subscription begins with.
struct Wanted {
    job_id: JobId,
    from_event_seq: u64,
    history: bool,
}

pub(super) fn in_memory(commands: &Commands, message: &Envelope) -> Result<Response, Error> {
    let wanted = read(commands, message)?;
    let found = commands.runtime.here(&commands.session.caller(), &wanted.job_id);
    let record = decide(found, &wanted.job_id);
    audit(commands, &wanted.job_id, record.as_ref().ok());
    let record = record?;
    let submitter = commands.runtime.submitter(&record);
    let numbers = submitter.map_or(Numbers::NONE, |session| numbers_in_memory(&session, &wanted));
    let (_, oldest, _) = record.log.extent();
    begin(commands, message, &record, &wanted, numbers, oldest)
}

pub(super) async fn stored(commands: &Commands, message: &Envelope) -> Result<Response, Error> {
    let Commands { runtime, session } = commands;
    let Some(journal) = &runtime.0.journal else { return in_memory(commands, message) };
    let wanted = read(commands, message)?;
    let found = runtime.anywhere(&session.caller(), &wanted.job_id).await.map_err(|e| refused(&e))?;
    let record = decide(found, &wanted.job_id);
    let decision = audit(commands, &wanted.job_id, record.as_ref().ok());
    let decision = Op::Audit { at: runtime.wall(), record: Json::of(&decision)? };
    let record = match record {
        Ok(record) => record,
        Err(e) => {
            keep(commands, journal, vec![decision]).await?;
            return Err(e);
        }
    };
    let numbers = if let Some(submitter) = runtime.submitter(&record) {
        numbers_in_memory(&submitter, &wanted)
    } else {
        let row = journal.store.session(&record.session_id).await.map_err(|e| refused(&e))?;
        match row {
            Some(row) => {
                // Before its numbers: should it go on meanwhile, nothing is left out.
                let feeds = journal.store.feeds(&row.id).await.map_err(|e| refused(&e))?;
                let outbox = recall::outbox(&*journal.store, &row, &runtime.0.config).await;
                let mut outbox = outbox.map_err(|e| refused(&e))?;
                if let Some(feed) = feeds.into_iter().find(|feed| feed.job == wanted.job_id) {
                    outbox.follow(feed.job, feed.next, feed.own);
                }
                numbers_of(&outbox, &wanted)
            }
            None => Numbers::NONE,
        }
    };
    let page = journal.store.job_events(&wanted.job_id, 0, 1).await.map_err(|e| refused(&e))?;
    let oldest = page.floor + 1;
    let _alone = session.following().await;
    let followed = session.follows(&wanted.job_id);
    let response = begin(commands, message, &record, &wanted, numbers, oldest)?;
    // The feed and the audit are kept before the reply says so.
    let mut ops = vec![decision];
    // What is followed already moves with each commit of the connection.
    if !followed && let Some(next) = session.cursor_of(&wanted.job_id) {
        let (principal, own) = (record.principal.name().to_owned(), false);
        let feed = FeedRow { job: record.id.clone(), principal, next, own };
        ops.push(Op::PutFeed { session: session.id().clone(), epoch: session.stored_epoch(), feed });
    }
    keep(commands, journal, ops).await.inspect_err(|_| {
        if !followed {
            session.unfollow(&wanted.job_id);
        }
    })?;
    Ok(response)
}

async fn keep(commands: &Commands, journal: &Journal, ops: Vec<Op>) -> Result<(), Error> {
    let principal = commands.session.principal().name().to_owned();
    let batch = Batch { id: random::bits(), principal, ops };
    commit_patiently(journal.store.clone(), batch).await.map(drop).map_err(|e| refused(&e))
}

/// A job that may be listed and not watched is no secret, and may not be watched all the same.
fn decide(found: Option<(Arc<JobRecord>, Access)>, id: &JobId) -> Result<Arc<JobRecord>, Error> {
    match found {
        None => Err(not_found(id)),
        Some((_, Access::List)) => {
            Err(Error::new(Code::PermissionDenied, "the job may be listed, and not watched"))
        }
        Some((record, Access::Watch)) => Ok(record),
    }
}

fn read(commands: &Commands, message: &Envelope) -> Result<Wanted, Error> {
    commands.session.features().require(Feature::Subscribe)?;
    let Subscribe { job_id, from_event_seq, history, .. } = message.payload.decode()?;
    Ok(Wanted { job_id: named(message, job_id)?, from_event_seq: from_event_seq.unwrap_or(0), history })
}

/// Where a job stands in the numbers of the session that submitted it.
#[derive(Clone, Copy)]
struct Numbers {
    /// The highest.
    last: u64,
    /// The event that came after what was asked for, if that is known still.
    next: Option<u64>,
}

impl Numbers {
    /// The session is gone.
    const NONE: Self = Self { last: 0, next: None };
}

fn numbers_in_memory(submitter: &SessionCtx, wanted: &Wanted) -> Numbers {
    let next = submitter.job_seq_after(&wanted.job_id, wanted.from_event_seq);
    Numbers { last: submitter.last_of(&wanted.job_id), next }
}

fn numbers_of(outbox: &Outbox, wanted: &Wanted) -> Numbers {
    let next = outbox.job_seq_after(&wanted.job_id, wanted.from_event_seq);
    Numbers { last: outbox.last_of(&wanted.job_id), next }
}

fn begin(
    commands: &Commands,
    message: &Envelope,
    record: &Arc<JobRecord>,
    wanted: &Wanted,
    numbers: Numbers,
    oldest: u64,
) -> Result<Response, Error> {
    let session = &commands.session;
    let (head, _, ended) = record.log.extent();
    // 0 is whatever is kept; who has something goes on from there, or hears that it is not possible.
    let kept = numbers.next.filter(|next| *next >= oldest);
    if wanted.history && wanted.from_event_seq > 0 && kept.is_none() {
        let error = Error::new(Code::ResumeWindowExpired, "the job's events are not kept from there on");
        return Err(error.with_detail("field", "from_event_seq"));
    }
    if ended && head < oldest {
        // Its end was forced out: who waited for it would wait in vain.
        return Err(Error::new(Code::ResumeWindowExpired, "the job has ended, and its end is not kept"));
    }
    // The terminal of a job that has ended is always delivered: without it nobody would know.
    let live = if ended { head.max(1) } else { head + 1 };
    let next = if wanted.history { kept.unwrap_or(oldest).min(live) } else { live };
    // A job that the session follows already keeps its one stream.
    let feed = if session.follows(&wanted.job_id) {
        None
    } else {
        let feed = session.follow(&record.log, next, false);
        Some(feed.ok_or_else(|| Error::limit("the session follows as many jobs as it may"))?)
    };

    let mut subscribed = Subscribed::new(wanted.job_id.clone(), record.agent.clone(), record.status());
    subscribed.request_id.clone_from(&message.id);
    subscribed.lease = record.lease.clone();
    subscribed.lease_constraints.clone_from(&record.lease_constraints);
    subscribed.trace_id = Some(record.log.trace_id());
    subscribed.parent_job_id = record.parent.as_ref().map(|parent| parent.job_id.clone());
    subscribed.budget = record.authority.as_ref().map(|authority| authority.remaining());
    subscribed.budget = subscribed.budget.filter(|budget| !budget.is_empty());
    subscribed.subscribed_from = numbers.last;
    subscribed.replayed = wanted.history && feed.is_some() && next <= head;
    let reply = Envelope::new(MessageType::Subscribed, &subscribed)?.with_job(wanted.job_id.clone());
    let session = session.clone();
    // The record is held until then: a job that came from the store is nobody else's.
    let record = record.clone();
    Ok(Response::one(reply.with_trace(Some(record.log.trace_id()))).then(move || {
        if let Some(feed) = feed {
            session.tell(feed);
        }
        drop(record);
    }))
}

/// A decision, as auditors read it.
#[derive(Serialize)]
struct Decision<'a> {
    what: &'static str,
    subscriber: &'a str,
    job_id: &'a JobId,
    /// Whose job it is, where the subscriber may know of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    allowed: bool,
}

/// Every decision leaves a record (§14).
fn audit<'a>(commands: &'a Commands, job_id: &'a JobId, allowed: Option<&'a Arc<JobRecord>>) -> Decision<'a> {
    let (subscriber, owner) = (commands.session.principal().name(), allowed.map(|job| job.principal.name()));
    tracing::info!(target: "arcp::audit", subscriber, %job_id, owner, allowed = allowed.is_some(), "job.subscribe");
    Decision { what: "job.subscribe", subscriber, job_id, owner, allowed: allowed.is_some() }
}

pub(super) fn unsubscribe(commands: &Commands, message: &Envelope) -> Result<Response, Error> {
    unfollow(commands, message).map(|_| Response::default())
}

pub(super) async fn unsubscribe_stored(commands: &Commands, message: &Envelope) -> Result<Response, Error> {
    let Commands { runtime, session } = commands;
    let _alone = session.following().await;
    let job = unfollow(commands, message)?;
    if let Some(journal) = &runtime.0.journal {
        let op = Op::DropFeed { session: session.id().clone(), epoch: session.stored_epoch(), job };
        keep(commands, journal, vec![op]).await?;
    }
    Ok(Response::default())
}

fn unfollow(commands: &Commands, message: &Envelope) -> Result<JobId, Error> {
    let Commands { runtime, session } = commands;
    session.features().require(Feature::Subscribe)?;
    let Unsubscribe { job_id, .. } = message.payload.decode()?;
    let job_id = named(message, job_id)?;
    let own = runtime.0.registry.visible(session.principal(), &job_id);
    if own.is_some_and(|record| record.session_id == *session.id()) {
        return Err(Error::fault("job_id", "must be a job of another session"));
    }
    // A job that was not followed is not followed afterwards either.
    session.unfollow(&job_id);
    Ok(job_id)
}
