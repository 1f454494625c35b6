//! The hello and the answer to it (§6.2, §6.3).

use std::future::poll_fn;
use std::time::Duration;

use arcp_core::transport::{BoxTransport, Close, Received, RecvError, Transport as _};
use arcp_core::wire::Limits;
use arcp_core::wire::job::JobError as ErrorPayload;
use arcp_core::wire::session::{
    Auth, ClientCapabilities, Hello, Party, ResumeRequest, SessionError, Welcome,
};
use arcp_core::{Envelope, Error, Feature, Features, MessageType};
use tokio::time::timeout;

use crate::config::ClientConfig;
use crate::error::ConnectError;
use crate::random;
use crate::session::SessionInfo;

/// What a client says of itself in every hello.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) auth: Option<Auth>,
    pub(crate) party: Party,
    pub(crate) features: Features,
}

impl Greeting {
    /// Says hello on an open transport, and waits for the welcome: to a session of its own, or to
    /// the one that `resume` names. If there is none, the transport is closed.
    pub(crate) async fn say(
        &self,
        mut transport: BoxTransport,
        resume: Option<ResumeRequest>,
        config: &ClientConfig,
    ) -> Result<(BoxTransport, SessionInfo), ConnectError> {
        let wanted = resume.as_ref().and_then(|resume| resume.session_id.clone());
        let hello = self.hello(resume).map_err(ConnectError::Hello)?;
        let answer = timeout(config.hello_timeout, exchange(&mut transport, hello, config)).await;
        let info = match answer.unwrap_or(Err(ConnectError::TimedOut)) {
            Ok(message) => SessionInfo::of(&message, self.features).map_err(ConnectError::Unreadable),
            Err(e) => Err(e),
        };
        let error = match info {
            Ok(info) if wanted.is_none_or(|wanted| wanted == info.id) => {
                transport.opened();
                return Ok((transport, info));
            }
            // Some runtimes ignore a resume that they do not understand.
            Ok(_) => ConnectError::OtherSession,
            Err(e) => e,
        };
        let close = Close::new(Close::NORMAL, "no session");
        let _ = timeout(config.close_wait, poll_fn(|cx| transport.poll_close(cx, &close))).await;
        Err(error)
    }

    /// The first frame. It says which form of frames we want: the draft's own.
    fn hello(&self, resume: Option<ResumeRequest>) -> Result<String, Error> {
        let mut capabilities = ClientCapabilities::default();
        capabilities.encodings = vec!["json".to_owned()];
        capabilities.features = self.features;
        capabilities.profile = Some("draft".to_owned());
        let mut hello = Hello::default();
        (hello.client, hello.auth) = (Some(self.party.clone()), self.auth.clone());
        (hello.capabilities, hello.resume) = (capabilities, resume);
        Ok(Envelope::new(MessageType::Hello, &hello)?.encode(None, &random::message_id()?))
    }
}

async fn exchange(
    transport: &mut BoxTransport,
    hello: String,
    config: &ClientConfig,
) -> Result<Envelope, ConnectError> {
    poll_fn(|cx| transport.poll_ready(cx)).await?;
    transport.send(hello)?;
    poll_fn(|cx| transport.poll_flush(cx)).await?;
    loop {
        let frame = match poll_fn(|cx| transport.poll_recv(cx)).await {
            Ok(Received::Frame(frame)) => frame,
            Ok(Received::Control) => continue,
            Ok(Received::Closed(close)) => return Err(ConnectError::Closed(close)),
            Err(RecvError::Io(e)) => return Err(e.into()),
            Err(e) => return Err(ConnectError::Unreadable(Error::fault("message", &e.to_string()))),
        };
        let message = match Envelope::decode(&frame, Limits::depth(config.message_depth)) {
            Ok(message) => message,
            Err(fault) => return Err(ConnectError::Unreadable(fault.error)),
        };
        let refused = match message.kind {
            MessageType::Welcome => return Ok(message),
            MessageType::SessionError => message.payload.decode().map(|e: SessionError| e.error()),
            // One SDK's runtime knows no other errors.
            MessageType::JobError => message.payload.decode().map(|e: ErrorPayload| e.error()),
            _ => continue,
        };
        return Err(refused.map_or_else(ConnectError::Unreadable, ConnectError::Refused));
    }
}

impl SessionInfo {
    /// Reads a welcome. Some runtimes name all their features instead of the intersection.
    fn of(message: &Envelope, ours: Features) -> Result<Self, Error> {
        let welcome: Welcome = message.payload.decode()?;
        let id = message.session_id.clone().or_else(|| welcome.session_id.clone());
        let id = id.ok_or_else(|| Error::fault("session_id", "must be there"))?;
        let features = ours.intersection(welcome.capabilities.features);
        Ok(Self { id, welcome, features })
    }

    /// The heartbeat interval, if there are heartbeats.
    pub(crate) fn heartbeat(&self) -> Option<Duration> {
        let interval = self.welcome.heartbeat_interval_sec.filter(|seconds| *seconds > 0);
        let interval = interval.filter(|_| self.features.has(Feature::Heartbeat));
        // A day at the most: what a peer says must not overflow the clock.
        interval.map(|seconds| Duration::from_secs(seconds.min(86_400)))
    }
}
