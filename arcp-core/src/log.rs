//! The log of one job: each event once, under the job's own numbers.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::Event;

/// A job's events, numbered from 1. The oldest leave when a bound is passed; the terminal closes
/// it.
#[derive(Debug)]
pub struct JobLog {
    events: VecDeque<Arc<Event>>,
    first: u64,
    bytes: usize,
    ended: bool,
    caps: Caps,
}

/// The bounds of a log.
#[derive(Debug, Clone, Copy)]
pub struct Caps {
    /// Events that are kept.
    pub events: usize,
    /// Bytes of payload that are kept.
    pub bytes: usize,
}

/// What an event costs in memory beside its payload.
const OVERHEAD: usize = 128;

/// The job has ended: nothing follows its terminal message (§7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the job has ended")]
pub struct Ended;

/// What was asked for is no longer kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log no longer reaches back that far")]
pub struct BelowFloor;

impl JobLog {
    /// An empty log.
    pub fn new(caps: Caps) -> Self {
        Self { events: VecDeque::new(), first: 1, bytes: 0, ended: false, caps }
    }

    /// The log of a job whose events up to `head` are kept elsewhere.
    pub fn restore(caps: Caps, head: u64, ended: bool) -> Self {
        Self { first: head + 1, ended, ..Self::new(caps) }
    }

    /// The number of the newest event, 0 if there is none.
    pub fn head(&self) -> u64 {
        self.first + self.events.len() as u64 - 1
    }

    /// The number of the newest event that is gone, 0 if none is.
    pub fn floor(&self) -> u64 {
        self.first - 1
    }

    /// Whether the terminal is in it.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The newest event that is held.
    pub fn last(&self) -> Option<Arc<Event>> {
        self.events.back().cloned()
    }

    /// Bytes that are held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends an event and returns its number.
    ///
    /// # Errors
    /// If the terminal is in it.
    pub fn append(&mut self, event: Arc<Event>) -> Result<u64, Ended> {
        self.append_holding(event, u64::MAX)
    }

    /// Appends an event and returns its number. Those above number `kept` are nowhere else yet, and are held
    /// whatever the caps are.
    ///
    /// # Errors
    /// If the terminal is in it.
    pub fn append_holding(&mut self, event: Arc<Event>, kept: u64) -> Result<u64, Ended> {
        if self.ended {
            return Err(Ended);
        }
        self.ended = event.is_terminal();
        self.bytes += event.payload.as_str().len() + OVERHEAD;
        self.events.push_back(event);
        self.fit(kept);
        Ok(self.head())
    }

    /// Drops what the caps do not allow, up to and with number `kept`.
    pub fn fit(&mut self, kept: u64) {
        let caps = self.caps;
        while self.first <= kept
            && self.events.len() > 1
            && (self.events.len() > caps.events || self.bytes > caps.bytes)
        {
            self.drop_first();
        }
    }

    /// Whether it holds more bytes than its caps allow.
    pub fn exceeds_caps(&self) -> bool {
        self.bytes > self.caps.bytes
    }

    /// Drops all events, and the room that they took; their numbers stay given.
    pub fn forget(&mut self) {
        self.trim(self.head());
        self.events = VecDeque::new();
    }

    /// Takes back the events above number `head`, which could not be kept elsewhere, and returns them, the
    /// newest first.
    pub fn take_back(&mut self, head: u64) -> Vec<Arc<Event>> {
        let mut taken = Vec::new();
        while self.head() > head
            && let Some(gone) = self.events.pop_back()
        {
            self.bytes -= gone.payload.as_str().len() + OVERHEAD;
            self.ended = false;
            taken.push(gone);
        }
        taken
    }

    /// Drops events up to and with number `through`.
    pub fn trim(&mut self, through: u64) {
        while self.first <= through && !self.events.is_empty() {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(gone) = self.events.pop_front() {
            self.bytes -= gone.payload.as_str().len() + OVERHEAD;
            self.first += 1;
        }
    }

    /// Appends to `into` at most `most` events from number `from` on.
    ///
    /// # Errors
    /// If `from` is not kept any more: never a silent gap.
    pub fn read(&self, from: u64, most: usize, into: &mut VecDeque<Arc<Event>>) -> Result<(), BelowFloor> {
        let at = from.checked_sub(self.first).ok_or(BelowFloor)?;
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(self.events.len());
        let end = self.events.len().min(at.saturating_add(most));
        into.extend(self.events.range(at..end).cloned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JobId, Json, MessageType};

    fn event(n: usize) -> Arc<Event> {
        let payload = Json::of(&vec![n; 10]).unwrap();
        Arc::new(Event::new("log", JobId::from_bits(1), None, payload))
    }

    #[test]
    fn it_keeps_to_its_caps_and_says_so_when_asked_for_more() {
        let mut log = JobLog::new(Caps { events: 3, bytes: 1 << 20 });
        for n in 0..5 {
            log.append(event(n)).unwrap();
        }
        assert_eq!((log.floor(), log.head()), (2, 5));
        let mut read = VecDeque::new();
        assert_eq!(log.read(2, 10, &mut read), Err(BelowFloor));
        log.read(4, 1, &mut read).unwrap();
        assert_eq!(read, [event(3)]);
        log.read(6, 10, &mut read).unwrap();
        assert_eq!(read.len(), 1);
        log.trim(4);
        assert_eq!((log.floor(), log.head()), (4, 5));
        let mut small = JobLog::new(Caps { events: 100, bytes: 400 });
        for n in 0..9 {
            small.append(event(n)).unwrap();
        }
        assert!(small.bytes() <= 400 && small.head() == 9);
    }

    #[test]
    fn nothing_follows_the_terminal() {
        let mut log = JobLog::new(Caps { events: 9, bytes: 1 << 20 });
        let end = Event::terminal(MessageType::Result, JobId::from_bits(1), None, Json::empty_object());
        assert_eq!(log.append(Arc::new(end)), Ok(1));
        assert_eq!(log.append(event(1)), Err(Ended));
        assert_eq!(log.head(), 1);
    }
}
