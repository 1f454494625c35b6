//! `job.cancel` (§7.4).

use std::sync::Arc;

use arcp_core::session::MAX_TEXT;
use arcp_core::store::{Batch, Op, StoreError};
use arcp_core::wire::job::{Cancel, Cancelled};
use arcp_core::{Code, Envelope, Error, JobId, Json, MessageType};
use serde::Serialize;

use super::registry::{JobRecord, not_found};
use super::{Commands, Journal, commit_patiently, refused};
use crate::auth::Scope;
use crate::observe::Access;
use crate::random;
use crate::service::Response;

/// What a cancellation says.
struct Wanted {
    job_id: JobId,
    reason: Option<String>,
}

pub(super) fn in_memory(commands: &Commands, message: &Envelope) -> Result<Response, Error> {
    let wanted = read(message)?;
    let found = commands.runtime.here(&commands.session.caller(), &wanted.job_id);
    let (record, access) = found.ok_or_else(|| not_found(&wanted.job_id))?;
    check(commands, &record, access)?;
    answer(message, wanted, record)
}

/// Who is told that a job is cancelled may rely on it, so it is written down before: a process that
/// finds the job ends it, and does not run it again.
pub(super) async fn stored(
    commands: &Commands,
    journal: &Journal,
    message: &Envelope,
) -> Result<Response, Error> {
    let wanted = read(message)?;
    let found = commands.runtime.anywhere(&commands.session.caller(), &wanted.job_id).await;
    let (record, access) = found.map_err(|e| refused(&e))?.ok_or_else(|| not_found(&wanted.job_id))?;
    let by_admin = check(commands, &record, access)?;
    let mut ops = vec![Op::CancelJob { job: record.id.clone(), owner: journal.owner }];
    if let Some(by) = by_admin {
        ops.push(Op::Audit { at: commands.runtime.wall(), record: Json::of(&by)? });
    }
    let principal = record.principal.name().to_owned();
    let batch = Batch { id: random::bits(), principal, ops };
    match commit_patiently(journal.store.clone(), batch).await {
        Ok(_) => answer(message, wanted, record),
        // It ended meanwhile.
        Err(StoreError::Conflict { .. }) => Err(already_ended()),
        Err(e) => Err(refused(&e)),
    }
}

fn read(message: &Envelope) -> Result<Wanted, Error> {
    let Cancel { job_id, reason, .. } = message.payload.decode()?;
    let job_id = named(message, job_id)?;
    if reason.as_ref().is_some_and(|reason| reason.len() > MAX_TEXT) {
        return Err(Error::fault("payload.reason", "must have at most 4096 bytes"));
    }
    Ok(Wanted { job_id, reason })
}

/// A job that was cancelled by a session which did not submit it, as auditors read it (§14).
#[derive(Serialize)]
struct ByAdmin<'a> {
    what: &'static str,
    principal: &'a str,
    job_id: &'a JobId,
    owner: &'a str,
}

/// Whether the session may cancel a job, and by which right if that is not its own.
fn check<'a>(
    commands: &'a Commands,
    record: &'a JobRecord,
    access: Access,
) -> Result<Option<ByAdmin<'a>>, Error> {
    let session = &commands.session;
    let own = record.is_controlled_by(session.id());
    let as_admin = access == Access::Watch && session.scopes().allow(Scope::Admin);
    if !own && !as_admin {
        // Watching a job gives no right over it (§7.6).
        return Err(Error::new(
            Code::PermissionDenied,
            "only the session that submitted a job may cancel it",
        ));
    }
    if record.status().is_terminal() {
        return Err(already_ended());
    }
    if own {
        return Ok(None);
    }
    let (principal, owner) = (session.principal().name(), record.principal.name());
    tracing::info!(target: "arcp::audit", principal, job_id = %record.id, owner, "job.cancel");
    Ok(Some(ByAdmin { what: "job.cancel", principal, job_id: &record.id, owner }))
}

fn already_ended() -> Error {
    let error = Error::new(Code::InvalidRequest, "job_id: the job has ended, or is ending");
    error.with_detail("reason", "already_ended")
}

fn answer(message: &Envelope, wanted: Wanted, record: Arc<JobRecord>) -> Result<Response, Error> {
    if !record.wants_cancel() {
        return Err(already_ended());
    }
    let Wanted { job_id, reason } = wanted;
    let cancelled = Cancelled::new(job_id.clone(), message.id.clone(), reason);
    let reply = Envelope::new(MessageType::JobCancelled, &cancelled)?.with_job(job_id);
    let trace_id = Some(record.log.trace_id());
    Ok(Response::one(reply.with_trace(trace_id)).then(move || record.cancel.cancel()))
}

/// The job that a message names on its envelope, in its payload, or in both places alike.
pub(super) fn named(message: &Envelope, in_payload: Option<JobId>) -> Result<JobId, Error> {
    match (&message.job_id, in_payload) {
        (Some(a), Some(b)) if *a != b => Err(Error::fault("job_id", "must be the same in the payload")),
        (Some(id), _) => Ok(id.clone()),
        (None, Some(id)) => Ok(id),
        (None, None) => Err(Error::fault("job_id", "must be there")),
    }
}
