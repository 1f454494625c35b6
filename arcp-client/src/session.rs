//! What the parts of a client share: the way to the driver, and what was negotiated.

use std::sync::Arc;

use arcp_core::agent::{AgentDescription, AgentInfo};
use arcp_core::wire::session::Welcome;
use arcp_core::{Envelope, Error, Feature, Features, JobId, MessageId, SessionId, TraceId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout_at;

use crate::config::{ClientConfig, after};
use crate::engine::{Command, Reply, Slot};
use crate::error::{Disconnected, Reason, RequestError};
use crate::jobs::Feed;
use crate::pending::{Kind, Request};
use crate::point::Anchor;
use crate::random;
use crate::status::ConnectionStatus;

/// What the hello and the welcome agreed on (§6.2).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The session.
    pub id: SessionId,
    /// The runtime's first welcome: its name, its agents, its resume window. Its resume token is the
    /// first one; [`Client::resume_point`](crate::Client::resume_point) has the newest.
    pub welcome: Welcome,
    /// What both sides can do; nothing else is used.
    pub features: Features,
}

impl SessionInfo {
    /// The agents that the runtime has, in its welcome's order. An agent's schemas are in
    /// [`AgentInfo::description`].
    pub fn agents(&self) -> &[AgentInfo] {
        &self.welcome.capabilities.agents
    }

    /// What the runtime says of `agent`, `name` or `name@version`: what it is for, what its input has to
    /// fit. `None` if it says nothing, or has no such agent.
    pub fn description(&self, agent: &str) -> Option<&AgentDescription> {
        let (name, version) = match agent.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (agent, None),
        };
        self.agents().iter().find(|agent| agent.name == name)?.description(version)
    }

    /// `Ok` if `feature` was negotiated.
    pub(crate) fn require(&self, feature: Feature) -> Result<(), RequestError> {
        if self.features.has(feature) { Ok(()) } else { Err(RequestError::NotNegotiated(feature)) }
    }
}

/// A request to be made.
pub(crate) struct Ask {
    pub(crate) kind: Kind,
    pub(crate) id: MessageId,
    pub(crate) job: Option<JobId>,
    pub(crate) trace: Option<TraceId>,
    pub(crate) message: Envelope,
    /// Whether it may be sent again after a resume.
    pub(crate) again: bool,
}

impl Ask {
    /// A request with a new id. What the message says of job and trace is what answers go by.
    pub(crate) fn new(kind: Kind, message: Envelope) -> Result<Self, RequestError> {
        let id = random::message_id().map_err(RequestError::Invalid)?;
        // A cancellation is not repeated: whoever asked should see where the job stands first. A
        // submit is, if it has a key (§7.2).
        let again = matches!(kind, Kind::Subscribe | Kind::Ping | Kind::List);
        Ok(Self { kind, id, job: message.job_id.clone(), trace: message.trace_id, message, again })
    }
}

/// The way to the driver. When the last clone is gone, the session is closed.
#[derive(Debug, Clone)]
pub(crate) struct Session(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    commands: mpsc::Sender<Command>,
    close: mpsc::Sender<String>,
    status: watch::Receiver<ConnectionStatus>,
    info: SessionInfo,
    config: ClientConfig,
    anchor: Arc<Anchor>,
    /// Whether requests may have to be sent again.
    repeats: bool,
}

impl Session {
    pub(crate) fn new(
        commands: mpsc::Sender<Command>,
        close: mpsc::Sender<String>,
        status: watch::Receiver<ConnectionStatus>,
        info: SessionInfo,
        config: ClientConfig,
        anchor: Arc<Anchor>,
        repeats: bool,
    ) -> Self {
        Self(Arc::new(Inner { commands, close, status, info, config, anchor, repeats }))
    }

    pub(crate) fn info(&self) -> &SessionInfo {
        &self.0.info
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        &self.0.config
    }

    pub(crate) fn anchor(&self) -> &Anchor {
        &self.0.anchor
    }

    pub(crate) fn status(&self) -> watch::Receiver<ConnectionStatus> {
        self.0.status.clone()
    }

    /// Renders a message of this session.
    pub(crate) fn frame(&self, id: &MessageId, message: &Envelope) -> Result<String, RequestError> {
        let frame = message.encode(Some(&self.0.info.id), id);
        let most = self.0.config.message_bytes;
        if frame.len() > most {
            let rule = format!("must have at most {most} bytes");
            return Err(RequestError::Invalid(Error::fault("message", &rule)));
        }
        Ok(frame)
    }

    /// Makes a request and waits for its answer, both within the time allowed.
    pub(crate) async fn request<R>(
        &self,
        ask: Ask,
        slot: impl FnOnce(Reply<R>) -> Slot,
    ) -> Result<R, RequestError> {
        let Ask { kind, id, job, trace, message, again } = ask;
        let frame = self.frame(&id, &message)?;
        let until = after(self.0.config.request_timeout);
        let (reply, answer) = oneshot::channel();
        let again = (again && self.0.repeats).then(|| frame.clone());
        let deadline = until.into_std();
        let request = Request { id, kind, job, trace, deadline, again, repeated: false, slot: slot(reply) };
        let answered = async {
            self.send(Command::Request(request, frame)).await?;
            match answer.await {
                Ok(answer) => answer,
                Err(_) => Err(self.closed().await.into()),
            }
        };
        timeout_at(until, answered).await.unwrap_or(Err(RequestError::TimedOut))
    }

    /// Gives the driver a command that has no answer, within the time of a request.
    pub(crate) async fn tell(&self, command: Command) -> Result<(), RequestError> {
        let until = after(self.0.config.request_timeout);
        let told = timeout_at(until, self.send(command)).await;
        told.map_or(Err(RequestError::TimedOut), |told| told.map_err(Into::into))
    }

    /// Begins to follow a job that this client did not submit itself.
    pub(crate) async fn attach(&self, job: JobId) -> Result<Feed, RequestError> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Attach { job, reply }).await?;
        let until = after(self.0.config.request_timeout);
        match timeout_at(until, answer).await {
            Ok(Ok(feed)) => Ok(feed),
            Ok(Err(_)) => Err(self.closed().await.into()),
            Err(_) => Err(RequestError::TimedOut),
        }
    }

    /// Ends the session; a second time says nothing more.
    pub(crate) fn close(&self, reason: &str) {
        let _ = self.0.close.try_send(reason.to_owned());
    }

    async fn send(&self, command: Command) -> Result<(), Disconnected> {
        match self.0.commands.send(command).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.closed().await),
        }
    }

    /// Waits until the connection has ended.
    pub(crate) async fn closed(&self) -> Disconnected {
        let mut status = self.status();
        let end = status.wait_for(|status| status.closed().is_some()).await;
        end.ok().and_then(|end| end.closed().cloned()).unwrap_or_else(stopped)
    }

    /// Why the connection has ended, if it has.
    pub(crate) fn disconnected(&self) -> Option<Disconnected> {
        self.0.status.borrow().closed().cloned()
    }
}

/// The driver went without a word: its tokio runtime was shut down.
pub(crate) fn stopped() -> Disconnected {
    Disconnected::new(Reason::Lost("the task of the connection was stopped".to_owned()))
}
