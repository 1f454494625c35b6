//! A submit that was made before (§7.2): the same acceptance, and then what there is to come.

use std::sync::Arc;

use arcp_core::store::{Batch, FeedRow, IdempotencyRow, Op};
use arcp_core::wire::job::Accepted;
use arcp_core::{Code, Envelope, Error, JobId, MessageType};

use crate::random;
use crate::runtime::registry::{JobRecord, too_many};
use crate::runtime::{Commands, Journal, commit_patiently, known, refused};
use crate::service::Response;

/// The answer to a submit that there is no room for, if it is a repeat.
pub(super) async fn again(
    commands: &Commands,
    journal: &Journal,
    message: &Envelope,
    key: Option<&IdempotencyRow>,
) -> Result<Option<Response>, Error> {
    let Some(key) = key else { return Ok(None) };
    let held = journal.store.idempotency(commands.session.principal().name(), &key.key).await;
    let held = held.map_err(|e| refused(&e))?;
    match held.filter(|held| held.expires_at > commands.runtime.wall()) {
        Some(held) => repeat_stored(commands, journal, message, &held, key).await.map(Some),
        None => Ok(None),
    }
}

pub(super) async fn repeat_stored(
    commands: &Commands,
    journal: &Journal,
    message: &Envelope,
    held: &IdempotencyRow,
    asked: &IdempotencyRow,
) -> Result<Response, Error> {
    let Commands { runtime, session } = commands;
    let known = match known(runtime, session.principal(), &held.job).await {
        Ok(job) => Some(job),
        Err(e) if e.code() == Code::JobNotFound => return Err(forgotten(held)),
        // Accepted without its end, it would be waited for in vain.
        Err(e) => return Err(e),
    };
    if let Some((head, _, true)) = known.as_ref().map(|job| job.log.extent()) {
        let page = journal.store.job_events(&held.job, 0, 1).await.map_err(|e| refused(&e))?;
        if page.floor >= head {
            return Err(forgotten(held));
        }
    }
    let _alone = session.following().await;
    let followed = session.follows(&held.job);
    let response = repeat(commands, message, held, asked, known)?;
    if !followed {
        keep_feed(commands, journal, &held.job).await?;
    }
    Ok(response)
}

/// Keeps that a session follows somebody's job from now on: it does after a resume, too.
async fn keep_feed(commands: &Commands, journal: &Journal, job: &JobId) -> Result<(), Error> {
    let session = &commands.session;
    let Some(next) = session.cursor_of(job) else { return Ok(()) };
    let principal = session.principal().name().to_owned();
    let feed = FeedRow { job: job.clone(), principal: principal.clone(), next, own: false };
    let op = Op::PutFeed { session: session.id().clone(), epoch: session.stored_epoch(), feed };
    let batch = Batch { id: random::bits(), principal, ops: vec![op] };
    let kept = commit_patiently(journal.store.clone(), batch).await.map(drop);
    kept.inspect_err(|_| _ = session.unfollow(job)).map_err(|e| refused(&e))
}

/// The answer to a submit whose key is held longer than the job that it made. Running it again is what a
/// key is there to prevent (§7.2).
fn forgotten(held: &IdempotencyRow) -> Error {
    let e =
        Error::new(Code::DuplicateKey, "payload.idempotency_key: the job that has it is not kept any more");
    e.with_detail("existing_job_id", held.job.as_str())
}

/// The answer to a submit whose key was used: the same acceptance, and then what there is to come.
pub(super) fn repeat(
    commands: &Commands,
    message: &Envelope,
    held: &IdempotencyRow,
    asked: &IdempotencyRow,
    job: Option<Arc<JobRecord>>,
) -> Result<Response, Error> {
    let session = &commands.session;
    // Accepted without an end to come, it would be waited for in vain.
    let job = job.ok_or_else(|| forgotten(held))?;
    if held.fingerprint != asked.fingerprint {
        let e = Error::new(Code::DuplicateKey, "payload.idempotency_key: was used with other parameters");
        return Err(e.with_detail("existing_job_id", held.job.as_str()));
    }
    let mut accepted: Accepted = held.accepted.decode()?;
    accepted.request_id.clone_from(&message.id);
    commands.runtime.0.credentials.attach(&mut accepted, session);
    let reply = Envelope::new(MessageType::Accepted, &accepted.revealed())?.with_job(held.job.clone());
    let reply = Response::one(reply.with_trace(message.trace_id.or(accepted.trace_id)));
    if session.follows(&job.id) {
        job.control(session.id(), commands.runtime.0.config.max_controllers);
        return Ok(reply);
    }
    let (head, _, ended) = job.log.extent();
    let next = if ended { head } else { head + 1 };
    // Accepted without what is to come, it would be waited for in vain.
    let feed = session.follow(&job.log, next, false).ok_or_else(too_many)?;
    job.control(session.id(), commands.runtime.0.config.max_controllers);
    let session = session.clone();
    Ok(reply.then(move || session.tell(feed)))
}
