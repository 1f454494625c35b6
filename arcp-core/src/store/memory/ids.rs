//! Which batches were applied.

use std::collections::{HashSet, VecDeque};

use crate::Timestamp;
use crate::store::BATCH_IDS_KEPT;

/// How many are remembered at the most.
const MAX: usize = 1 << 16;
/// Marks are this many milliseconds apart at the least, which bounds how many there are.
const APART: i64 = 60_000;

/// The ids of batches, oldest first. A batch has no time of its own: a trim marks what is there, and
/// one that comes late enough drops what was marked.
#[derive(Debug, Default)]
pub(super) struct BatchIds {
    known: HashSet<u128>,
    order: VecDeque<u128>,
    /// How many have been dropped.
    dropped: u64,
    /// At this time so many had been remembered.
    marks: VecDeque<(Timestamp, u64)>,
}

impl BatchIds {
    pub(super) fn has(&self, id: u128) -> bool {
        self.known.contains(&id)
    }

    pub(super) fn remember(&mut self, id: u128) {
        self.known.insert(id);
        self.order.push_back(id);
        if self.order.len() > MAX {
            self.drop_first();
        }
    }

    /// Drops those that were there [`BATCH_IDS_KEPT`] ago, at most `limit`; returns how many.
    pub(super) fn trim(&mut self, now: Timestamp, limit: u64) -> u64 {
        let (mut gone, total) = (0, self.dropped + self.order.len() as u64);
        while let Some(&(at, count)) = self.marks.front() {
            if at.plus(BATCH_IDS_KEPT) > now {
                break;
            }
            while self.dropped < count {
                if gone == limit {
                    return gone;
                }
                self.drop_first();
                gone += 1;
            }
            self.marks.pop_front();
        }
        if self.marks.back().is_none_or(|(at, _)| now.as_millis() - at.as_millis() >= APART) {
            self.marks.push_back((now, total));
        }
        gone
    }

    fn drop_first(&mut self) {
        if let Some(id) = self.order.pop_front() {
            self.known.remove(&id);
        }
        self.dropped += 1;
    }
}
