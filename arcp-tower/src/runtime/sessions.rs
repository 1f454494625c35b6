//! The sessions that this runtime holds: those with a connection, and for a while those without.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arcp_core::store::Hash;
use arcp_core::{Error, SessionId};
use tokio::runtime::Handle;

use super::Tokens;
use crate::auth::Principal;
use crate::config::Config;
use crate::service::SessionCtx;

/// All sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    held: Mutex<Held>,
    window: Duration,
    per_principal: usize,
    handle: Handle,
}

#[derive(Debug, Default)]
struct Held {
    by_id: HashMap<SessionId, SessionCtx>,
    by_token: HashMap<Hash, SessionId>,
    of: HashMap<Principal, Vec<SessionId>>,
}

impl Sessions {
    pub(super) fn new(config: &Config, handle: Handle) -> Self {
        let (window, per_principal) = (config.resume_window, config.max_sessions);
        Self { held: Mutex::default(), window, per_principal, handle }
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
            let detached = ids.filter_map(|id| held.by_id.get(id)).find(|s| !s.is_attached()).cloned();
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

    /// A session lost its connection. It is held for the window (§6.3), unless another connection
    /// comes by then.
    pub(crate) fn detached(self: &Arc<Self>, session: &SessionCtx, epoch: u64) {
        let (weak, session) = (Arc::downgrade(self), session.clone());
        let window = self.window;
        self.handle.spawn(async move {
            tokio::time::sleep(window).await;
            if session.epoch() == epoch
                && let Some(sessions) = weak.upgrade()
            {
                tracing::debug!(session_id = %session.id(), "the resume window is over");
                sessions.held().remove(&session);
            }
        });
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
