//! The queue of one follower of a job: events, its end, and what they hold until they are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arcp_core::wire::event::EventBody;
use arcp_core::{Json, Timestamp};
use tokio::sync::mpsc;

use crate::ledger::Mark;
use crate::outcome::Terminal;

/// Something that happened in a job (§8).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct JobEvent {
    /// Its number in this session (§8.3); not every runtime numbers them.
    pub event_seq: Option<u64>,
    /// When it happened, by the runtime's clock; not every runtime says it.
    pub ts: Option<Timestamp>,
    /// What happened.
    pub body: EventBody,
    /// The whole payload, as the runtime sent it: what the type of `body` has no place for is there.
    pub payload: Json,
}

/// What a follower is handed.
#[derive(Debug)]
pub(crate) enum Item {
    Event(JobEvent, Held),
    End(Terminal, Held),
}

/// What an item keeps as long as nobody took it: its number unprocessed, its bytes counted.
#[derive(Debug)]
pub(crate) struct Held {
    mark: Option<Arc<Mark>>,
    size: usize,
    total: Arc<AtomicUsize>,
    taken: bool,
}

impl Held {
    /// The application took the item.
    pub(crate) fn taken(mut self) {
        self.taken = true;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.taken
            && let Some(mark) = &self.mark
        {
            mark.untaken();
        }
        self.total.fetch_sub(self.size, Ordering::Relaxed);
    }
}

/// One follower's queue, at the side that reads it.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) id: FeedId,
    pub(crate) items: mpsc::Receiver<Item>,
}

/// Names a feed among those of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FeedId(pub(super) u64);

/// A follower does not keep up.
#[derive(Debug)]
pub(crate) struct Overrun;

/// The same queue, at the side that fills it.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) id: FeedId,
    pub(super) items: mpsc::Sender<Item>,
    pub(super) held: Arc<AtomicUsize>,
}

impl Listener {
    pub(super) fn hold(&self, size: usize, mark: Option<Arc<Mark>>) -> Held {
        self.held.fetch_add(size, Ordering::Relaxed);
        Held { mark, size, total: Arc::clone(&self.held), taken: false }
    }

    /// Hands an event on, if it fits.
    pub(super) fn event(
        &self,
        event: JobEvent,
        size: usize,
        mark: Option<Arc<Mark>>,
        most: usize,
    ) -> Result<(), Overrun> {
        if self.items.capacity() <= 1 || self.held.load(Ordering::Relaxed).saturating_add(size) > most {
            return Err(Overrun);
        }
        match self.items.try_send(Item::Event(event, self.hold(size, mark))) {
            Err(mpsc::error::TrySendError::Full(_)) => Err(Overrun),
            // Nobody listens any more: dropping it is processing it.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }
}
