//! Taking a session over: by its first connection, by the next one, and from a store (§6.3).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arcp_core::JobId;
use arcp_core::session::{FeedId, Outbox};
use http::Extensions;
use tokio::task::AbortHandle;

use super::SessionCtx;
use super::attachment::Attachment;
use super::session_ctx::State;
use crate::auth::{Principal, Scopes, Validity};
use crate::lock::lock;
use crate::runtime::{JobStream, Slot, Tokens};

/// What a store remembers of a session.
pub(crate) struct Remembered {
    pub(crate) outbox: Outbox,
    /// The job, its next event, and whether the session submitted it.
    pub(crate) feeds: Vec<(Arc<JobStream>, u64, bool)>,
    /// The logs that its runs are of.
    pub(crate) logs: Vec<Arc<JobStream>>,
    pub(crate) epoch: u64,
}

/// Who continues a session: the same principal, with what it may do, whose jobs it may watch, until when,
/// and what its connection knows.
pub(crate) struct Caller {
    pub(crate) scopes: Scopes,
    pub(crate) watches: Vec<Principal>,
    pub(crate) validity: Validity,
    pub(crate) extensions: Extensions,
}

/// Why a session cannot be continued from a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttachError {
    /// It was never sent.
    Ahead,
    /// What followed it is no longer kept.
    BelowFloor,
    /// Another connection took it over meanwhile, or it ended.
    Stale,
}

impl State {
    /// Whether a job that it follows went on without a connection beyond what its log holds.
    fn left_behind(&self) -> bool {
        let lost = |(feed, (stream, _)): (&FeedId, &(Arc<JobStream>, Slot))| {
            self.outbox.cursor(*feed).is_some_and(|next| !stream.reaches(next))
        };
        self.streams.iter().any(lost)
    }

    /// Follows no longer what is not its own, and may not be watched any more.
    fn unfollow_unless(&mut self, watches: impl Fn(&JobStream) -> bool) {
        let others = self.streams.iter().filter(|(feed, _)| !self.outbox.is_own(**feed));
        let barred = others.filter(|(_, (stream, _))| !watches(stream)).map(|(feed, _)| *feed);
        let barred: Vec<FeedId> = barred.collect();
        for feed in barred {
            self.outbox.unfollow(feed);
            if let Some((stream, slot)) = self.streams.remove(&feed) {
                stream.unwatch(slot);
            }
        }
    }
}

impl SessionCtx {
    /// Takes what a store says of it, without a connection.
    pub(crate) fn restore(&self, remembered: Remembered) {
        let mut state = lock(&self.0.state);
        self.replace(&mut state, remembered);
    }

    fn replace(&self, state: &mut State, remembered: Remembered) {
        let Remembered { outbox, feeds, logs, epoch } = remembered;
        for (stream, slot) in std::mem::take(&mut state.streams).into_values() {
            stream.unwatch(slot);
        }
        state.outbox = outbox;
        state.logs = logs;
        state.stored_epoch = epoch;
        for (stream, next, own) in feeds {
            self.add_feed(state, &stream, next, own);
        }
    }

    /// Begins a connection that has everything up to `last_event_seq`, whatever connection has the
    /// session now. `caller` is who resumes it; `remembered` replaces what is in memory by what a
    /// store says.
    ///
    /// # Errors
    /// What is wrong with the number; the session is untouched.
    pub(crate) fn attach(
        &self,
        last_event_seq: u64,
        tokens: Tokens,
        caller: Option<Caller>,
        remembered: Option<Remembered>,
    ) -> Result<Attachment, AttachError> {
        let mut state = lock(&self.0.state);
        // Another connection may have come while the store was read: what was read is old. Or its time was
        // over just now.
        let old = remembered.as_ref().is_some_and(|remembered| remembered.epoch < state.stored_epoch);
        if old || state.over {
            return Err(AttachError::Stale);
        }
        let outbox = remembered.as_ref().map_or(&state.outbox, |remembered| &remembered.outbox);
        if last_event_seq > outbox.head() {
            return Err(AttachError::Ahead);
        }
        let logs = remembered.as_ref().map_or(&state.logs, |remembered| &remembered.logs);
        // Of a session that acknowledges nothing there are very many, and as many runs.
        let logs: HashMap<&JobId, &Arc<JobStream>> = logs.iter().map(|log| (log.job_id(), log)).collect();
        let replay = outbox.replay(last_event_seq);
        let watches = |whose: &Principal| caller.as_ref().is_none_or(|caller| caller.watches.contains(whose));
        // Jobs of its own principal it may have been given by repeating a submit.
        let seen = |whose: &Principal| *whose == self.0.principal || watches(whose);
        let kept = |run: &arcp_core::session::Run| {
            logs.get(&run.job_id).is_some_and(|log| log.reaches(run.from) && seen(log.principal()))
        };
        // A hole among what was acknowledged is as good as a floor above it.
        let mut next = last_event_seq + 1;
        let whole = replay.iter().all(|run| {
            let follows = run.first == next;
            next = run.first + run.len;
            follows
        });
        let gap = remembered.is_none() && state.left_behind();
        if gap || last_event_seq < outbox.floor() || !whole || !replay.iter().all(kept) {
            return Err(AttachError::BelowFloor);
        }
        if let Some(remembered) = remembered {
            self.replace(&mut state, remembered);
        }
        state.unfollow_unless(|stream| seen(stream.principal()));
        if let Some(lapse) = state.lapse.take() {
            lapse.abort();
        }
        state.outbox.attach(last_event_seq);
        state.epoch += 1;
        state.attached = true;
        let before = std::mem::replace(&mut state.tokens, tokens);
        let extensions = caller.map(|caller| {
            (state.scopes, state.validity) = (caller.scopes, caller.validity);
            caller.extensions
        });
        let epochs = (state.epoch, state.stored_epoch);
        self.0.window.attach();
        let feeds: Vec<FeedId> = state.streams.keys().copied().collect();
        let logs = state.logs.clone();
        drop(state);
        if let Some(extensions) = extensions {
            *lock(&self.0.extensions) = Arc::new(extensions);
        }
        if let Some(home) = self.0.home.upgrade() {
            home.rotated(self, &before);
        }
        // Whatever was told to the connection before this one, it may not have sent.
        for feed in feeds {
            self.tell(feed);
        }
        let wanted: HashSet<&JobId> = replay.iter().map(|run| &run.job_id).collect();
        let logs = logs.into_iter().filter(|log| wanted.contains(log.job_id()));
        let logs = logs.map(|log| (log.job_id().clone(), log)).collect();
        Ok(Attachment::new(self.clone(), epochs, replay.into(), logs))
    }

    /// What ends it when its time without a connection is over; nothing if one came since `epoch`.
    pub(crate) fn lapses(&self, epoch: u64, lapse: AbortHandle) {
        let mut state = lock(&self.0.state);
        if state.epoch == epoch && !state.over {
            state.lapse = Some(lapse);
        } else {
            lapse.abort();
        }
    }

    /// The session is over: it follows nothing, and cannot be resumed.
    pub(crate) fn end(&self) {
        self.over(&mut lock(&self.0.state));
    }

    /// The session is over unless a connection came or went since `epoch`. Whether it is.
    pub(crate) fn end_at(&self, epoch: u64) -> bool {
        let mut state = lock(&self.0.state);
        let over = state.epoch == epoch;
        if over {
            self.over(&mut state);
        }
        over
    }

    /// The session is over if it lost its connection and waits for the next. Whether it is.
    pub(crate) fn end_detached(&self) -> bool {
        let mut state = lock(&self.0.state);
        let waits = state.lapse.is_some();
        if waits {
            self.over(&mut state);
        }
        waits
    }

    fn over(&self, state: &mut State) {
        let streams = std::mem::take(&mut state.streams);
        for (feed, (stream, slot)) in streams {
            state.outbox.unfollow(feed);
            stream.unwatch(slot);
        }
        state.logs.clear();
        state.epoch += 1;
        (state.attached, state.over) = (false, true);
        if let Some(lapse) = state.lapse.take() {
            lapse.abort();
        }
        self.0.window.detach();
    }
}
