//! The open half of a connection: one task, one owner, both directions polled in turn.

mod answer;
mod read;
mod watch;
mod write;

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arcp_core::session::{Link, LinkConfig};
use arcp_core::transport::{Close, Transport};
use arcp_core::{Code, Envelope, Error, Feature};
use tower_service::Service;
use watch::Watch;

use super::calls::Calls;
use super::delivery::Delivery;
use crate::config::Config;
use crate::profile::Refusable;
use crate::runtime::{CommandFuture, Commands};
use crate::service::{After, Request, Response, Session, SessionCtx};
use crate::telemetry::Active;
use crate::{BoxError, clock, random};

/// Frames that are moved in one direction before the other has its turn.
const TURN: usize = 128;
/// Turns before other tasks of the thread have theirs.
const TURNS: usize = 8;

/// How a connection goes on.
pub(super) enum End {
    /// It does not. `None` if the peer is gone.
    Closed(Option<Close>),
    /// With another session, if this message is let through.
    Resume(Box<Envelope>),
}

/// An effect that waits for the peer to answer a ping.
struct Held {
    nonce: Option<String>,
    until: Instant,
    _effect: Option<After>,
}

pub(super) struct Connection<'a, T, S: Service<Request>> {
    io: &'a mut T,
    cx: SessionCtx,
    service: S,
    urgent: Commands,
    delivery: Delivery,
    config: Arc<Config>,
    link: Link,
    calls: Calls<S::Future>,
    /// Those that go past the stack.
    urgent_calls: Calls<CommandFuture>,
    pending: VecDeque<Request>,
    credits: u64,
    /// An event that a reply was faster than.
    stashed: Option<String>,
    held: Vec<Held>,
    /// Whether the peer said anything after its handshake.
    heard: bool,
    /// The peer wants another session. Nothing is read until that is decided.
    resume: Option<Box<Envelope>>,
    watch: Watch,
    /// Set when the connection is about to end: what is still to be said goes first, until then.
    closing: Option<(Close, Instant)>,
    /// The session counts as active for as long.
    _active: Active,
}

impl<'a, T, S> Connection<'a, T, S>
where
    T: Transport,
    S: Service<Request, Response = Response, Error: Into<BoxError>>,
{
    pub(super) fn new(io: &'a mut T, session: Session<S>) -> Self {
        let Session { attachment, service, greeting, urgent, config, store, .. } = session;
        let cx = attachment.cx.clone();
        let mut link_config = LinkConfig::new(cx.features());
        link_config.heartbeat =
            cx.features().has(Feature::Heartbeat).then_some(Duration::from_secs(config.heartbeat_seconds()));
        link_config.frame_rate = (config.frame_rate, config.frame_burst);
        link_config.control_queue = config.control_queue;
        link_config.nonce = random::bits();
        let mut watch = Watch::new(clock::now(), link_config.heartbeat.is_some(), &config);
        watch.until(cx.valid_until().map(|at| clock::after(config.clock.until(at))));
        let mut link = Link::new(clock::now(), cx.id().clone(), &link_config);
        if let Some(greeting) = greeting {
            link.reply(greeting);
        }
        Self {
            io,
            cx,
            service,
            urgent,
            delivery: Delivery::new(attachment, store, &config),
            config,
            link,
            calls: Calls::new(),
            urgent_calls: Calls::new(),
            pending: VecDeque::new(),
            credits: 0,
            stashed: None,
            held: Vec::new(),
            heard: false,
            resume: None,
            watch,
            closing: None,
            _active: Active::session(),
        }
    }

    /// What outlives the connection.
    pub(super) fn session(&self) -> &SessionCtx {
        &self.cx
    }

    /// Runs until the connection ends, or is to go on with another session.
    pub(super) async fn run(&mut self) -> End {
        let shutdown = self.config.shutdown.clone();
        let mut shutdown = pin!(shutdown.cancelled());
        let mut revoked = pin!(self.cx.validity().revoked());
        let mut sleep = pin!(tokio::time::sleep(std::time::Duration::ZERO));
        poll_fn(|cx| {
            self.delivery.attachment.register(cx);
            if self.closing.is_none() && shutdown.as_mut().poll(cx).is_ready() {
                self.close(Close::new(Close::RESTART, "the runtime is stopping"));
            }
            if self.closing.is_none() && revoked.as_mut().poll(cx).is_ready() {
                self.expire();
            }
            for _ in 0..TURNS {
                if !self.delivery.attachment.is_current() {
                    let close = Close::new(Close::TAKEN_OVER, "the session was resumed elsewhere");
                    return Poll::Ready(End::Closed(Some(close)));
                }
                let progress = match self.turn(cx) {
                    Ok(progress) => progress,
                    Err(end) => return Poll::Ready(End::Closed(end)),
                };
                if progress {
                    continue;
                }
                if self.is_drained() {
                    self.close(Close::new(Close::RESTART, "the runtime is stopping"));
                    continue;
                }
                if self.is_idle()
                    && let Some(request) = self.resume.take()
                {
                    return Poll::Ready(End::Resume(request));
                }
                self.rest();
                // Timers only when nothing else is to be done: one that fires makes a new turn.
                let Some(at) = self.next_timeout() else { return Poll::Pending };
                let at = tokio::time::Instant::from_std(at);
                if sleep.deadline() != at {
                    sleep.as_mut().reset(at);
                }
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.handle_timeout();
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }

    /// Whether everything that was asked for was answered.
    fn is_idle(&self) -> bool {
        let called = self.pending.is_empty() && self.calls.is_empty() && self.urgent_calls.is_empty();
        called && !self.link.has_replies()
    }

    /// Whether the runtime ends, and this connection has nothing left to do: its jobs are over, and
    /// it was sent everything.
    fn is_drained(&self) -> bool {
        let door = &self.config.door;
        door.is_draining()
            && self.closing.is_none()
            && self.resume.is_none()
            && self.stashed.is_none()
            && self.is_idle()
            && (door.is_settled() || !self.cx.is_busy())
            && self.delivery.is_caught_up()
    }

    /// Nothing is to be done for now. Most connections wait most of their time, and hold nothing for
    /// work while they do.
    fn rest(&mut self) {
        self.io.rest();
        self.link.rest();
        self.delivery.rest();
        if self.pending.is_empty() {
            self.pending = VecDeque::new();
        }
        if self.held.is_empty() {
            self.held = Vec::new();
        }
    }

    /// One turn of everything. `Err` is the end of the connection.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, Option<Close>> {
        let mut progress = self.poll_read(cx)?;
        progress |= self.poll_dispatch(cx)?;
        progress |= self.poll_calls(cx);
        match self.poll_write(cx) {
            Ok(wrote) => progress |= wrote,
            Err(_) => return Err(None),
        }
        if let Some((close, until)) = &self.closing
            && ((self.is_idle() && !progress) || clock::now() >= *until)
        {
            return Err(Some(close.clone()));
        }
        Ok(progress)
    }

    pub(super) fn close(&mut self, close: Close) {
        let most = self.config.door.closing(self.config.close_timeout);
        self.closing.get_or_insert((close, clock::after(most)));
    }

    fn next_timeout(&self) -> Option<Instant> {
        let held = self.held.iter().map(|held| held.until).min();
        // A heartbeat that was missed stays missed: only the end counts from then on.
        let next = match &self.closing {
            Some((_, until)) => Some(*until),
            None => [self.link.poll_timeout(clock::now()), self.watch.timeout()].into_iter().flatten().min(),
        };
        [next, held].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self) {
        let now = clock::now();
        self.held.retain(|held| held.until > now);
        if self.closing.is_some() {
            return;
        }
        if self.watch.has_expired(now) {
            return self.expire();
        }
        if let Some(close) = self.watch.over(now, self.cx.is_busy()) {
            return self.close(close);
        }
        if self.is_full() {
            self.link.excuse(now);
        }
        if let Err(error) = self.link.handle_timeout(now, self.config.clock.wall()) {
            debug_assert_eq!(error.code(), Code::HeartbeatLost);
            self.refuse(&error, &Refusable::frame(None));
            self.close(Close::new(Close::POLICY, error.code().as_str()));
        }
    }

    /// The credentials that opened the connection count no longer.
    fn expire(&mut self) {
        let error = Error::new(Code::Unauthenticated, "the credentials of this connection have ended");
        self.refuse(&error, &Refusable::frame(None));
        self.close(Close::new(Close::POLICY, error.code().as_str()));
    }
}
