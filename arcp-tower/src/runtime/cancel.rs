//! `job.cancel` (§7.4).

use std::sync::Arc;

use arcp_core::session::MAX_TEXT;
use arcp_core::store::{Batch, Op, StoreError};
use arcp_core::wire::job::{Cancel, Cancelled};
use arcp_core::{Code, Envelope, Error, JobId, Json, MessageType, SessionId};
use serde::Serialize;

use super::registry::{JobRecord, not_found};
use super::{Commands, Journal, commit_patiently, refused};
use crate::auth::{Principal, Scope};
use crate::observe::Access;
use crate::random;
use crate::service::Response;

/// A job, and what the principal may know of it.
type Found = (Arc<JobRecord>, Access);

/// What a cancellation says.
struct Wanted {
    job_id: JobId,
    reason: Option<String>,
}

pub(super) fn in_memory(commands: &Commands, message: &Envelope) -> Result<Response, Error> {
    let wanted = read(message)?;
    let found = commands.runtime.here(&commands.session.caller(), &wanted.job_id);
    let decided = decide(commands, found.as_ref(), &wanted);
    audit(commands, &wanted, found.as_ref(), decided.is_ok());
    answer(message, wanted, decided?)
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
    let found = found.map_err(|e| refused(&e))?;
    let decided = decide(commands, found.as_ref(), &wanted);
    let decision = |allowed| {
        let record = Json::of(&audit(commands, &wanted, found.as_ref(), allowed))?;
        Ok::<_, Error>(Op::Audit { at: commands.runtime.wall(), record })
    };
    let record = match decided {
        Ok(record) => record,
        Err(e) => {
            let principal = commands.session.principal();
            keep(journal, principal, vec![decision(false)?]).await.map_err(|e| refused(&e))?;
            return Err(e);
        }
    };
    let cancel = Op::CancelJob { job: record.id.clone(), owner: journal.owner };
    match keep(journal, &record.principal, vec![cancel, decision(true)?]).await {
        Ok(()) => answer(message, wanted, record),
        // It ended meanwhile.
        Err(StoreError::Conflict { .. }) => {
            keep(journal, &record.principal, vec![decision(false)?]).await.map_err(|e| refused(&e))?;
            Err(already_ended())
        }
        Err(e) => Err(refused(&e)),
    }
}

/// Writes among what is `principal`'s: whoever's the job is, or who asked for one that is not there.
async fn keep(journal: &Journal, principal: &Principal, ops: Vec<Op>) -> Result<(), StoreError> {
    let principal = principal.name().to_owned();
    let batch = Batch { id: random::bits(), principal, ops };
    commit_patiently(journal.store.clone(), batch).await.map(drop)
}

/// A decision, as auditors read it.
#[derive(Serialize)]
struct Decision<'a> {
    what: &'static str,
    principal: &'a str,
    session_id: &'a SessionId,
    job_id: &'a JobId,
    /// Whose job it is, where the principal may know of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    allowed: bool,
}

/// Every decision leaves a record (§14).
fn audit<'a>(
    commands: &'a Commands,
    wanted: &'a Wanted,
    found: Option<&'a Found>,
    allowed: bool,
) -> Decision<'a> {
    let (principal, session_id) = (commands.session.principal().name(), commands.session.id());
    let (job_id, owner) = (&wanted.job_id, found.map(|(job, _)| job.principal.name()));
    tracing::info!(target: "arcp::audit", ?principal, %session_id, %job_id, ?owner, allowed, "job.cancel");
    Decision { what: "job.cancel", principal, session_id, job_id, owner, allowed }
}

fn decide(commands: &Commands, found: Option<&Found>, wanted: &Wanted) -> Result<Arc<JobRecord>, Error> {
    let (record, access) = found.ok_or_else(|| not_found(&wanted.job_id))?;
    check(commands, record, *access)?;
    Ok(record.clone())
}

fn read(message: &Envelope) -> Result<Wanted, Error> {
    let Cancel { job_id, reason, .. } = message.payload.decode()?;
    let job_id = named(message, job_id)?;
    if reason.as_ref().is_some_and(|reason| reason.len() > MAX_TEXT) {
        return Err(Error::fault("payload.reason", "must have at most 4096 bytes"));
    }
    Ok(Wanted { job_id, reason })
}

/// Whether the session may cancel a job: its own, or as an administrator any that it may watch.
fn check(commands: &Commands, record: &JobRecord, access: Access) -> Result<(), Error> {
    let session = &commands.session;
    let as_admin = access == Access::Watch && session.scopes().allow(Scope::Admin);
    if !record.is_controlled_by(session.id()) && !as_admin {
        // Watching a job gives no right over it (§7.6).
        return Err(Error::new(
            Code::PermissionDenied,
            "only the session that submitted a job may cancel it",
        ));
    }
    if record.status().is_terminal() { Err(already_ended()) } else { Ok(()) }
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
