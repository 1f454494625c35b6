//! The client itself.

use std::time::{Duration, Instant};

use arcp_core::transport::Transport;
use arcp_core::wire::session::Ping;
use arcp_core::{Envelope, Feature, JobId, MessageType};

use crate::connect::{Builder, Over, Url};
use crate::engine::Slot;
use crate::error::{Disconnected, RequestError};
use crate::outgoing::wall;
use crate::pending::Kind;
use crate::session::{Ask, Session, SessionInfo};
use crate::submit::Submission;
use crate::subscribe::{Subscription, subscribe};

/// One session on one connection. Clones share it.
///
/// When the last clone and the last handle are gone, the session is closed; jobs go on (§6.7).
#[derive(Debug, Clone)]
pub struct Client {
    session: Session,
}

impl Client {
    pub(crate) fn new(session: Session) -> Self {
        Self { session }
    }

    /// A client of the runtime at `url`, of the form `ws://host[:port]/path`.
    pub fn builder(url: impl Into<String>) -> Builder<Url> {
        Builder::to(url)
    }

    /// A client of the runtime at the other end of `transport`, such as one of
    /// [`arcp_core::transport::memory`].
    pub fn over<T: Transport + Send + 'static>(transport: T) -> Builder<Over<T>> {
        Builder::on(transport)
    }

    /// What the hello and the welcome agreed on.
    pub fn session(&self) -> &SessionInfo {
        self.session.info()
    }

    /// A job for `agent`, `name` or `name@version`; it is sent by [`Submission::send`].
    pub fn submit(&self, agent: impl AsRef<str>) -> Submission {
        Submission::new(self.session.clone(), agent.as_ref())
    }

    /// Watches a job that was submitted elsewhere (§7.6). With `history` the events that the runtime
    /// still has come first, without it only those from now on. If the job has ended, there may
    /// be none at all: [`Subscription::subscribed`] says where it stands.
    ///
    /// # Errors
    /// [`RequestError`], `Refused` with `JOB_NOT_FOUND` or `PERMISSION_DENIED`, `NotNegotiated`
    /// without the feature `subscribe`.
    pub async fn subscribe(&self, job_id: JobId, history: bool) -> Result<Subscription, RequestError> {
        subscribe(self.session.clone(), job_id, history).await
    }

    /// Asks whether the runtime is there (§6.4), and how long that takes, both ways.
    ///
    /// # Errors
    /// [`RequestError`], `NotNegotiated` without the feature `heartbeat`.
    pub async fn ping(&self) -> Result<Duration, RequestError> {
        self.session().require(Feature::Heartbeat)?;
        let empty = Envelope::of_json(MessageType::Ping, arcp_core::Json::empty_object());
        let mut ask = Ask::new(Kind::Ping, empty)?;
        let ping = Ping { nonce: ask.id.to_string(), sent_at: Some(wall()) };
        ask.message = Envelope::new(MessageType::Ping, &ping).map_err(RequestError::Invalid)?;
        // When it is sent is known when it is.
        self.session.request(ask, |reply| Slot::Ping { sent: Instant::now(), reply }).await
    }

    /// Ends the session (§6.7) and waits until the connection is closed, for a short time that
    /// [`ClientConfig::close_wait`](crate::ClientConfig::close_wait) bounds. Jobs go on.
    pub async fn close(&self) {
        self.session.close("the client is done");
        self.closed().await;
    }

    /// Waits until the connection has ended, and says why.
    pub async fn closed(&self) -> Disconnected {
        self.session.closed().await
    }

    /// Why the connection has ended, if it has.
    pub fn disconnected(&self) -> Option<Disconnected> {
        self.session.disconnected()
    }
}
