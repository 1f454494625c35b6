//! `session.hello` (§6.2).

use std::sync::Arc;

use arcp_core::wire::session::{Hello, ResumeRequest, Welcome};
use arcp_core::{Code, Envelope, Error, Feature, MessageType, SessionId};
use http::Extensions;
use tracing::Instrument as _;

use super::drain::draining;
use super::persist::{contended, put_session};
use super::{Commands, Journal, Runtime, Sessions, Tokens, resume};
use crate::auth::Principal;
use crate::profile::Profile;
use crate::random;
use crate::service::{Attachment, Connect, Leaving, Opening, Session, SessionCtx};

pub(super) async fn open(runtime: Runtime, connect: Connect) -> Result<Session<Commands>, Error> {
    let Connect { handshake, mut extensions, profile } = connect;
    extensions.remove::<Leaving>();
    if runtime.0.config.door.is_draining() {
        return Err(draining());
    }
    // Fail closed: without an authenticating layer nobody is let in.
    let principal: Principal = extensions
        .remove()
        // All who have no name would be one, and share what they have.
        .filter(|principal: &Principal| !principal.name().is_empty())
        .ok_or_else(|| Error::new(Code::Unauthenticated, "no principal was established"))?;
    if principal.scopes().is_empty() {
        return Err(Error::new(Code::PermissionDenied, "the credentials grant no scope of this runtime"));
    }
    let (mut attachment, token) = match ResumeRequest::read(&handshake)? {
        None => fresh(&runtime, &handshake, principal, extensions, profile).await?,
        Some(request) => resume::resume(&runtime, request, principal, extensions).await?,
    };
    attachment.credentials = Some(runtime.0.credentials.clone());
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
        kept: None,
    }
    .keep(runtime.0.open.token()))
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
    let attachment = match &runtime.0.journal {
        None => begin(&cx, tokens)?,
        Some(journal) => {
            let (journal, sessions) = (journal.clone(), runtime.0.sessions.clone());
            // A task: a connection that is given up meanwhile must not leave a session that nobody knows
            // to be without one.
            let kept = runtime.0.handle.spawn(kept(journal, sessions, cx, tokens).in_current_span());
            kept.await.unwrap_or_else(|_| Err(not_opened()))?
        }
    };
    Ok((attachment, token))
}

/// Has a new session kept, and then begins it.
async fn kept(
    journal: Arc<Journal>,
    sessions: Arc<Sessions>,
    cx: SessionCtx,
    tokens: Tokens,
) -> Result<Attachment, Error> {
    let new = put_session(&journal, cx.row(1, None), 0, None).await;
    if let Err(e) = new.and_then(|new| new.then_some(()).ok_or_else(contended)) {
        sessions.remove(&cx);
        return Err(e);
    }
    cx.stored(1);
    begin(&cx, tokens)
}

fn begin(cx: &SessionCtx, tokens: Tokens) -> Result<Attachment, Error> {
    cx.attach(0, tokens, None, None).map_err(|_| not_opened())
}

fn not_opened() -> Error {
    Error::new(Code::InternalError, "the session could not be opened")
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
        welcome.heartbeat_interval_sec = Some(inner.config.heartbeat_seconds());
    }
    let kept = if inner.journal.is_some() {
        inner.config.bounds().session_bytes
    } else {
        inner.config.log_caps().bytes as u64
    };
    welcome.capabilities.durability = Some(runtime.durability().to_string());
    welcome.capabilities.unacknowledged_bytes = Some(kept);
    let window = Some(inner.config.window as u64).filter(|window| *window > 0);
    welcome.capabilities.window = window.filter(|_| cx.features().has(Feature::Ack));
    let mut greeting = Envelope::new(MessageType::Welcome, &welcome)?;
    greeting.session_id = Some(cx.id().clone());
    Ok(cx.profile().reply(greeting, handshake.id.as_ref()))
}
