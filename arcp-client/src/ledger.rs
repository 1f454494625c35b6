//! Which events the application has not processed yet, for cumulative acks (§6.5).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures_util::task::AtomicWaker;

/// The numbers that arrived and are not processed. Acks are cumulative, so what counts is the
/// number below the lowest of them.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    open: Mutex<BTreeSet<u64>>,
    driver: AtomicWaker,
}

impl Ledger {
    fn open(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an event that arrived. It is processed when the mark and its clones are dropped,
    /// wherever that happens: taken by the application, in a queue that nobody reads any more, or
    /// without ever having been queued.
    pub(crate) fn mark(self: &Arc<Self>, event_seq: u64) -> Mark {
        self.open().insert(event_seq);
        Mark { ledger: Arc::clone(self), event_seq }
    }

    /// Everything up to this number was processed, where `received` is the last that arrived.
    pub(crate) fn processed(&self, received: u64) -> u64 {
        self.open().first().map_or(received, |lowest| lowest.saturating_sub(1))
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
}

impl Drop for Mark {
    fn drop(&mut self) {
        let lowest = {
            let mut open = self.ledger.open();
            let lowest = open.first() == Some(&self.event_seq);
            open.remove(&self.event_seq);
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
        let ledger = Arc::new(Ledger::default());
        let [one, two, three] = [1, 2, 3].map(|seq| ledger.mark(seq));
        assert_eq!(ledger.processed(3), 0);
        drop(two);
        assert_eq!(ledger.processed(3), 0);
        drop(one);
        assert_eq!(ledger.processed(3), 2);
        drop(three);
        assert_eq!(ledger.processed(3), 3);
    }
}
