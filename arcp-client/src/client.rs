//! The client itself.

use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use arcp_core::transport::Transport;
use arcp_core::wire::session::Ping;
use arcp_core::{Envelope, Feature, JobId, MessageType};
use tokio::sync::watch;

use crate::attach::AttachedJob;
use crate::connect::{Builder, Dial, Over, Url};
use crate::connector::Connector;
use crate::engine::Slot;
use crate::error::{Disconnected, RequestError};
use crate::job::cancel;
use crate::list::{JobListing, JobsFilter};
use crate::outgoing::wall;
use crate::pending::Kind;
use crate::point::ResumePoint;
use crate::session::{Ask, Session, SessionInfo};
use crate::status::ConnectionStatus;
use crate::submit::Submission;
use crate::subscribe::{Subscription, subscribe};

/// One session, on one connection at a time. Clones share it.
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

    /// A client of the runtime at `url`, of the form `ws://host[:port]/path`, or `wss:` for TLS.
    pub fn builder(url: impl Into<String>) -> Builder<Url> {
        Builder::to(url)
    }

    /// A client of the runtime at the other end of `transport`, such as one of
    /// [`arcp_core::transport::memory`].
    pub fn over<T: Transport + Send + 'static>(transport: T) -> Builder<Over<T>> {
        Builder::on(transport)
    }

    /// A client of the runtime at the other end of the transports that `open` opens: one now, and
    /// another whenever the connection is lost. For byte streams that a WebSocket is to run on, see
    /// [`Builder::over_streams`].
    ///
    /// ```
    /// use arcp_client::Client;
    /// use arcp_core::transport::memory;
    ///
    /// let builder = Client::with_connector(|| async {
    ///     let (ours, theirs) = memory(64);
    ///     // A runtime gets `theirs`.
    ///     # drop(theirs);
    ///     Ok(ours)
    /// });
    /// # let _ = builder;
    /// ```
    pub fn with_connector<F, Fut, T>(open: F) -> Builder<Dial>
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = io::Result<T>> + Send + 'static,
        T: Transport + Send + 'static,
    {
        Builder::dial(Connector::with(open))
    }

    /// A client of a runtime that is a program, on its standard input and output. It is started now,
    /// and again whenever the connection is lost; whether that leads back to the session depends on
    /// where the program keeps it. It is stopped when the client is closed.
    ///
    /// ```
    /// use arcp_client::{Client, Program};
    /// # async fn example() -> Result<(), arcp_client::ConnectError> {
    /// let program = Program::new("my-agents").args(["--stdio"]);
    /// let client = Client::program(&program).connect().await?;
    /// // ...
    /// client.close().await;
    /// program.ended().await;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "stdio")]
    pub fn program(program: &crate::Program) -> Builder<Dial> {
        Builder::dial(Connector::program(program.same()))
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
    /// A session is sent each event once. A job that it follows already, because this client submitted it or
    /// watches it, comes from now on only, and `replayed` of the answer is `false`.
    ///
    /// # Errors
    /// [`RequestError`], `Refused` with `JOB_NOT_FOUND` or `PERMISSION_DENIED`, `NotNegotiated`
    /// without the feature `subscribe`.
    pub async fn subscribe(&self, job_id: JobId, history: bool) -> Result<Subscription, RequestError> {
        subscribe(self.session.clone(), job_id, history.then_some(0)).await
    }

    /// Watches a job, beginning with what came after `event_seq`, a number of the session that
    /// submitted it (§7.6).
    ///
    /// # Errors
    /// As [`Client::subscribe`]; `Refused` with `RESUME_WINDOW_EXPIRED` if the runtime cannot tell any more what
    /// came after that number, or has not kept it.
    pub async fn subscribe_after(&self, job_id: JobId, event_seq: u64) -> Result<Subscription, RequestError> {
        subscribe(self.session.clone(), job_id, Some(event_seq)).await
    }

    /// The jobs that the runtime lets this client see (§6.6), newest first as runtimes list them.
    ///
    /// The items are errors, `NotNegotiated` for one without the feature `list_jobs`; nothing
    /// follows after one.
    pub fn list_jobs(&self, filter: JobsFilter) -> JobListing {
        JobListing::new(self.session.clone(), filter)
    }

    /// Asks the runtime to end a job (§7.4), as [`JobHandle::cancel`](crate::JobHandle::cancel) does: one of
    /// this session, or as an administrator one that may be watched.
    ///
    /// # Errors
    /// [`RequestError`], `Refused` with `JOB_NOT_FOUND` or `PERMISSION_DENIED`.
    pub async fn cancel(&self, job_id: &JobId, reason: Option<&str>) -> Result<(), RequestError> {
        cancel(&self.session, job_id, reason).await
    }

    /// Follows a job of this session that this client did not submit itself, because
    /// [`Builder::resume_from`] continued the session.
    ///
    /// After such a beginning, numbered events of jobs that this client does not know are kept, up
    /// to the bounds of [`ClientConfig`](crate::ClientConfig) for each job, and neither acknowledged
    /// nor counted as processed, until this is called for their job; so it should be called for each
    /// job that the client before this one had. A job that nobody attaches to holds the
    /// acknowledgements back: attach to it and drop the handle to let its events go.
    ///
    /// Of a job whose end was processed before, nothing comes any more.
    ///
    /// # Errors
    /// `TimedOut` if the session is not resumed in time, `Disconnected` if it is over.
    pub async fn attach(&self, job_id: JobId) -> Result<AttachedJob, RequestError> {
        AttachedJob::new(self.session.clone(), job_id).await
    }

    /// Where another client can continue the session, in this process or in another. `None` if the
    /// runtime gave no token to do so with. It works after the end, too.
    ///
    /// Events that wait in a handle are not processed, and come again; those that wait in a handle
    /// that is dropped before the session has ended count as processed. So take this while the
    /// handles are there, or after [`Client::close`]: runtimes hold a session that was closed.
    pub fn resume_point(&self) -> Option<ResumePoint> {
        self.session.anchor().point()
    }

    /// How the connection is, from now on. Every change can be waited for; of several that follow
    /// each other at once, the last is seen.
    pub fn status(&self) -> watch::Receiver<ConnectionStatus> {
        self.session.status()
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

    /// Waits until the session has ended for this client, and says why. A connection that is lost
    /// and resumed is no end.
    pub async fn closed(&self) -> Disconnected {
        self.session.closed().await
    }

    /// Why the session has ended for this client, if it has.
    pub fn disconnected(&self) -> Option<Disconnected> {
        self.session.disconnected()
    }
}
