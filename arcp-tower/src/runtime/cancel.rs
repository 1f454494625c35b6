//! `job.cancel` (§7.4).

use arcp_core::session::MAX_TEXT;
use arcp_core::wire::job::{Cancel, Cancelled};
use arcp_core::{Code, Envelope, Error, JobId, MessageType};

use super::Commands;
use super::registry::not_found;
use crate::service::Response;

pub(super) fn cancel(commands: &Commands, message: &Envelope) -> Result<Response, Error> {
    let Commands { runtime, session } = commands;
    let Cancel { job_id, reason, .. } = message.payload.decode()?;
    let job_id = named(message, job_id)?;
    if reason.as_ref().is_some_and(|reason| reason.len() > MAX_TEXT) {
        return Err(Error::fault("payload.reason", "must have at most 4096 bytes"));
    }
    // A job that runs is in memory. One that is only in the store has ended.
    let (record, _) = runtime.here(session.principal(), &job_id).ok_or_else(|| not_found(&job_id))?;
    if !record.is_controlled_by(session.id()) {
        // Watching a job gives no right over it (§7.6).
        return Err(Error::new(
            Code::PermissionDenied,
            "only the session that submitted a job may cancel it",
        ));
    }
    if !record.wants_cancel() {
        let error = Error::new(Code::InvalidRequest, "job_id: the job has ended, or is ending");
        return Err(error.with_detail("reason", "already_ended"));
    }
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
