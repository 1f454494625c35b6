//! Which events the application has not processed yet, for cumulative acks (§6.5).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use arcp_core::JobId;
use futures_util::task::AtomicWaker;

use crate::jobs::FeedId;

/// The numbers that arrived and are not processed. Acks are cumulative, so what counts is the
/// number below the lowest of them.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    state: Mutex<State>,
    ended: AtomicBool,
    driver: AtomicWaker,
    /// Subscriptions that were dropped, of which the driver does not know yet.
    dropped: Mutex<Vec<(JobId, FeedId)>>,
}

#[derive(Debug, Default)]
struct State {
    open: BTreeSet<u64>,
    received: u64,
}

impl Ledger {
    /// A ledger of a session that stands at `received`.
    pub(crate) fn at(received: u64) -> Self {
        let state = State { received, ..State::default() };
        Self { state: Mutex::new(state), ..Self::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an event that arrived, the next one. It is processed when the mark and its clones are
    /// dropped, wherever that happens: taken by the application, in a queue that nobody reads any
    /// more, or without ever having been queued.
    pub(crate) fn mark(self: &Arc<Self>, event_seq: u64) -> Mark {
        let mut state = self.state();
        state.open.insert(event_seq);
        state.received = event_seq;
        drop(state);
        Mark { ledger: Arc::clone(self), event_seq, lost: AtomicBool::new(false) }
    }

    /// The session is over: what is dropped now without having been taken may still be taken by
    /// whoever continues it.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Everything up to this number was processed.
    pub(crate) fn processed(&self) -> u64 {
        let state = self.state();
        state.open.first().map_or(state.received, |lowest| lowest.saturating_sub(1))
    }

    /// Somebody waits for an event: the driver is to look whether others hold it up.
    pub(crate) fn starved(&self) {
        if !self.state().open.is_empty() {
            self.driver.wake();
        }
    }

    /// Events that arrived since the first one that was not processed.
    pub(crate) fn waiting(&self) -> u64 {
        let state = self.state();
        state.open.first().map_or(0, |lowest| state.received.saturating_sub(lowest - 1))
    }

    /// A subscription was dropped: there is nobody to wait until the driver has room for it.
    pub(crate) fn drop_feed(&self, job: JobId, feed: FeedId) {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner).push((job, feed));
        self.driver.wake();
    }

    /// The next of those that were dropped.
    pub(crate) fn dropped(&self) -> Option<(JobId, FeedId)> {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// `driver` is woken when [`Ledger::processed`] grows.
    pub(crate) fn register(&self, driver: &Waker) {
        self.driver.register(driver);
    }
}

/// An event that is not processed as long as this lives.
#[derive(Debug)]
pub(crate) struct Mark {
    ledger: Arc<Ledger>,
    event_seq: u64,
    lost: AtomicBool,
}

impl Mark {
    /// There was no room for the event: it was not processed, and will not be here.
    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    /// There is room again where there was little.
    pub(crate) fn eased(&self) {
        self.ledger.driver.wake();
    }

    /// Someone who could have taken the event has not.
    pub(crate) fn untaken(&self) {
        if self.ledger.ended.load(Ordering::Acquire) {
            self.lost.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        if *self.lost.get_mut() {
            return;
        }
        let lowest = {
            let mut state = self.ledger.state();
            let lowest = state.open.first() == Some(&self.event_seq);
            state.open.remove(&self.event_seq);
            lowest
        };
        if lowest {
            self.ledger.driver.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_unprocessed_number_holds_the_ack_back() {
        let ledger = Arc::new(Ledger::at(7));
        assert_eq!(ledger.processed(), 7);
        let [one, two, three] = [8, 9, 10].map(|seq| ledger.mark(seq));
        assert_eq!(ledger.processed(), 7);
        drop(two);
        assert_eq!(ledger.processed(), 7);
        drop(one);
        assert_eq!(ledger.processed(), 9);
        drop(three);
        assert_eq!(ledger.processed(), 10);
    }
}
