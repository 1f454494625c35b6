//! The queue of one follower of a job: events, its end, and what they hold until they are taken.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use arcp_core::wire::credential::Rotated;
use arcp_core::wire::event::EventBody;
use arcp_core::{Json, Timestamp};
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::ledger::{Ledger, Mark};
use crate::outcome::Terminal;

/// Something that happened in a job (§8).
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct JobEvent {
    /// Its number in this session (§8.3); not every runtime numbers them.
    pub event_seq: Option<u64>,
    /// When it happened, by the runtime's clock; not every runtime says it.
    pub ts: Option<Timestamp>,
    /// What happened.
    pub body: EventBody,
    /// The whole payload, as the runtime sent it: what the type of `body` has no place for is there.
    /// `Debug` does not show that of a rotation, which may have a secret in it.
    pub payload: Json,
}

impl JobEvent {
    /// Which credential has a new value, if that is what it says (§9.8.2). The value is there for a client
    /// that asked for credentials.
    pub fn rotated(&self) -> Option<Rotated> {
        #[derive(Deserialize)]
        struct Payload {
            body: Json,
        }
        Rotated::read(&self.payload.decode::<Payload>().ok()?.body)
    }
}

impl fmt::Debug for JobEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = self.rotated().is_none().then_some(&self.payload);
        f.debug_struct("JobEvent")
            .field("event_seq", &self.event_seq)
            .field("ts", &self.ts)
            .field("body", &self.body)
            .field("payload", &payload)
            .finish()
    }
}

/// What a follower is handed.
#[derive(Debug)]
pub(crate) enum Item {
    Event(JobEvent, Held),
    End(Terminal, Held),
}

/// What waits in a queue, or who waits for it.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    events: AtomicUsize,
    bytes: AtomicUsize,
    /// Whether its reader found nothing in it.
    starved: AtomicBool,
}

/// How much may wait in a queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

impl Room {
    /// Whether half of it is taken.
    fn is_half_full(self, events: usize, bytes: usize) -> bool {
        events >= self.events.div_ceil(2) || bytes >= self.bytes.div_ceil(2)
    }
}

/// What an item keeps as long as nobody took it: its number unprocessed, its bytes counted.
#[derive(Debug)]
pub(crate) struct Held {
    mark: Option<Arc<Mark>>,
    size: usize,
    waiting: Arc<Waiting>,
    room: Room,
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
        let events = self.waiting.events.fetch_sub(1, Ordering::Relaxed);
        let bytes = self.waiting.bytes.fetch_sub(self.size, Ordering::Relaxed);
        let room = self.room;
        if let Some(mark) = &self.mark
            && room.is_half_full(events, bytes)
            && !room.is_half_full(events - 1, bytes - self.size)
        {
            mark.eased();
        }
    }
}

/// One follower's queue, at the side that reads it.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) id: FeedId,
    pub(super) items: mpsc::Receiver<Item>,
    waiting: Arc<Waiting>,
}

impl Feed {
    /// The next item; `None` when there will be no more.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>, ledger: &Ledger) -> Poll<Option<Item>> {
        let next = self.items.poll_recv(cx);
        let starved = next.is_pending();
        if starved != self.waiting.starved.swap(starved, Ordering::Relaxed) && starved {
            // What others were handed may keep the runtime from sending what this one waits for.
            ledger.starved();
        }
        next
    }
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
    waiting: Arc<Waiting>,
    room: Room,
}

impl Listener {
    /// A listener, and what it listens to.
    pub(super) fn new(id: FeedId, room: Room) -> (Self, Feed) {
        // One more than the bound, so that the end always fits.
        let (tx, items) = mpsc::channel(room.events + 1);
        let waiting = Arc::<Waiting>::default();
        let feed = Feed { id, items, waiting: waiting.clone() };
        (Self { id, items: tx, waiting, room }, feed)
    }

    /// Whether somebody listens, and has nothing left.
    pub(super) fn is_starved(&self) -> bool {
        let Waiting { events, starved, .. } = &*self.waiting;
        // Whoever waited may not have looked yet at what came.
        !self.items.is_closed() && starved.load(Ordering::Relaxed) && events.load(Ordering::Relaxed) == 0
    }

    /// Whether somebody listens, and is far behind.
    pub(super) fn is_half_full(&self) -> bool {
        let Waiting { events, bytes, .. } = &*self.waiting;
        let (events, bytes) = (events.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed));
        !self.items.is_closed() && self.room.is_half_full(events, bytes)
    }

    pub(super) fn hold(&self, size: usize, mark: Option<Arc<Mark>>) -> Held {
        self.waiting.events.fetch_add(1, Ordering::Relaxed);
        self.waiting.bytes.fetch_add(size, Ordering::Relaxed);
        Held { mark, size, waiting: Arc::clone(&self.waiting), room: self.room, taken: false }
    }

    /// Hands an event on, if it fits.
    pub(super) fn event(&self, event: JobEvent, size: usize, mark: Option<Arc<Mark>>) -> Result<(), Overrun> {
        let bytes = self.waiting.bytes.load(Ordering::Relaxed).saturating_add(size);
        if self.items.capacity() <= 1 || bytes > self.room.bytes {
            if let Some(mark) = mark {
                mark.lose();
            }
            return Err(Overrun);
        }
        // If nobody listens any more, dropping it is processing it. It fits.
        let _ = self.items.try_send(Item::Event(event, self.hold(size, mark)));
        Ok(())
    }
}
