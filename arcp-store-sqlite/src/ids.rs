//! Which batches were applied.
//!
//! In memory for an hour, for whoever repeats one. In the file only those of the last few
//! transactions: what became of a COMMIT that failed is read from there, and nothing is committed
//! before that is known. Who could repeat an older one is gone with the process that held the file.

use std::collections::{HashSet, VecDeque};

use arcp_core::Timestamp;
use arcp_core::store::BATCH_IDS_KEPT;
use rusqlite::{Connection, params};

/// How many are remembered at the least while time has not passed.
const KEEP: usize = 1 << 16;
/// Marks are this many milliseconds apart at the least, which bounds how many there are.
const APART: i64 = 60_000;
/// How many transactions the file remembers.
pub(crate) const IN_FILE: i64 = 16;

/// The ids of applied batches. What is written is remembered only once it is committed.
#[derive(Debug, Default)]
pub(crate) struct BatchIds {
    known: HashSet<u128>,
    groups: VecDeque<(i64, Vec<u128>)>,
    last: i64,
    /// At this time, in milliseconds, this was the last place.
    marks: VecDeque<(i64, i64)>,
}

impl BatchIds {
    pub(crate) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let mut ids = Self::default();
        ids.catch_up(conn)?;
        Ok(ids)
    }

    /// Remembers what is in the file and was not known: what a COMMIT did that said it had failed.
    pub(crate) fn catch_up(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let mut rows = conn.prepare("SELECT pos, ids FROM batch_ids WHERE pos > ?1 ORDER BY pos")?;
        let mut rows = rows.query([self.last])?;
        while let Some(row) = rows.next()? {
            let (pos, packed): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let (group, _) = packed.as_chunks::<16>();
            self.remember(pos, group.iter().map(|id| u128::from_le_bytes(*id)).collect());
        }
        Ok(())
    }

    pub(crate) fn has(&self, id: u128) -> bool {
        self.known.contains(&id)
    }

    /// Writes a group; call [`Self::remember`] with what it returns when it is committed.
    pub(crate) fn write(&self, conn: &Connection, group: &[u128]) -> rusqlite::Result<i64> {
        let pos = self.last + 1;
        let packed: Vec<u8> = group.iter().flat_map(|id| id.to_le_bytes()).collect();
        conn.prepare_cached("INSERT INTO batch_ids VALUES (?1, ?2)")?.execute(params![pos, packed])?;
        conn.prepare_cached("DELETE FROM batch_ids WHERE pos <= ?1")?.execute([pos - IN_FILE])?;
        Ok(pos)
    }

    /// Remembers a group that is committed.
    pub(crate) fn remember(&mut self, pos: i64, group: Vec<u128>) {
        if self.known.len() > 2 * KEEP {
            while self.groups.front().is_some_and(|(_, group)| self.known.len() - group.len() >= KEEP) {
                self.forget_first();
            }
        }
        self.last = self.last.max(pos);
        self.known.extend(&group);
        self.groups.push_back((pos, group));
    }

    /// Deletes those that a trim saw [`BATCH_IDS_KEPT`] ago; returns up to which place. Call
    /// [`Self::forget`] with it when it is committed.
    pub(crate) fn trim(&self, conn: &Connection, now: Timestamp) -> rusqlite::Result<i64> {
        let old = self.marks.iter().take_while(|(at, _)| *at <= before(now)).last();
        let through = old.map_or(0, |(_, pos)| *pos);
        if through > 0 {
            conn.prepare_cached("DELETE FROM batch_ids WHERE pos <= ?1")?.execute([through])?;
        }
        Ok(through)
    }

    /// Forgets groups up to a place, and marks what is left; returns how many ids that were.
    pub(crate) fn forget(&mut self, through: i64, now: Timestamp) -> u64 {
        let known = self.known.len();
        while self.groups.front().is_some_and(|(pos, _)| *pos <= through) {
            self.forget_first();
        }
        while self.marks.front().is_some_and(|(_, pos)| *pos <= through) {
            self.marks.pop_front();
        }
        let now = now.as_millis();
        let due = |(at, pos): &(i64, i64)| now.saturating_sub(*at) >= APART && *pos < self.last;
        if self.last > through && self.marks.back().is_none_or(due) {
            self.marks.push_back((now, self.last));
        }
        (known - self.known.len()) as u64
    }

    fn forget_first(&mut self) {
        for id in self.groups.pop_front().into_iter().flat_map(|(_, group)| group) {
            self.known.remove(&id);
        }
    }
}

/// When what may be forgotten was seen.
fn before(now: Timestamp) -> i64 {
    now.as_millis().saturating_sub(i64::try_from(BATCH_IDS_KEPT.as_millis()).unwrap_or(i64::MAX))
}
