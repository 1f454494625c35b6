//! A session at the runtime: its stack of services, and what outlives its connections.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::task::Context;

use arcp_core::event::EventIds;
use arcp_core::session::{AckAhead, FeedId, Outbox};
use arcp_core::store::{Hash, SessionRow, Store};
use arcp_core::{Envelope, Features, JobId, SessionId, Timestamp};
use http::Extensions;
use tokio::sync::Semaphore;

use super::attachment::Attachment;
use super::window::Window;
use crate::auth::{Principal, Scopes};
use crate::config::Config;
use crate::lock::lock;
use crate::profile::Profile;
use crate::runtime::{Commands, JobStream, Sessions, Slot, Tokens};

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
    /// Where numbers are kept before they leave, if they are.
    pub(crate) store: Option<Arc<dyn Store>>,
    /// What is given back when its connection is closed.
    pub(crate) kept: Option<Kept>,
}

/// Anything that is dropped when a connection is closed.
pub(crate) type Kept = Box<dyn Any + Send + Sync>;

impl<S> Session<S> {
    /// What outlives the connection.
    pub fn cx(&self) -> &SessionCtx {
        &self.attachment.cx
    }

    /// Wraps the service that takes the session's commands. This is how layers reach it.
    pub fn map_service<T>(self, f: impl FnOnce(&SessionCtx, S) -> T) -> Session<T> {
        let Self { attachment, service, greeting, urgent, config, store, kept } = self;
        let service = f(&attachment.cx, service);
        Session { attachment, service, greeting, urgent, config, store, kept }
    }

    /// Keeps something for as long as the connection is open, such as a permit.
    pub fn keep(self, permit: impl Any + Send + Sync) -> Self {
        let kept: Kept = match self.kept {
            None => Box::new(permit),
            Some(before) => Box::new((permit, before)),
        };
        Self { kept: Some(kept), ..self }
    }
}

/// A handle to a session. It is cheap to clone, and outlives connections.
#[derive(Clone)]
pub struct SessionCtx(pub(super) Arc<Shared>);

pub(super) struct Shared {
    id: SessionId,
    principal: Principal,
    features: Features,
    pub(super) profile: Arc<dyn Profile>,
    pub(super) extensions: Mutex<Arc<Extensions>>,
    secret: Hash,
    pub(super) ids: EventIds,
    config: Arc<Config>,
    created_at: Timestamp,
    pub(super) state: Mutex<State>,
    following: tokio::sync::Mutex<()>,
    pub(super) window: Window,
    pub(super) home: Weak<Sessions>,
}

/// What the session was sent, and what it follows. One lock: numbers are given, and the session is
/// taken over, under it.
pub(super) struct State {
    pub(super) outbox: Outbox,
    pub(super) streams: HashMap<FeedId, (Arc<JobStream>, Slot)>,
    /// The logs that remembered runs are of, for a replay; in the order they were first followed.
    pub(super) logs: Vec<Arc<JobStream>>,
    pub(super) tokens: Tokens,
    /// What the connection of now may do, and until when.
    pub(super) scopes: Scopes,
    pub(super) until: Option<Timestamp>,
    /// Counted up by each connection that begins, and that ends.
    pub(super) epoch: u64,
    pub(super) attached: bool,
    /// The epoch that the store has.
    pub(super) stored_epoch: u64,
}

/// What a session is opened with.
pub(crate) struct Opening {
    pub(crate) id: SessionId,
    pub(crate) principal: Principal,
    pub(crate) features: Features,
    pub(crate) profile: Arc<dyn Profile>,
    pub(crate) extensions: Extensions,
    pub(crate) secret: Hash,
    pub(crate) tokens: Tokens,
    pub(crate) created_at: Timestamp,
}

impl SessionCtx {
    pub(crate) fn new(opening: Opening, config: &Arc<Config>, home: Weak<Sessions>) -> Self {
        let Opening { id, principal, features, profile, extensions, secret, tokens, created_at } = opening;
        let (scopes, until) = (principal.scopes(), principal.valid_until());
        Self(Arc::new(Shared {
            id,
            principal,
            features,
            profile,
            extensions: Mutex::new(Arc::new(extensions)),
            secret,
            ids: EventIds::new(&secret),
            config: Arc::clone(config),
            created_at,
            state: Mutex::new(State {
                outbox: Outbox::new(features, config.max_runs),
                streams: HashMap::new(),
                logs: Vec::new(),
                tokens,
                scopes,
                until,
                epoch: 0,
                attached: false,
                stored_epoch: 0,
            }),
            following: tokio::sync::Mutex::default(),
            window: Window::new(config.window, config.backlog_bytes),
            home,
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

    /// What the connection of now may do. A resume brings the scopes of its own token with it, which
    /// may be others than those that the session was opened with.
    pub fn scopes(&self) -> Scopes {
        lock(&self.0.state).scopes
    }

    /// When the credentials of the connection of now end, if they do.
    pub fn valid_until(&self) -> Option<Timestamp> {
        lock(&self.0.state).until
    }

    /// Whom it acts for, with the scopes of now.
    pub(crate) fn caller(&self) -> Principal {
        let state = lock(&self.0.state);
        let principal = self.0.principal.clone().with_scopes(state.scopes);
        match state.until {
            Some(at) => principal.until(at),
            None => principal,
        }
    }

    /// What both sides may use (§6.2).
    pub fn features(&self) -> Features {
        self.0.features
    }

    /// The form its peer wants frames in.
    pub fn profile(&self) -> &Arc<dyn Profile> {
        &self.0.profile
    }

    /// What the transport, the host and the layers knew at the handshake of the connection of now.
    pub fn extensions(&self) -> Arc<Extensions> {
        lock(&self.0.extensions).clone()
    }

    /// One permit for each event that the session's own jobs may still be ahead of its acks.
    pub fn credits(&self) -> Arc<Semaphore> {
        self.0.window.credits()
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
        self.0.window.is_attached()
    }

    /// The row that a store keeps of it, written under `epoch`.
    pub(crate) fn row(&self, epoch: u64, expires_at: Option<Timestamp>) -> SessionRow {
        let state = lock(&self.0.state);
        SessionRow {
            id: self.0.id.clone(),
            principal: self.0.principal.name().to_owned(),
            epoch,
            features: self.0.features,
            profile: self.0.profile.name().to_owned(),
            secret: self.0.secret,
            token: state.tokens.current,
            previous_token: state.tokens.previous,
            head: state.outbox.head(),
            acked: state.outbox.acked(),
            created_at: self.0.created_at,
            expires_at,
        }
    }

    /// The store has it under this epoch.
    pub(crate) fn stored(&self, epoch: u64) {
        lock(&self.0.state).stored_epoch = epoch;
    }

    /// The event of a job that it will be sent next.
    pub(crate) fn cursor_of(&self, job_id: &JobId) -> Option<u64> {
        let state = lock(&self.0.state);
        state.outbox.feed_of(job_id).and_then(|feed| state.outbox.cursor(feed))
    }

    pub(crate) fn tokens(&self) -> Tokens {
        lock(&self.0.state).tokens
    }

    pub(crate) fn epoch(&self) -> u64 {
        lock(&self.0.state).epoch
    }

    /// The epoch that writes to the store name.
    pub(crate) fn stored_epoch(&self) -> u64 {
        lock(&self.0.state).stored_epoch
    }

    pub(crate) fn free_credits(&self) -> usize {
        self.0.window.free()
    }

    /// Events of its own jobs that it has yet to acknowledge, whether it was sent them or not.
    pub(crate) fn ahead(&self) -> usize {
        self.0.config.window.saturating_sub(self.free_credits())
    }

    pub(crate) fn credit(&self, credits: u64) {
        self.0.window.credit(credits);
    }

    pub(crate) fn has_room(&self, cx: &Context<'_>) -> bool {
        self.0.window.has_room(cx)
    }

    pub(crate) fn spent(&self, bytes: usize) {
        self.0.window.spent(bytes);
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

    /// Taken by commands that have the store keep what the session follows: what one of them finds
    /// followed must not be taken back by another.
    pub(crate) async fn following(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.following.lock().await
    }

    /// Follows a job from event `next` of its log on. Nothing is sent of it before
    /// [`SessionCtx::tell`]. `None` if it follows as many as it may.
    pub(crate) fn follow(&self, stream: &Arc<JobStream>, next: u64, own: bool) -> Option<FeedId> {
        let mut state = lock(&self.0.state);
        if let Some(feed) = state.outbox.feed_of(stream.job_id()) {
            // A take-over may have brought it from a store meanwhile.
            return Some(feed);
        }
        if state.outbox.feeds() >= self.0.config.max_feeds {
            return None;
        }
        Some(self.add_feed(&mut state, stream, next, own))
    }

    pub(super) fn add_feed(
        &self,
        state: &mut State,
        stream: &Arc<JobStream>,
        next: u64,
        own: bool,
    ) -> FeedId {
        let feed = state.outbox.follow(stream.job_id().clone(), next, own);
        let slot = stream.watch(self, feed);
        state.streams.insert(feed, (stream.clone(), slot));
        if state.stored_epoch > 0 {
            // A store has all logs; those that a resume needs are looked up for it.
            return feed;
        }
        if !state.logs.iter().rev().any(|log| log.job_id() == stream.job_id()) {
            state.logs.push(stream.clone());
        }
        if state.logs.len() > self.0.config.max_session_logs {
            // The oldest log goes, and with it what was numbered up to its end: a resume below is
            // refused from now on, and never thinned.
            let oldest = state.logs.remove(0);
            let last = state.outbox.last_of(oldest.job_id());
            state.outbox.forget(last);
        }
        feed
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

    /// Has its connection look at everything once more.
    pub(crate) fn wake(&self) {
        self.0.window.wake();
    }

    /// There is something new in a feed.
    pub(crate) fn tell(&self, feed: FeedId) {
        self.0.window.tell(feed);
    }

    /// Sends a frame that answers no command, if there is a connection.
    pub(crate) fn notify(&self, notice: Envelope) {
        self.0.window.notify(notice, self.0.config.max_notices);
    }

    /// What is to be said beside replies and events.
    pub(crate) fn notices(&self) -> std::collections::VecDeque<Envelope> {
        self.0.window.notices()
    }

    /// Takes `last_processed_seq` (§6.5).
    pub(crate) fn ack(&self, seq: u64) -> Result<(), AckAhead> {
        let credits = lock(&self.0.state).outbox.ack(seq)?;
        self.credit(credits);
        Ok(())
    }

    /// A message arrived on the connection of `epoch`: if that has the newest token, the one before
    /// it is of no more use. `true` if there was one.
    pub(crate) fn confirm_token(&self, epoch: u64) -> bool {
        let mut state = lock(&self.0.state);
        if state.epoch != epoch {
            return false;
        }
        let before = state.tokens;
        state.tokens.previous = None;
        drop(state);
        if before.previous.is_none() {
            return false;
        }
        if let Some(home) = self.0.home.upgrade() {
            home.rotated(self, &before);
        }
        true
    }

    pub(super) fn home(&self) -> Option<Arc<Sessions>> {
        self.0.home.upgrade()
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
