//! `session.hello` (§6.2).

use std::sync::Arc;

use arcp_core::wire::session::{Hello, ResumeRequest, Welcome};
use arcp_core::{Code, Envelope, Error, Feature, MessageType, SessionId};

use super::{Commands, Runtime};
use crate::auth::Principal;
use crate::random;
use crate::service::{Connect, Opening, Session, SessionCtx};

pub(super) fn open(runtime: &Runtime, connect: Connect) -> Result<Session<Commands>, Error> {
    let Connect { handshake, mut extensions, profile } = connect;
    // Fail closed: without an authenticating layer nobody is let in.
    let principal: Principal = extensions
        .remove()
        .ok_or_else(|| Error::new(Code::Unauthenticated, "no principal was established"))?;
    if ResumeRequest::read(&handshake)?.is_some() {
        // Sessions end with their connection so far; to a client that is a window that is over.
        return Err(Error::new(Code::ResumeWindowExpired, "the session cannot be resumed"));
    }
    let hello: Hello = handshake.payload.decode()?;
    let features = runtime.0.features.intersection(hello.capabilities.features);
    let opening = Opening {
        id: SessionId::from_bits(random::bits()),
        principal,
        features,
        profile,
        extensions,
        secret: random::secret(),
    };
    let config = &runtime.0.config;
    let cx = SessionCtx::new(opening, config);
    let greeting = welcome(runtime, &cx, &handshake)?;
    tracing::debug!(
        session_id = %cx.id(),
        principal = %cx.principal(),
        profile = cx.profile().name(),
        client = hello.client.as_ref().map_or("", |client| client.name.as_str()),
        "session opened"
    );
    let commands = Commands::new(runtime.clone(), cx.clone());
    Ok(Session {
        attachment: cx.attach(),
        service: commands.clone(),
        greeting: Some(greeting),
        urgent: commands,
        config: Arc::clone(config),
    })
}

fn welcome(runtime: &Runtime, cx: &SessionCtx, handshake: &Envelope) -> Result<Envelope, Error> {
    let inner = &*runtime.0;
    let mut welcome = Welcome::new(inner.party.clone(), cx.features(), inner.inventory.clone());
    welcome.resume_token = arcp_core::id::crockford(random::bits()).map(char::from).into_iter().collect();
    welcome.resume_token.insert_str(0, "rt_");
    welcome.resume_window_sec = 1;
    if cx.features().has(Feature::Heartbeat) {
        welcome.heartbeat_interval_sec = Some(inner.config.heartbeat.as_secs().max(1));
    }
    let mut greeting = Envelope::new(MessageType::Welcome, &welcome)?;
    greeting.session_id = Some(cx.id().clone());
    Ok(cx.profile().reply(greeting, handshake.id.as_ref()))
}
