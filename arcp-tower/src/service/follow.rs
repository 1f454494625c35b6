//! The jobs that a session follows: its own, and those that it watches (§7.6).

use std::sync::Arc;

use arcp_core::JobId;
use arcp_core::session::FeedId;

use super::SessionCtx;
use super::session_ctx::State;
use crate::lock::lock;
use crate::runtime::JobStream;

impl State {
    /// The oldest log of a job that is not followed any more goes, and with it what was numbered up to its
    /// end: a resume below is refused from now on, and never thinned. Those that are followed are as many
    /// as feeds may be.
    fn forget_a_log(&mut self) {
        let followed =
            |log: &Arc<JobStream>| self.streams.values().any(|(stream, _)| Arc::ptr_eq(stream, log));
        let Some(oldest) = self.logs.iter().position(|log| !followed(log)) else { return };
        let oldest = self.logs.remove(oldest);
        let last = self.outbox.last_of(oldest.job_id());
        self.outbox.forget(last);
    }
}

impl SessionCtx {
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

    /// The event of a job that came after one of this session's numbers; `None` if that is not known any more.
    pub(crate) fn job_seq_after(&self, job_id: &JobId, event_seq: u64) -> Option<u64> {
        lock(&self.0.state).outbox.job_seq_after(job_id, event_seq)
    }

    /// Taken by commands that have the store keep what the session follows: what one of them finds
    /// followed must not be taken back by another.
    pub(crate) async fn following(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.following.lock().await
    }

    /// Follows a job from event `next` of its log on. Nothing is sent of it before
    /// [`SessionCtx::tell`]. `None` if it follows as many as it may, or is over.
    pub(crate) fn follow(&self, stream: &Arc<JobStream>, next: u64, own: bool) -> Option<FeedId> {
        let mut state = lock(&self.0.state);
        if let Some(feed) = state.outbox.feed_of(stream.job_id()) {
            // A take-over may have brought it from a store meanwhile.
            return Some(feed);
        }
        if state.over || state.outbox.feeds() >= self.0.config.max_feeds {
            return None;
        }
        Some(self.add_feed(&mut state, stream, next, own))
    }

    /// Follows a job that is its end and nothing else, however many jobs it follows: it is gone as soon as it
    /// is sent, and may be what says that there are too many. `None` if it was sent already, by a connection
    /// that took over and found it in the store, or if the session is over.
    pub(crate) fn follow_end(&self, stream: &Arc<JobStream>) -> Option<FeedId> {
        let mut state = lock(&self.0.state);
        if state.over || state.outbox.last_of(stream.job_id()) > 0 {
            return None;
        }
        let known = state.outbox.feed_of(stream.job_id());
        Some(known.unwrap_or_else(|| self.add_feed(&mut state, stream, 1, true)))
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
            state.forget_a_log();
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
        if state.outbox.last_of(job_id) == 0 {
            // Nothing of it was sent, so nothing of it is sent again.
            state.logs.retain(|log| log.job_id() != job_id);
        }
        true
    }

    /// Events of a feed that it was to be sent are not there after all: its own jobs may be ahead of it by
    /// as many more.
    pub(crate) fn never_sent(&self, feed: FeedId, events: u64, bytes: usize) {
        if lock(&self.0.state).outbox.is_own(feed) {
            self.0.window.sent(bytes);
            self.credit(events);
        }
    }

    /// The event of a job that it will be sent next.
    pub(crate) fn cursor_of(&self, job_id: &JobId) -> Option<u64> {
        let state = lock(&self.0.state);
        state.outbox.feed_of(job_id).and_then(|feed| state.outbox.cursor(feed))
    }

    /// There is something new in a feed.
    pub(crate) fn tell(&self, feed: FeedId) {
        self.0.window.tell(feed);
    }
}
