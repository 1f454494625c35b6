//! `session.resume` (§6.3), in all its placements.

use std::sync::Arc;

use arcp_core::store::{Hash, SessionRow};
use arcp_core::wire::session::ResumeRequest;
use arcp_core::{Code, Error, SessionId};
use http::Extensions;

use super::audit::Attempt;
use super::persist::{contended, put_session};
use super::tokens::digest;
use super::{Journal, Runtime, Tokens, recall, refused};
use crate::auth::Principal;
use crate::profile::by_name;
use crate::random;
use crate::service::{AttachError, Attachment, Caller, Opening, SessionCtx};

/// Who wants to go on, and from where.
struct Claim {
    presented: Hash,
    /// What works after this resume.
    tokens: Tokens,
    principal: Principal,
    last_event_seq: u64,
    extensions: Extensions,
}

impl Claim {
    fn caller(&mut self, runtime: &Runtime) -> Caller {
        let (scopes, validity) = (self.principal.scopes(), self.principal.validity().clone());
        let watches = runtime.watched(&self.principal);
        Caller { scopes, watches, validity, extensions: std::mem::take(&mut self.extensions) }
    }
}

/// Continues a session; the new token comes with it.
pub(super) async fn resume(
    runtime: &Runtime,
    request: ResumeRequest,
    principal: Principal,
    extensions: Extensions,
) -> Result<(Attachment, String), Error> {
    let ResumeRequest { session_id, token, last_event_seq, .. } = request;
    let presented = digest(&token);
    let (tokens, token) = Tokens::rotate(presented, &runtime.0.secret);
    let claim = Claim { presented, tokens, principal: principal.clone(), last_event_seq, extensions };
    let attachment = match &runtime.0.journal {
        None => in_memory(runtime, session_id.clone(), claim).await,
        Some(journal) => stored(runtime, journal, session_id.clone(), claim).await,
    };
    match attachment {
        Ok(attachment) => Ok((attachment, token)),
        Err(Refusal { error, why }) => {
            let attempt = Attempt { principal: &principal, session_id: session_id.as_ref(), last_event_seq };
            runtime.resume_refused(attempt, why);
            Err(error)
        }
    }
}

async fn in_memory(
    runtime: &Runtime,
    id: Option<SessionId>,
    mut claim: Claim,
) -> Result<Attachment, Refusal> {
    let cx = runtime.0.sessions.find(id.as_ref(), &claim.presented).ok_or_else(|| expired("unknown"))?;
    let _alone = runtime.0.sessions.resuming(cx.id()).await;
    if *cx.principal() != claim.principal {
        return Err(expired("principal"));
    }
    if !cx.tokens().accept(&claim.presented) {
        return Err(expired("token"));
    }
    let caller = claim.caller(runtime);
    let Claim { tokens, principal, last_event_seq, .. } = claim;
    let attachment = match cx.attach(last_event_seq, tokens, Some(caller), None) {
        // Its time was over this very moment.
        Err(AttachError::Stale) => return Err(expired("unknown")),
        attached => attached.map_err(refusal)?,
    };
    let attempt = Attempt { principal: &principal, session_id: Some(cx.id()), last_event_seq };
    runtime.0.resumes.record(attempt, runtime.wall(), None);
    Ok(attachment)
}

/// What the store says is what holds: a connection before this one may have numbered what it could
/// not keep.
async fn stored(
    runtime: &Runtime,
    journal: &Journal,
    id: Option<SessionId>,
    mut claim: Claim,
) -> Result<Attachment, Refusal> {
    let (store, sessions) = (&*journal.store, &runtime.0.sessions);
    let id = if let Some(id) = id {
        id
    } else {
        let row = store.session_by_token(claim.presented).await.map_err(|e| refused(&e))?;
        row.ok_or_else(|| expired("unknown"))?.id
    };
    let _alone = sessions.resuming(&id).await;
    let row = store.session(&id).await.map_err(|e| refused(&e))?.ok_or_else(|| expired("unknown"))?;
    let held = Tokens { current: row.token, previous: row.previous_token };
    if row.expires_at.is_some_and(|at| at <= runtime.wall()) {
        return Err(expired("unknown"));
    }
    if row.principal != claim.principal.name() {
        return Err(expired("principal"));
    }
    if !held.accept(&claim.presented) {
        return Err(expired("token"));
    }
    // A message that arrived under the newest token may not have been written down yet.
    let here = sessions.find(Some(&row.id), &claim.presented).map(|cx| cx.tokens());
    if here.is_some_and(|here| here.current == row.token && !here.accept(&claim.presented)) {
        return Err(expired("token"));
    }
    if claim.last_event_seq > row.head {
        return Err(refusal(AttachError::Ahead));
    }
    // Before anything is changed: a resume that is refused must not disturb who has the session.
    let jobs = recall::replayable(store, &row, claim.last_event_seq, &runtime.0.config).await;
    let jobs = jobs.map_err(|e| refused(&e))?.ok_or_else(|| refusal(AttachError::BelowFloor))?;
    let logs = recall::logs(runtime, &claim.principal, jobs).await;
    let logs = logs.map_err(|e| refused(&e))?.ok_or_else(|| refusal(AttachError::BelowFloor))?;
    let (expect, epoch) = (row.epoch, later(row.epoch));
    let Tokens { current: token, previous: previous_token } = claim.tokens;
    let row = SessionRow { epoch, token, previous_token, expires_at: None, ..row };
    let (principal, last_event_seq) = (&claim.principal, claim.last_event_seq);
    let attempt = Attempt { principal, session_id: Some(&id), last_event_seq };
    let record = runtime.0.resumes.record(attempt, runtime.wall(), None);
    let taken = sessions.taken(&row);
    if !put_session(journal, row, expect, record).await? {
        return Err(contended().into());
    }
    // Until then the connection before this one may have numbered something; and while this one
    // waited for the store, the next may have come.
    let row = store.session(&id).await.map_err(|e| refused(&e))?;
    let row = row.filter(|row| row.epoch == epoch).ok_or_else(contended)?;
    let remembered =
        recall::remembered(runtime, store, &row, &claim.principal, claim.last_event_seq, logs).await;
    let remembered = remembered.map_err(|e| refused(&e))?;
    let here = sessions.find(Some(&row.id), &claim.presented);
    let is_new = here.is_none();
    let cx = here.unwrap_or_else(|| recalled(runtime, &row, claim.extensions.clone()));
    if is_new {
        sessions.insert(&cx)?;
    }
    let caller = claim.caller(runtime);
    let Claim { tokens, last_event_seq, .. } = claim;
    let attached = cx.attach(last_event_seq, tokens, Some(caller), Some(remembered));
    let attached = attached.inspect_err(|_| {
        // Without a connection it would never lose one.
        if is_new {
            sessions.remove(&cx);
        }
    });
    let attached = attached.map_err(refusal)?;
    taken.attached();
    Ok(attached)
}

/// An epoch after `epoch`. Two attempts that know of the same one want different ones: what a failed one has
/// written late must not be taken for the other's.
fn later(epoch: u64) -> u64 {
    let step = u64::try_from(random::bits() >> 96).unwrap_or_default();
    epoch.saturating_add(1 + step)
}

/// What the peer is told, and what auditors are.
struct Refusal {
    error: Error,
    why: &'static str,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { error, why: "failed" }
    }
}

/// The one refusal of a resume: whether it was the session, the token, the principal or the number
/// is none of the peer's business.
fn expired(why: &'static str) -> Refusal {
    let error = Error::new(Code::ResumeWindowExpired, "the session cannot be resumed from there");
    Refusal { error, why }
}

fn refusal(e: AttachError) -> Refusal {
    match e {
        AttachError::Ahead => {
            let error = Error::fault("last_event_seq", "must not be above what was sent");
            Refusal { error, why: "ahead" }
        }
        AttachError::BelowFloor => expired("floor"),
        AttachError::Stale => contended().into(),
    }
}

/// A session that was not in memory.
pub(super) fn recalled(runtime: &Runtime, row: &SessionRow, extensions: Extensions) -> SessionCtx {
    let opening = Opening {
        id: row.id.clone(),
        principal: Principal::new(row.principal.as_str()),
        features: row.features,
        profile: by_name(&row.profile),
        extensions,
        secret: row.secret,
        tokens: Tokens { current: row.token, previous: row.previous_token },
        created_at: row.created_at,
    };
    SessionCtx::new(opening, &runtime.0.config, Arc::downgrade(&runtime.0.sessions))
}
