//! The state of an open session, without its transport: what goes in are frames, commands and the
//! time, what comes out are frames and answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arcp_core::session::Peer;
use arcp_core::wire::Limits;
use arcp_core::wire::job::{Accepted, Subscribed};
use arcp_core::wire::session::Jobs as Page;
use arcp_core::{Feature, JobId};
use tokio::sync::oneshot;

use crate::config::ClientConfig;
use crate::error::{Disconnected, Reason, RequestError};
use crate::jobs::{Feed, FeedId, Jobs};
use crate::ledger::Ledger;
use crate::outgoing::Outgoing;
use crate::pending::{Pending, Request};
use crate::session::SessionInfo;

/// Where an answer goes.
pub(crate) type Reply<R> = oneshot::Sender<Result<R, RequestError>>;

/// A request's answer, by what was asked.
#[derive(Debug)]
pub(crate) enum Slot {
    Submit(Reply<(Accepted, Feed)>),
    Subscribe {
        /// Made when the request is sent: some runtimes send history before they answer.
        feed: Option<Feed>,
        reply: Reply<(Subscribed, Feed)>,
    },
    Cancel(Reply<()>),
    List(Reply<Page>),
    Ping {
        /// When it was sent.
        sent: Instant,
        reply: Reply<Duration>,
    },
}

impl Slot {
    pub(crate) fn fail(self, error: RequestError) {
        // Nobody may wait any more, and then nobody is told.
        match self {
            Self::Submit(reply) => _ = reply.send(Err(error)),
            Self::Subscribe { reply, .. } => _ = reply.send(Err(error)),
            Self::Cancel(reply) => _ = reply.send(Err(error)),
            Self::List(reply) => _ = reply.send(Err(error)),
            Self::Ping { reply, .. } => _ = reply.send(Err(error)),
        }
    }
}

/// What the application wants.
#[derive(Debug)]
pub(crate) enum Command {
    /// A request, and its frame.
    Request(Request<Slot>, String),
    /// An end of one feed, of which the runtime is told if it is the last of its job.
    Unsubscribe { job: JobId, feed: FeedId },
    /// A wish to follow a job that this client did not submit itself.
    Attach { job: JobId, reply: oneshot::Sender<Feed> },
}

/// The state of an open session.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) peer: Peer,
    pub(crate) pending: Pending<Slot>,
    pub(crate) jobs: Jobs,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) out: Outgoing,
    pub(crate) limits: Limits,
    /// When the wait for `session.closed` ends, once the session is closing.
    pub(crate) closing: Option<Instant>,
    close_wait: Duration,
    request_timeout: Duration,
    /// Events that may wait unacknowledged whatever room there is.
    unread: u64,
    /// Whether another client began the session.
    continued: bool,
    /// Whether the runtime can be told that a job is watched no longer.
    pub(crate) subscribes: bool,
}

impl Engine {
    pub(crate) fn new(
        info: &SessionInfo,
        peer: Peer,
        ledger: Arc<Ledger>,
        continued: bool,
        config: &ClientConfig,
    ) -> Self {
        let mut jobs = Jobs::new(config.job_events, config.job_bytes);
        jobs.keep_unknown = continued;
        // Well before the runtime has the agents wait.
        let window = info.welcome.capabilities.window.map_or(u64::MAX, |window| window / 4);
        let unread = config.unread.min(window);
        Self {
            peer,
            pending: Pending::new(config.requests),
            jobs,
            ledger,
            out: Outgoing::new(info.id.clone()),
            limits: Limits::depth(config.message_depth),
            closing: None,
            close_wait: config.close_wait,
            request_timeout: config.request_timeout.min(Duration::from_secs(86_400)),
            unread,
            continued,
            subscribes: info.features.has(Feature::Subscribe),
        }
    }

    /// Whether a command may be given.
    pub(crate) fn has_room(&self) -> bool {
        self.out.has_room()
    }

    /// Does what the application wants.
    pub(crate) fn command(&mut self, now: Instant, command: Command) {
        // Who dropped a subscription before it watches the job again wants its history again.
        self.drop_feeds(now);
        match command {
            Command::Request(request, _) if self.closing.is_some() => {
                request.slot.fail(Disconnected::new(Reason::ClosedByUs).into());
            }
            // It waited for a connection, and nobody waits for it any more.
            Command::Request(request, _) if request.deadline <= now => {
                request.slot.fail(RequestError::TimedOut);
            }
            Command::Request(request, _) if self.pending.is_full() => {
                request.slot.fail(RequestError::TooMany);
            }
            Command::Request(mut request, frame) => {
                match (&mut request.slot, &request.job) {
                    (Slot::Subscribe { feed, .. }, Some(job)) => *feed = Some(self.jobs.follow(job)),
                    (Slot::Ping { sent, .. }, _) => *sent = now,
                    _ => {}
                }
                self.out.request(Some(request.id.clone()), frame);
                self.pending.push(request);
            }
            Command::Unsubscribe { job, feed } => self.unwatch(now, &job, feed),
            Command::Attach { job, reply } => {
                let feed = self.jobs.submitted(&job);
                // Nobody may wait any more; then the events are nobody's.
                let _ = reply.send(feed);
            }
        }
    }

    /// Begins to end the session (§6.7).
    ///
    /// # Errors
    /// If the frame could not be made.
    pub(crate) fn close(&mut self, now: Instant, reason: &str) -> Result<(), Reason> {
        if self.closing.is_none() {
            self.closing = Some(now + self.close_wait.min(Duration::from_secs(86_400)));
            self.out.close(reason)?;
        }
        Ok(())
    }

    /// Advances the clock, and acknowledges what was processed.
    ///
    /// # Errors
    /// If that ends the connection.
    pub(crate) fn tick(&mut self, now: Instant) -> Result<(), Reason> {
        if self.closing.is_some_and(|until| until <= now) {
            return Err(Reason::ClosedByUs);
        }
        self.expire(now);
        self.drop_feeds(now);
        if self.jobs.keep_unknown && !self.continued && !self.pending.repeats_a_submit() {
            self.jobs.forget_unknown();
        }
        if self.peer.poll_heartbeat(now).map_err(|_| Reason::HeartbeatLost)? {
            self.out.heartbeat();
        }
        self.peer.processed(now, self.acknowledged());
        if let Some(seq) = self.peer.poll_ack(now) {
            self.out.ack(seq);
        }
        Ok(())
    }

    /// What may be acknowledged: what was processed. Acks are of the whole session, so that a handle that
    /// nobody reads yet would in the end stop the job that somebody waits for: then, of more than a few that
    /// wait, those that arrived are acknowledged, too, as long as every handle has room for as many again.
    pub(crate) fn acknowledged(&self) -> u64 {
        let jobs = &self.jobs;
        let held_up = self.ledger.waiting() > self.unread && jobs.is_starved();
        let ahead = held_up && !jobs.has_unclaimed() && !jobs.is_half_full();
        if ahead { self.peer.received() } else { self.ledger.processed() }
    }

    /// Fails the requests whose time is up.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(request) = self.pending.expired(now) {
            self.give_up(now, request, RequestError::TimedOut);
        }
    }

    /// Fails a request that the runtime may have granted all the same.
    pub(crate) fn give_up(&mut self, now: Instant, mut request: Request<Slot>, error: RequestError) {
        if let (Slot::Subscribe { feed, .. }, Some(job)) = (&mut request.slot, &request.job)
            && let Some(feed) = feed.take()
        {
            self.unwatch(now, job, feed.id);
        }
        request.slot.fail(error);
    }

    /// Ends the feeds of subscriptions that were dropped.
    fn drop_feeds(&mut self, now: Instant) {
        while let Some((job, feed)) = self.ledger.dropped() {
            self.unwatch(now, &job, feed);
        }
    }

    /// Ends one feed of a job, and tells the runtime if nobody here watches the job any more: it has one
    /// stream for each session.
    pub(crate) fn unwatch(&mut self, now: Instant, job: &JobId, feed: FeedId) {
        if self.jobs.unfollow(job, feed) && !self.pending.subscribes(job) {
            self.unsubscribe(now, job);
        }
    }

    /// Tells the runtime that a job is watched no longer, also once more. Not behind a request to watch it:
    /// that would be taken back.
    pub(crate) fn unsubscribe(&mut self, now: Instant, job: &JobId) {
        if !self.subscribes || self.jobs.is_own(job) || self.closing.is_some() {
            return;
        }
        match self.out.unsubscribe(job) {
            Ok(()) => self.jobs.mute(job.clone(), now + self.request_timeout),
            Err(error) => tracing::debug!(%job, %error, "a job is watched on"),
        }
    }

    /// When to call [`Engine::tick`] next.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        [self.peer.timeout(), self.pending.deadline(), self.closing].into_iter().flatten().min()
    }

    /// Fails one request.
    pub(crate) fn fail(&mut self, request: Request<Slot>, error: RequestError) {
        if let (Slot::Subscribe { feed: Some(feed), .. }, Some(job)) = (&request.slot, &request.job) {
            self.jobs.unfollow(job, feed.id);
        }
        request.slot.fail(error);
    }

    /// The session is over.
    pub(crate) fn over(&mut self, why: &Disconnected) {
        // From here on nothing counts as processed that the application does not take.
        self.ledger.end();
        for request in self.pending.drain() {
            request.slot.fail(why.clone().into());
        }
        self.jobs.clear();
    }
}
