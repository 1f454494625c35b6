//! The open half of a connection: one task, one owner, both directions polled in turn.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use arcp_core::session::{AckAhead, Inbound, Link, LinkConfig};
use arcp_core::transport::{Close, Received, RecvError, Transport};
use arcp_core::{Code, Envelope, Error, Feature, MessageId};
use bytestring::ByteString;
use futures_util::Stream as _;
use futures_util::stream::FuturesOrdered;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::delivery::{Delivery, Ready};
use super::refuse::to_wire;
use crate::config::Config;
use crate::profile::{Refusable, Refusal, Refused};
use crate::runtime::{CommandFuture, Commands};
use crate::service::{After, Request, Response, Session, SessionCtx};
use crate::{BoxError, clock, random};

/// Frames that are moved in one direction before the other has its turn.
const TURN: usize = 128;
/// Turns before other tasks of the thread have theirs.
const TURNS: usize = 8;

pin_project! {
    /// A command under way, with what its refusal would name.
    struct Call<F> {
        request: Option<Refusable>,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Call<F> {
    type Output = (Refusable, F::Output);
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let output = ready!(this.future.poll(cx));
        Poll::Ready((this.request.take().unwrap_or_default(), output))
    }
}

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
    calls: FuturesOrdered<Call<S::Future>>,
    /// Those that go past the stack.
    urgent_calls: FuturesOrdered<Call<CommandFuture>>,
    pending: VecDeque<Request>,
    credits: u64,
    held: Vec<Held>,
    /// Whether the peer said anything after its handshake.
    heard: bool,
    /// The peer wants another session. Nothing is read until that is decided.
    resume: Option<Box<Envelope>>,
    /// Set when the connection is about to end: what is still to be said goes first, until then.
    closing: Option<(Close, Instant)>,
}

impl<'a, T, S> Connection<'a, T, S>
where
    T: Transport,
    S: Service<Request, Response = Response, Error: Into<BoxError>>,
{
    pub(super) fn new(io: &'a mut T, session: Session<S>) -> Self {
        let Session { attachment, service, greeting, urgent, config, store } = session;
        let cx = attachment.cx.clone();
        let mut link_config = LinkConfig::new(cx.features());
        link_config.heartbeat = cx.features().has(Feature::Heartbeat).then_some(config.heartbeat);
        link_config.frame_rate = (config.frame_rate, config.frame_burst);
        link_config.control_queue = config.control_queue;
        link_config.nonce = random::bits();
        let mut link = Link::new(clock::now(), cx.id().clone(), &link_config);
        if let Some(greeting) = greeting {
            link.reply(greeting);
        }
        Self {
            io,
            cx,
            service,
            urgent,
            delivery: Delivery::new(attachment, store),
            config,
            link,
            calls: FuturesOrdered::new(),
            urgent_calls: FuturesOrdered::new(),
            pending: VecDeque::new(),
            credits: 0,
            held: Vec::new(),
            heard: false,
            resume: None,
            closing: None,
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
        let mut sleep = pin!(tokio::time::sleep(std::time::Duration::ZERO));
        poll_fn(|cx| {
            self.delivery.attachment.register(cx);
            if self.closing.is_none() && shutdown.as_mut().poll(cx).is_ready() {
                self.close(Close::new(Close::RESTART, "the runtime is stopping"));
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
                if self.is_idle()
                    && let Some(request) = self.resume.take()
                {
                    return Poll::Ready(End::Resume(request));
                }
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

    fn close(&mut self, close: Close) {
        self.closing.get_or_insert((close, clock::now() + self.config.close_timeout));
    }

    /// Reads while there is room. Control frames are dealt with even while no command can run.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, Option<Close>> {
        let mut progress = false;
        for _ in 0..TURN {
            let now = clock::now();
            if self.closing.is_some()
                || self.resume.is_some()
                || self.pending.len() >= self.config.max_pending
                || self.urgent_calls.len() >= self.config.max_pending
                || !self.link.wants_frame(now)
            {
                break;
            }
            let Poll::Ready(received) = self.io.poll_recv(cx) else { break };
            progress = true;
            match received {
                Ok(Received::Frame(frame)) => {
                    self.link.heard(now);
                    let first = !std::mem::replace(&mut self.heard, true);
                    if first && self.delivery.attachment.confirm_token() {
                        self.delivery.confirmed();
                    }
                    self.frame(&frame);
                }
                Ok(Received::Closed(Some(_))) => return Err(Some(Close::new(Close::NORMAL, ""))),
                Ok(Received::Closed(None)) | Err(RecvError::Io(_)) => return Err(None),
                Err(e) => {
                    if matches!(e, RecvError::Binary) {
                        let error = Error::fault("message", "must be a text frame");
                        self.refuse(&error, &Refusable::frame(None));
                    }
                    self.close(e.close().unwrap_or_else(|| Close::new(Close::PROTOCOL, "")));
                }
            }
        }
        Ok(progress)
    }

    fn frame(&mut self, frame: &ByteString) {
        let message = match Envelope::decode(frame, self.config.json_limits()) {
            Ok(message) => message,
            Err(fault) => return self.refuse(&fault.error, &Refusable::frame(fault.id)),
        };
        let request = Refusable::of(&message);
        let outcome = self.link.handle(self.config.clock.wall(), message).and_then(|inbound| {
            match inbound {
                Inbound::Ack(seq) => {
                    let ahead = |e: AckAhead| Error::fault("payload.last_processed_seq", &e.to_string());
                    self.cx.ack(seq).map_err(ahead)?;
                    self.delivery.acked(seq);
                }
                Inbound::Pong(nonce) => self.held.retain(|held| held.nonce.as_ref() != Some(&nonce)),
                Inbound::Request(message) => {
                    self.pending.push_back(Request::new(message, self.cx.clone()));
                }
                Inbound::Urgent(message) => {
                    let (request, future) = (Some(request.clone()), self.urgent.urgent(message));
                    self.urgent_calls.push_back(Call { request, future });
                }
                Inbound::Resume(message) => self.resume = Some(Box::new(message)),
                Inbound::Close => self.close(Close::new(Close::NORMAL, "session.closed")),
                _ => {}
            }
            Ok(())
        });
        if let Err(error) = outcome {
            self.refuse(&error, &request);
        }
    }

    /// Starts commands in the order they came. Readiness is asked for only when a command waits: an
    /// idle session must not sit on a permit that others share.
    fn poll_dispatch(&mut self, cx: &mut Context<'_>) -> Result<bool, Option<Close>> {
        let mut progress = false;
        while !self.pending.is_empty() && self.calls.len() < self.config.max_in_flight {
            match self.service.poll_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(e)) => {
                    // A service that failed its readiness is of no more use.
                    let error = to_wire(&*e.into());
                    return Err(Some(Close::new(Close::INTERNAL, error.message())));
                }
            }
            let Some(request) = self.pending.pop_front() else { break };
            let named = Some(Refusable::of(&request.message));
            let future = self.service.call(request);
            self.calls.push_back(Call { request: named, future });
            progress = true;
        }
        Ok(progress)
    }

    /// Collects replies in the order of the requests: some clients have nothing else to match by.
    fn poll_calls(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while !self.urgent_calls.is_empty()
            && let Poll::Ready(Some((request, outcome))) = Pin::new(&mut self.urgent_calls).poll_next(cx)
        {
            progress = true;
            self.answer(outcome, &request);
        }
        while !self.calls.is_empty()
            && let Poll::Ready(Some((request, outcome))) = Pin::new(&mut self.calls).poll_next(cx)
        {
            progress = true;
            self.answer(outcome.map_err(|e| to_wire(&*e.into())), &request);
        }
        progress
    }

    fn answer(&mut self, outcome: Result<Response, Error>, request: &Refusable) {
        match outcome {
            Ok(response) => self.reply(response, request),
            Err(error) => self.refuse(&error, request),
        }
    }

    fn reply(&mut self, response: Response, request: &Refusable) {
        let Response { replies, after } = response;
        let profile = self.cx.profile().clone();
        let single = replies.len() == 1;
        let mut holds_back = false;
        for reply in replies {
            holds_back |= profile.holds_back(&reply);
            self.link.reply(profile.reply(reply, request.id.as_ref().filter(|_| single)));
        }
        if holds_back && after.is_some() {
            self.hold(after);
        }
        // Otherwise `after` runs here, when it is dropped: the replies are queued.
    }

    fn hold(&mut self, effect: Option<After>) {
        let heartbeat = self.cx.features().has(Feature::Heartbeat);
        let nonce = if heartbeat { self.link.ping(self.config.clock.wall()).ok() } else { None };
        let wait = std::time::Duration::from_millis(if nonce.is_some() { 250 } else { 50 });
        self.held.push(Held { nonce, until: clock::now() + wait, _effect: effect });
    }

    pub(super) fn refuse(&mut self, error: &Error, request: &Refusable) {
        let cx = self.cx.clone();
        let busy = cx.is_busy() || !self.calls.is_empty() || !self.pending.is_empty();
        tracing::debug!(%error, kind = request.kind.as_ref().map_or("none", |k| k.as_str()), "refused");
        match cx.profile().refuse(&Refusal::new(error, request.clone(), busy)) {
            Refused::Frames(frames) => frames.into_iter().for_each(|frame| self.link.reply(frame)),
            Refused::Stillborn => match self.urgent.stillborn(error, request) {
                Ok(response) => self.reply(response, request),
                Err(error) => tracing::warn!(%error, "a refusal could not be said"),
            },
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut progress = false;
        for _ in 0..TURN {
            let Poll::Ready(ready) = self.io.poll_ready(cx) else { break };
            ready?;
            let Some(frame) = self.next_frame(cx) else { break };
            self.io.send(frame)?;
            progress = true;
        }
        self.cx.credit(std::mem::take(&mut self.credits));
        if !progress {
            // While there is more to send, it is gathered; what is left goes when there is no more.
            if let Poll::Ready(flushed) = self.io.poll_flush(cx) {
                flushed?;
            }
        }
        Ok(progress)
    }

    /// Control frames and replies first, then events.
    fn next_frame(&mut self, cx: &mut Context<'_>) -> Option<String> {
        if let Some(reply) = self.link.next_reply() {
            let id = MessageId::from_bits(random::bits());
            return Some(reply.encode(Some(self.cx.id()), &id));
        }
        if self.closing.is_some() {
            return None;
        }
        match self.delivery.poll_frame(cx) {
            Poll::Ready(Ok(Some(Ready { frame, credits, .. }))) => {
                self.credits += credits;
                Some(frame)
            }
            Poll::Ready(Ok(None)) | Poll::Pending => None,
            Poll::Ready(Err(close)) => {
                self.close(close);
                None
            }
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        let held = self.held.iter().map(|held| held.until).min();
        let closing = self.closing.as_ref().map(|(_, until)| *until);
        [self.link.poll_timeout(clock::now()), held, closing].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self) {
        let now = clock::now();
        self.held.retain(|held| held.until > now);
        if self.closing.is_some() {
            return;
        }
        if let Err(error) = self.link.handle_timeout(now, self.config.clock.wall()) {
            debug_assert_eq!(error.code(), Code::HeartbeatLost);
            self.refuse(&error, &Refusable::frame(None));
            self.close(Close::new(Close::POLICY, error.code().as_str()));
        }
    }
}
