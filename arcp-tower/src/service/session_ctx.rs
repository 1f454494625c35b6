//! What outlives the connections of a session.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::task::Context;

use arcp_core::event::EventIds;
use arcp_core::session::{AckAhead, FeedId, Outbox};
use arcp_core::store::{Hash, SessionRow};
use arcp_core::{Envelope, Features, SessionId, Timestamp};
use http::Extensions;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::window::Window;
use crate::auth::{Principal, Scopes, Validity};
use crate::config::Config;
use crate::lock::lock;
use crate::profile::Profile;
use crate::runtime::{JobStream, Sessions, Slot, Tokens};

/// A handle to a session. It is cheap to clone, and outlives connections.
#[derive(Clone)]
pub struct SessionCtx(pub(super) Arc<Shared>);

pub(super) struct Shared {
    id: SessionId,
    pub(super) principal: Principal,
    features: Features,
    pub(super) profile: Arc<dyn Profile>,
    pub(super) extensions: Mutex<Arc<Extensions>>,
    secret: Hash,
    pub(super) ids: EventIds,
    pub(super) config: Arc<Config>,
    created_at: Timestamp,
    pub(super) state: Mutex<State>,
    pub(super) following: tokio::sync::Mutex<()>,
    /// Places for refusals that are not kept yet.
    refusals: Arc<Semaphore>,
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
    pub(super) validity: Validity,
    /// Counted up by each connection that begins, and that ends.
    pub(super) epoch: u64,
    pub(super) attached: bool,
    /// The epoch that the store has.
    pub(super) stored_epoch: u64,
    /// Ends it when no connection comes.
    pub(super) lapse: Option<AbortHandle>,
    /// Whether it is over: no connection can have it any more.
    pub(super) over: bool,
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
        let (scopes, validity) = (principal.scopes(), principal.validity().clone());
        let principal = principal.valid(Validity::default());
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
                validity,
                epoch: 0,
                attached: false,
                stored_epoch: 0,
                lapse: None,
                over: false,
            }),
            following: tokio::sync::Mutex::default(),
            refusals: Arc::new(Semaphore::new(config.max_in_flight)),
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
        lock(&self.0.state).validity.until
    }

    /// How long the credentials of the connection of now count.
    pub(crate) fn validity(&self) -> Validity {
        lock(&self.0.state).validity.clone()
    }

    /// Whom it acts for, with the scopes of now.
    pub(crate) fn caller(&self) -> Principal {
        let state = lock(&self.0.state);
        self.0.principal.clone().with_scopes(state.scopes).valid(state.validity.clone())
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
        state.outbox.head().saturating_sub(state.outbox.acked())
    }

    /// Places for refusals that say so as the end of a job, and that the store does not have yet.
    pub(crate) fn refusals(&self) -> Arc<Semaphore> {
        self.0.refusals.clone()
    }

    /// Whether it is over: no connection can have it any more.
    pub(crate) fn is_over(&self) -> bool {
        lock(&self.0.state).over
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

    pub(crate) fn spent(&self, bytes: usize) -> bool {
        self.0.window.spent(bytes)
    }

    /// What was spent is not there after all.
    pub(crate) fn unspent(&self, bytes: usize) {
        self.0.window.sent(bytes);
        self.credit(1);
    }

    /// Has its connection look at everything once more.
    pub(crate) fn wake(&self) {
        self.0.window.wake();
    }

    /// Sends a frame that answers no command, if there is a connection.
    pub(crate) fn notify(&self, notice: Envelope) {
        self.0.window.notify(notice, self.0.config.max_notices);
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
