//! A session at the runtime: what outlives a connection, and the right to be its connection.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use arcp_core::event::EventIds;
use arcp_core::session::{AckAhead, FeedId, Outbox, Placed};
use arcp_core::{Envelope, Event, Features, JobId, SessionId};
use futures_util::task::AtomicWaker;
use http::Extensions;
use tokio::sync::Semaphore;

use crate::auth::Principal;
use crate::config::Config;
use crate::profile::Profile;
use crate::runtime::{Commands, JobStream, Slot};

/// An open session: its stack of services, and its state.
#[derive(Debug)]
pub struct Session<S> {
    pub(crate) attachment: Attachment,
    pub(crate) service: S,
    /// The welcome; taken when the connection begins.
    pub(crate) greeting: Option<Envelope>,
    /// Takes what no layer may delay.
    pub(crate) urgent: Commands,
    pub(crate) config: Arc<Config>,
}

impl<S> Session<S> {
    /// What outlives the connection.
    pub fn cx(&self) -> &SessionCtx {
        &self.attachment.cx
    }

    /// Wraps the service that takes the session's commands. This is how layers reach it.
    pub fn map_service<T>(self, f: impl FnOnce(&SessionCtx, S) -> T) -> Session<T> {
        let Self { attachment, service, greeting, urgent, config } = self;
        let service = f(&attachment.cx, service);
        Session { attachment, service, greeting, urgent, config }
    }
}

/// A handle to a session. It is cheap to clone, and outlives connections.
#[derive(Clone)]
pub struct SessionCtx(Arc<Shared>);

struct Shared {
    id: SessionId,
    principal: Principal,
    features: Features,
    profile: Arc<dyn Profile>,
    extensions: Extensions,
    ids: EventIds,
    max_feeds: usize,
    window: usize,
    backlog_cap: usize,
    state: Mutex<State>,
    /// Feeds with something new. A lock of its own: agents push here, and must not wait for a
    /// connection that is numbering.
    fresh: Mutex<VecDeque<FeedId>>,
    waker: AtomicWaker,
    credits: Arc<Semaphore>,
    /// Bytes that own jobs are ahead of what was sent.
    backlog: AtomicUsize,
    room: Mutex<Vec<Waker>>,
    /// Odd while a connection is attached; each attach and each detach counts it up.
    epoch: AtomicU64,
}

struct State {
    outbox: Outbox,
    streams: HashMap<FeedId, (Arc<JobStream>, Slot)>,
}

/// What a session is opened with.
pub(crate) struct Opening {
    pub(crate) id: SessionId,
    pub(crate) principal: Principal,
    pub(crate) features: Features,
    pub(crate) profile: Arc<dyn Profile>,
    pub(crate) extensions: Extensions,
    pub(crate) secret: [u8; 32],
}

/// Events of one feed that were read ahead. They have no numbers yet: an event gets its number when
/// its frame is handed to the socket.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    feed: Option<FeedId>,
    events: VecDeque<Arc<Event>>,
}

/// Why a session cannot be sent its events any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooFarBehind;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SessionCtx {
    pub(crate) fn new(opening: Opening, config: &Config) -> Self {
        let Opening { id, principal, features, profile, extensions, secret } = opening;
        Self(Arc::new(Shared {
            id,
            principal,
            features,
            profile,
            extensions,
            ids: EventIds::new(&secret),
            max_feeds: config.max_feeds,
            window: config.window,
            backlog_cap: config.backlog_bytes,
            state: Mutex::new(State {
                outbox: Outbox::new(features, config.max_runs),
                streams: HashMap::new(),
            }),
            fresh: Mutex::default(),
            waker: AtomicWaker::new(),
            credits: Arc::new(Semaphore::new(config.window)),
            backlog: AtomicUsize::new(0),
            room: Mutex::default(),
            epoch: AtomicU64::new(0),
        }))
    }

    /// The session's id.
    pub fn id(&self) -> &SessionId {
        &self.0.id
    }

    /// Whom it acts for.
    pub fn principal(&self) -> &Principal {
        &self.0.principal
    }

    /// What both sides may use (§6.2).
    pub fn features(&self) -> Features {
        self.0.features
    }

    /// The form its peer wants frames in.
    pub fn profile(&self) -> &Arc<dyn Profile> {
        &self.0.profile
    }

    /// What the transport, the host and the layers knew at the handshake.
    pub fn extensions(&self) -> &Extensions {
        &self.0.extensions
    }

    /// One permit for each event that the session's own jobs may still be ahead of its acks.
    pub fn credits(&self) -> Arc<Semaphore> {
        self.0.credits.clone()
    }

    pub(crate) fn free_credits(&self) -> usize {
        self.0.credits.available_permits()
    }

    /// The highest number given (§8.3), 0 if none.
    pub fn last_event_seq(&self) -> u64 {
        lock(&self.0.state).outbox.head()
    }

    /// Events that were sent and not acknowledged.
    pub fn lag(&self) -> u64 {
        let state = lock(&self.0.state);
        state.outbox.head() - state.outbox.acked()
    }

    /// Whether a connection is there.
    pub fn is_attached(&self) -> bool {
        self.0.epoch.load(Ordering::Acquire) % 2 == 1
    }

    /// Whether it follows jobs that have not ended for it.
    pub(crate) fn is_busy(&self) -> bool {
        lock(&self.0.state).outbox.feeds() > 0
    }

    pub(crate) fn follows(&self, job_id: &JobId) -> bool {
        lock(&self.0.state).outbox.feed_of(job_id).is_some()
    }

    /// The highest number that a job has in this session.
    pub(crate) fn last_of(&self, job_id: &JobId) -> u64 {
        lock(&self.0.state).outbox.last_of(job_id)
    }

    /// The event of a job that came after one of this session's numbers.
    pub(crate) fn job_seq_after(&self, job_id: &JobId, event_seq: u64) -> u64 {
        lock(&self.0.state).outbox.job_seq_after(job_id, event_seq)
    }

    /// Follows a job from event `next` of its log on. Nothing is sent of it before
    /// [`SessionCtx::tell`]. `None` if it follows as many as it may.
    pub(crate) fn follow(&self, stream: &Arc<JobStream>, next: u64, own: bool) -> Option<FeedId> {
        let mut state = lock(&self.0.state);
        if state.outbox.feeds() >= self.0.max_feeds {
            return None;
        }
        let feed = state.outbox.follow(stream.job_id().clone(), next, own);
        let slot = stream.watch(self, feed);
        state.streams.insert(feed, (stream.clone(), slot));
        Some(feed)
    }

    /// Follows a job no longer. `false` if it did not.
    pub(crate) fn unfollow(&self, job_id: &JobId) -> bool {
        let mut state = lock(&self.0.state);
        let Some(feed) = state.outbox.feed_of(job_id) else { return false };
        state.outbox.unfollow(feed);
        if let Some((stream, slot)) = state.streams.remove(&feed) {
            stream.unwatch(slot);
        }
        true
    }

    /// There is something new in a feed.
    pub(crate) fn tell(&self, feed: FeedId) {
        lock(&self.0.fresh).push_back(feed);
        self.0.waker.wake();
    }

    /// Takes `last_processed_seq` (§6.5).
    pub(crate) fn ack(&self, seq: u64) -> Result<(), AckAhead> {
        let credits = lock(&self.0.state).outbox.ack(seq)?;
        self.credit(credits);
        Ok(())
    }

    /// Gives credits back, never more than there are in all.
    pub(crate) fn credit(&self, credits: u64) {
        let room = self.0.window.saturating_sub(self.0.credits.available_permits());
        let credits = usize::try_from(credits).unwrap_or(usize::MAX).min(room);
        if credits > 0 {
            self.0.credits.add_permits(credits);
        }
    }

    /// Whether own jobs may add to what waits to be sent; if not, `cx` is woken when they may.
    pub(crate) fn has_room(&self, cx: &Context<'_>) -> bool {
        let room = || self.0.backlog.load(Ordering::Acquire) < self.0.backlog_cap;
        if room() {
            return true;
        }
        lock(&self.0.room).push(cx.waker().clone());
        // Looked at again: room may have come before the waker was there.
        room()
    }

    /// An own job appended `bytes`. Nobody waits for a session that has no connection (§6.4).
    pub(crate) fn spent(&self, bytes: usize) {
        if self.is_attached() {
            self.0.backlog.fetch_add(bytes, Ordering::AcqRel);
        } else {
            self.credit(1);
        }
    }

    fn sent(&self, bytes: usize) {
        let less = |backlog: usize| Some(backlog.saturating_sub(bytes));
        let before = self.0.backlog.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).unwrap_or(0);
        if before >= self.0.backlog_cap {
            self.wake_room();
        }
    }

    fn wake_room(&self) {
        let waiting = std::mem::take(&mut *lock(&self.0.room));
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn register(&self, cx: &Context<'_>) {
        self.0.waker.register(cx.waker());
    }

    /// Takes the session over from whatever connection has it.
    pub(crate) fn attach(&self) -> Attachment {
        let state = lock(&self.0.state);
        let epoch = (self.0.epoch.load(Ordering::Acquire) + 1) | 1;
        self.0.epoch.store(epoch, Ordering::Release);
        drop(state);
        self.0.waker.wake();
        Attachment { cx: self.clone(), epoch }
    }
}

impl fmt::Debug for SessionCtx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionCtx")
            .field("id", &self.0.id)
            .field("principal", &self.0.principal)
            .field("features", &self.0.features)
            .finish_non_exhaustive()
    }
}

/// The right to be a session's connection. Only its holder numbers events, and only until another
/// connection takes the session over.
#[derive(Debug)]
pub struct Attachment {
    pub(crate) cx: SessionCtx,
    epoch: u64,
}

impl Attachment {
    pub(crate) fn is_current(&self) -> bool {
        self.cx.0.epoch.load(Ordering::Acquire) == self.epoch
    }

    /// The next frame of an event, and the credits that sending it frees. `Ok(None)` if there is
    /// nothing to send. Numbers are given under the lock that a take-over needs, so a connection
    /// that lost the session cannot number anything.
    pub(crate) fn next_event(&self, staged: &mut Staged) -> Result<Option<(String, u64)>, TooFarBehind> {
        let shared = &*self.cx.0;
        let mut skipped = 0;
        loop {
            if staged.events.is_empty() && !self.stage(staged)? {
                self.cx.credit(skipped);
                return Ok(None);
            }
            let mut state = lock(&shared.state);
            let (Some(feed), Some(event)) = (staged.feed, staged.events.pop_front()) else { continue };
            let placed = if self.is_current() { state.outbox.place(feed, &event) } else { None };
            let Some(Placed { event_seq, own, credits }) = placed else {
                // No longer followed, or no longer ours to send.
                staged.events.clear();
                continue;
            };
            if event.is_terminal()
                && let Some((stream, slot)) = state.streams.remove(&feed)
            {
                stream.unwatch(slot);
            }
            drop(state);
            if own {
                self.cx.sent(event.payload.as_str().len());
            }
            let Some(seq) = event_seq else {
                skipped += credits;
                continue;
            };
            let id = shared.ids.id(seq);
            let rewritten = if event.is_terminal() { shared.profile.terminal(&event) } else { None };
            let frame = rewritten.as_ref().unwrap_or(&event).encode(&shared.id, &id, seq);
            return Ok(Some((frame, credits + skipped)));
        }
    }

    /// Reads ahead in the next feed with something new.
    fn stage(&self, staged: &mut Staged) -> Result<bool, TooFarBehind> {
        const BATCH: usize = 64;
        let shared = &*self.cx.0;
        loop {
            let Some(feed) = lock(&shared.fresh).pop_front() else { return Ok(false) };
            let state = lock(&shared.state);
            let (Some(next), Some((stream, slot))) = (state.outbox.cursor(feed), state.streams.get(&feed))
            else {
                continue;
            };
            let more = stream.read(*slot, next, BATCH, &mut staged.events).map_err(|_| TooFarBehind)?;
            if more {
                // Behind the other feeds: they take turns.
                lock(&shared.fresh).push_back(feed);
            }
            if !staged.events.is_empty() {
                staged.feed = Some(feed);
                return Ok(true);
            }
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let mut state = lock(&self.cx.0.state);
        // A connection that was taken over must not touch the session that it lost.
        if !self.is_current() {
            return;
        }
        self.cx.0.epoch.store(self.epoch + 1, Ordering::Release);
        let streams = std::mem::take(&mut state.streams);
        for (feed, (stream, slot)) in streams {
            state.outbox.unfollow(feed);
            stream.unwatch(slot);
        }
        drop(state);
        // Jobs go on without a connection (§6.4): nobody waits for it.
        self.cx.0.backlog.store(0, Ordering::Release);
        self.cx.credit(u64::MAX);
        self.cx.wake_room();
    }
}
