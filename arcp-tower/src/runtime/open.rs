//! `session.hello` (§6.2) and `session.resume` (§6.3).

use std::sync::Arc;

use arcp_core::store::{Batch, Hash, Op, SessionRow, StoreError};
use arcp_core::wire::session::{Hello, ResumeRequest, Welcome};
use arcp_core::{Code, Envelope, Error, Feature, MessageType, SessionId};
use http::Extensions;

use super::tokens::digest;
use super::{Commands, Journal, Runtime, Tokens, commit_patiently, recall, refused};
use crate::auth::Principal;
use crate::profile::{Profile, by_name};
use crate::random;
use crate::service::{AttachError, Attachment, Connect, Opening, Session, SessionCtx};

pub(super) async fn open(runtime: Runtime, connect: Connect) -> Result<Session<Commands>, Error> {
    let Connect { handshake, mut extensions, profile } = connect;
    // Fail closed: without an authenticating layer nobody is let in.
    let principal: Principal = extensions
        .remove()
        .ok_or_else(|| Error::new(Code::Unauthenticated, "no principal was established"))?;
    let (attachment, token) = match ResumeRequest::read(&handshake)? {
        None => fresh(&runtime, &handshake, principal, extensions, profile).await?,
        Some(request) => {
            let (session_id, from) = (request.session_id.clone(), request.last_event_seq);
            let resumed = resume(&runtime, request, principal, extensions).await;
            resumed.inspect_err(|error| {
                tracing::info!(target: "arcp::audit", ?session_id, from, %error, "resume refused");
            })?
        }
    };
    let cx = attachment.cx.clone();
    let greeting = welcome(&runtime, &cx, &handshake, token)?;
    tracing::debug!(
        session_id = %cx.id(),
        principal = %cx.principal(),
        profile = cx.profile().name(),
        replay = attachment.replay.len(),
        "session opened"
    );
    let commands = Commands::new(runtime.clone(), cx);
    let config = Arc::clone(&runtime.0.config);
    let store = runtime.0.journal.as_ref().map(|journal| journal.store.clone());
    Ok(Session {
        attachment,
        service: commands.clone(),
        greeting: Some(greeting),
        urgent: commands,
        config,
        store,
    })
}

async fn fresh(
    runtime: &Runtime,
    handshake: &Envelope,
    principal: Principal,
    extensions: Extensions,
    profile: Arc<dyn Profile>,
) -> Result<(Attachment, String), Error> {
    let hello: Hello = handshake.payload.decode()?;
    let features = runtime.0.features.intersection(hello.capabilities.features);
    let (tokens, token) = Tokens::first();
    let opening = Opening {
        id: SessionId::from_bits(random::bits()),
        principal,
        features,
        profile,
        extensions,
        secret: random::secret(),
        tokens,
        created_at: runtime.wall(),
    };
    let cx = SessionCtx::new(opening, &runtime.0.config, Arc::downgrade(&runtime.0.sessions));
    runtime.0.sessions.insert(&cx)?;
    if let Some(journal) = &runtime.0.journal {
        if let Err(e) = put(journal, cx.row(1, None), 0).await.and_then(|new| new.then_some(()).ok_or_else(contended)) {
            runtime.0.sessions.remove(&cx);
            return Err(e);
        }
        cx.stored(1);
    }
    match cx.attach(0, tokens, None, None) {
        Ok(attachment) => Ok((attachment, token)),
        Err(_) => Err(Error::new(Code::InternalError, "the session could not be opened")),
    }
}

/// The one refusal of a resume: whether it was the session, the token, the principal or the number
/// is nobody's business.
fn expired() -> Error {
    Error::new(Code::ResumeWindowExpired, "the session cannot be resumed from there")
}

async fn resume(
    runtime: &Runtime,
    request: ResumeRequest,
    principal: Principal,
    extensions: Extensions,
) -> Result<(Attachment, String), Error> {
    let ResumeRequest { session_id, token, last_event_seq, .. } = request;
    let presented = digest(&token);
    let attach_error = |e| match e {
        AttachError::Ahead => Error::fault("last_event_seq", "must not be above what was sent"),
        AttachError::BelowFloor => expired(),
        AttachError::Stale => contended(),
    };
    let (tokens, token) = Tokens::rotate(presented, &runtime.0.secret);
    let _alone = runtime.0.sessions.resuming(&presented, session_id.as_ref()).await;
    let Some(journal) = &runtime.0.journal else {
        let cx = runtime.0.sessions.find(session_id.as_ref(), &presented).ok_or_else(expired)?;
        if *cx.principal() != principal || !cx.tokens().accept(&presented) {
            return Err(expired());
        }
        let attachment = cx.attach(last_event_seq, tokens, Some(extensions), None).map_err(attach_error)?;
        return Ok((attachment, token));
    };
    // What the store says is what holds: a connection before this one may have numbered what it
    // could not keep.
    let row = row_of(journal, session_id.as_ref(), presented).await?.ok_or_else(expired)?;
    let stored = Tokens { current: row.token, previous: row.previous_token };
    let over = row.expires_at.is_some_and(|at| at <= runtime.wall());
    if row.principal != principal.name() || !stored.accept(&presented) || over {
        return Err(expired());
    }
    // A message that arrived under the newest token may not have been written down yet.
    let here = runtime.0.sessions.find(Some(&row.id), &presented).map(|cx| cx.tokens());
    if here.is_some_and(|here| here.current == row.token && !here.accept(&presented)) {
        return Err(expired());
    }
    if last_event_seq > row.head {
        return Err(attach_error(AttachError::Ahead));
    }
    // Before anything is changed: a resume that is refused must not disturb who has the session.
    let page = journal.store.runs(&row.id, last_event_seq, 1).await.map_err(|e| refused(&e))?;
    if page.floor > last_event_seq {
        return Err(expired());
    }
    let epoch = row.epoch + 1;
    let row =
        SessionRow { epoch, token: tokens.current, previous_token: tokens.previous, expires_at: None, ..row };
    if !put(journal, row.clone(), epoch - 1).await? {
        return Err(contended());
    }
    // Until then the connection before this one may have numbered something; and while this one
    // waited for the store, the next may have come.
    let row = journal.store.session(&row.id).await.map_err(|e| refused(&e))?;
    let row = row.filter(|row| row.epoch == epoch).ok_or_else(contended)?;
    let remembered = recall::remembered(runtime, &*journal.store, &row, last_event_seq).await;
    let remembered = remembered.map_err(|e| refused(&e))?;
    let cx = if let Some(cx) = runtime.0.sessions.find(Some(&row.id), &presented) {
        cx
    } else {
        let cx = recalled(runtime, &row, extensions.clone());
        runtime.0.sessions.insert(&cx)?;
        cx
    };
    let attachment =
        cx.attach(last_event_seq, tokens, Some(extensions), Some(remembered)).map_err(attach_error)?;
    Ok((attachment, token))
}

/// Two connections want the session at once, perhaps two attempts of the same client. Who lost must
/// not think that it is gone; who is still there tries again.
fn contended() -> Error {
    Error::new(Code::InternalError, "the session is being resumed elsewhere; try again").with_retryable(true)
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

async fn row_of(journal: &Journal, id: Option<&SessionId>, token: Hash) -> Result<Option<SessionRow>, Error> {
    let row = match id {
        Some(id) => journal.store.session(id).await,
        None => journal.store.session_by_token(token).await,
    };
    row.map_err(|e| refused(&e))
}

/// Writes a session's row. `false` if another connection took it over before.
async fn put(journal: &Journal, row: SessionRow, expect: u64) -> Result<bool, Error> {
    let principal = row.principal.clone();
    let batch = Batch { id: random::bits(), principal, ops: vec![Op::PutSession { row, expect }] };
    match commit_patiently(journal.store.clone(), batch).await {
        Ok(_) => Ok(true),
        Err(StoreError::Fenced { .. }) => Ok(false),
        Err(e) => Err(refused(&e)),
    }
}

fn welcome(
    runtime: &Runtime,
    cx: &SessionCtx,
    handshake: &Envelope,
    token: String,
) -> Result<Envelope, Error> {
    let inner = &*runtime.0;
    let mut welcome = Welcome::new(inner.party.clone(), cx.features(), inner.inventory.clone());
    welcome.resume_token = token;
    welcome.resume_window_sec = inner.config.resume_window.as_secs().max(1);
    if cx.features().has(Feature::Heartbeat) {
        welcome.heartbeat_interval_sec = Some(inner.config.heartbeat.as_secs().max(1));
    }
    let mut greeting = Envelope::new(MessageType::Welcome, &welcome)?;
    greeting.session_id = Some(cx.id().clone());
    Ok(cx.profile().reply(greeting, handshake.id.as_ref()))
}
