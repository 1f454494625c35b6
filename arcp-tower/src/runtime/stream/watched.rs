//! Those who follow a job, and what they read.

use std::collections::VecDeque;
use std::sync::Arc;

use arcp_core::log::BelowFloor;
use arcp_core::session::FeedId;
use arcp_core::{Event, SessionId};

use super::{JobStream, Slot, Watcher};
use crate::service::SessionCtx;

impl JobStream {
    /// The sessions with a connection that are sent its events.
    pub(in crate::runtime) fn followers(&self) -> Vec<SessionId> {
        let state = self.state();
        let attached = state.watchers.iter().flatten().filter(|watcher| watcher.session.is_attached());
        attached.map(|watcher| watcher.session.id().clone()).collect()
    }

    /// Adds a follower. It counts as told, so nothing reaches it before its session is told in its
    /// own time.
    pub(crate) fn watch(&self, session: &SessionCtx, feed: FeedId) -> Slot {
        let watcher = Some(Watcher { session: session.clone(), feed, told: true });
        let mut state = self.state();
        if let Some(free) = state.watchers.iter().position(Option::is_none) {
            state.watchers[free] = watcher;
            return Slot(free);
        }
        state.watchers.push(watcher);
        Slot(state.watchers.len() - 1)
    }

    pub(crate) fn unwatch(&self, slot: Slot) {
        let mut state = self.state();
        if let Some(watcher) = state.watchers.get_mut(slot.0) {
            *watcher = None;
        }
        if (self.journal.is_some() || state.forgotten) && state.is_over() {
            // Everybody was sent everything, and the store has it, or there was no room for it.
            state.log.forget();
        }
    }

    /// Reads on for a follower. `true` if there is more.
    pub(crate) fn read(
        &self,
        slot: Slot,
        from: u64,
        most: usize,
        into: &mut VecDeque<Arc<Event>>,
    ) -> Result<bool, BelowFloor> {
        let mut state = self.state();
        let before = into.len();
        let visible = usize::try_from((state.visible + 1).saturating_sub(from)).unwrap_or(usize::MAX);
        if visible > 0 {
            state.log.read(from, most.min(visible), into)?;
        }
        let more = from + ((into.len() - before) as u64) <= state.visible;
        if !more {
            let head = state.log.head();
            state.counted.reach(head);
            if let Some(Some(watcher)) = state.watchers.get_mut(slot.0) {
                watcher.told = false;
            }
        }
        Ok(more)
    }

    /// Events for a replay, as far as they are in memory.
    pub(crate) fn peek(&self, from: u64, most: usize) -> Result<VecDeque<Arc<Event>>, BelowFloor> {
        let mut events = VecDeque::new();
        let state = self.state();
        state.log.read(from, most, &mut events)?;
        if events.is_empty() { Err(BelowFloor) } else { Ok(events) }
    }

    /// Whether event `from` can still be read, here or in the store.
    pub(crate) fn reaches(&self, from: u64) -> bool {
        self.journal.is_some() || self.state().log.floor() < from
    }
}
