//! The sessions that this runtime holds: those with a connection, and for a while those without.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arcp_core::store::{Batch, Hash, Op, SessionRow, StoreError};
use arcp_core::{Error, SessionId};
use tokio::runtime::Handle;

use super::{Journal, Tokens, commit_patiently};
use crate::auth::Principal;
use crate::clock::Clock;
use crate::config::Config;
use crate::service::SessionCtx;

/// How long the loss of a connection that could not be written waits for its next try.
const RETRY: Duration = Duration::from_secs(1);

/// All sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    held: Mutex<Held>,
    window: Duration,
    held_for: Duration,
    per_principal: usize,
    clock: Clock,
    handle: Handle,
    journal: Option<Arc<Journal>>,
    /// Resumes of one session come one after the other.
    resuming: [tokio::sync::Mutex<()>; 64],
}

#[derive(Debug, Default)]
struct Held {
    by_id: HashMap<SessionId, SessionCtx>,
    by_token: HashMap<Hash, SessionId>,
    of: HashMap<Principal, Vec<SessionId>>,
}

impl Sessions {
    pub(super) fn new(config: &Config, handle: Handle, journal: Option<Arc<Journal>>) -> Self {
        let (window, held_for, per_principal) = (config.resume_window, config.held(), config.max_sessions);
        let resuming = std::array::from_fn(|_| tokio::sync::Mutex::default());
        let clock = config.clock.clone();
        Self { held: Mutex::default(), window, held_for, per_principal, clock, handle, journal, resuming }
    }

    /// Waits for other resumes of the same session to be done.
    pub(super) async fn resuming(&self, id: &SessionId) -> tokio::sync::MutexGuard<'_, ()> {
        let last = id.as_str().bytes().last().unwrap_or_default();
        self.resuming[usize::from(last) % self.resuming.len()].lock().await
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a session in. If its principal has too many, the one that has been without a
    /// connection goes; if all have one, this one is refused.
    pub(super) fn insert(&self, session: &SessionCtx) -> Result<(), Error> {
        let mut held = self.held();
        let theirs = held.of.get(session.principal()).map_or(0, Vec::len);
        if theirs >= self.per_principal {
            let ids = held.of.get(session.principal()).into_iter().flatten();
            let detached = ids.filter_map(|id| held.by_id.get(id)).find(|s| s.end_detached()).cloned();
            let Some(detached) = detached else {
                return Err(Error::limit(format!("at most {} sessions may be open", self.per_principal)));
            };
            held.remove(&detached);
        }
        held.of.entry(session.principal().clone()).or_default().push(session.id().clone());
        held.by_id.insert(session.id().clone(), session.clone());
        held.index(session.id(), &session.tokens());
        Ok(())
    }

    /// The session of a resume: by its id, or by its token where the peer does not name it.
    pub(super) fn find(&self, id: Option<&SessionId>, token: &Hash) -> Option<SessionCtx> {
        let held = self.held();
        let id = id.or_else(|| held.by_token.get(token))?;
        held.by_id.get(id).cloned()
    }

    /// A session that is held.
    pub(super) fn by_id(&self, id: &SessionId) -> Option<SessionCtx> {
        self.held().by_id.get(id).cloned()
    }

    /// Has each connection look at what is new with the runtime itself.
    pub(super) fn wake(&self) {
        self.held().by_id.values().for_each(SessionCtx::wake);
    }

    /// A session never began, or is over.
    pub(super) fn remove(&self, session: &SessionCtx) {
        self.held().remove(session);
    }

    /// A session got new tokens.
    pub(crate) fn rotated(&self, session: &SessionCtx, before: &Tokens) {
        let mut held = self.held();
        held.unindex(before);
        held.index(session.id(), &session.tokens());
    }

    /// A session lost its connection. It is held for the window (§6.3), and what was not
    /// acknowledged for as long as jobs are (§6.5), unless another connection comes by then.
    pub(crate) fn detached(self: &Arc<Self>, session: &SessionCtx, epoch: u64, stored_epoch: u64) {
        let (weak, id) = (Arc::downgrade(self), session.id().clone());
        let (unacknowledged, busy) = (session.lag() > 0, session.is_busy());
        let held = if unacknowledged || busy { self.held_for } else { self.window };
        // A store has what is not acknowledged. What is to come needs the session here.
        let here = if busy || self.journal.is_none() { held } else { self.window };
        // Under the epoch of the connection that was lost: if another one has the session by the time
        // this is written, it is fenced.
        let row = session.row(stored_epoch, Some(self.clock.wall().plus(held)));
        if let Some(journal) = self.journal.clone() {
            let writes = journal.clone();
            writes.spawn(async move { write_down(&journal, row).await });
        }
        let over = tokio::time::Instant::from_std(crate::clock::after(here));
        // It holds nothing of the session, and the next connection stops it.
        let lapse = self.handle.spawn(async move {
            tokio::time::sleep_until(over).await;
            if let Some(sessions) = weak.upgrade() {
                sessions.lapse(&id, epoch);
            }
        });
        session.lapses(epoch, lapse.abort_handle());
    }

    /// A session that no connection came for by now goes.
    fn lapse(&self, id: &SessionId, epoch: u64) {
        let mut held = self.held();
        if let Some(session) = held.by_id.get(id).cloned()
            && session.end_at(epoch)
        {
            tracing::debug!(session_id = %id, "the resume window is over");
            held.remove(&session);
        }
    }

    /// A session that was taken over in the store is to get a connection now.
    pub(super) fn taken(self: &Arc<Self>, row: &SessionRow) -> Taken {
        Taken { sessions: self.clone(), row: Some(row.clone()) }
    }
}

/// A session that was taken over in the store for a connection. Dropped without one, it lapses as if
/// that had been lost: the connection before it can no longer write that down.
pub(super) struct Taken {
    sessions: Arc<Sessions>,
    row: Option<SessionRow>,
}

impl Taken {
    /// The connection is there.
    pub(super) fn attached(mut self) {
        self.row = None;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let (Some(row), Some(journal)) = (self.row.take(), self.sessions.journal.clone()) else { return };
        let Sessions { window, held_for, .. } = *self.sessions;
        let now = self.sessions.clock.wall();
        let writes = journal.clone();
        writes.spawn(async move {
            let feeds = loop {
                match journal.store.feeds(&row.id).await {
                    Ok(feeds) => break feeds,
                    Err(_) => tokio::time::sleep(RETRY).await,
                }
            };
            let follows = !feeds.is_empty();
            let held = if follows || row.acked < row.head { held_for } else { window };
            write_down(&journal, SessionRow { expires_at: Some(now.plus(held)), ..row }).await;
        });
    }
}

/// Writes a session's row, however long that takes, unless it has another epoch by then. Nobody else
/// would, and a session that is not known to have lost its connection stays for ever.
async fn write_down(journal: &Journal, row: SessionRow) {
    let (id, expect, principal) = (row.id.clone(), row.epoch, row.principal.clone());
    let batch = Batch { id: crate::random::bits(), principal, ops: vec![Op::PutSession { row, expect }] };
    while let Err(error) = commit_patiently(journal.store.clone(), batch.clone()).await {
        if matches!(error, StoreError::Fenced { .. } | StoreError::Conflict { .. }) {
            return;
        }
        tracing::debug!(%error, session_id = %id, "the loss of a connection could not be kept yet");
        tokio::time::sleep(RETRY).await;
    }
}

impl Held {
    fn index(&mut self, id: &SessionId, tokens: &Tokens) {
        for digest in [Some(tokens.current), tokens.previous].into_iter().flatten() {
            self.by_token.insert(digest, id.clone());
        }
    }

    fn unindex(&mut self, tokens: &Tokens) {
        for digest in [Some(tokens.current), tokens.previous].into_iter().flatten() {
            self.by_token.remove(&digest);
        }
    }

    fn remove(&mut self, session: &SessionCtx) {
        self.by_id.remove(session.id());
        self.unindex(&session.tokens());
        if let Some(ids) = self.of.get_mut(session.principal()) {
            ids.retain(|id| id != session.id());
            if ids.is_empty() {
                self.of.remove(session.principal());
            }
        }
        session.end();
    }
}
