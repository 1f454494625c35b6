//! Which batches were applied: in memory for asking, one row per transaction for the next process.

use std::collections::{HashSet, VecDeque};

use arcp_core::Timestamp;
use arcp_core::store::BATCH_IDS_KEPT;
use rusqlite::{Connection, params};

/// How many are remembered at the least while time has not passed.
const KEEP: usize = 1 << 16;
/// Marks are this many milliseconds apart at the least, which bounds how many there are.
const APART: i64 = 60_000;

/// The ids of applied batches. What is written is remembered only once it is committed.
#[derive(Debug, Default)]
pub(crate) struct BatchIds {
    known: HashSet<u128>,
    groups: VecDeque<(i64, Vec<u128>)>,
    last: i64,
}

impl BatchIds {
    pub(crate) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        // Places are never given twice, or an old mark would be taken for a new group's.
        let last = "SELECT coalesce(max(pos), 0) FROM batch_mark";
        let last = conn.query_row(last, [], |row| row.get(0))?;
        let mut ids = Self { last, ..Self::default() };
        let mut rows = conn.prepare("SELECT pos, ids FROM batch_ids ORDER BY pos")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let (pos, packed): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let (group, _) = packed.as_chunks::<16>();
            ids.remember(pos, group.iter().map(|id| u128::from_le_bytes(*id)).collect());
        }
        Ok(ids)
    }

    pub(crate) fn has(&self, id: u128) -> bool {
        self.known.contains(&id)
    }

    /// Writes a group; call [`Self::remember`] with what it returns when it is committed.
    pub(crate) fn write(&self, conn: &Connection, group: &[u128]) -> rusqlite::Result<i64> {
        let pos = self.last + 1;
        let packed: Vec<u8> = group.iter().flat_map(|id| id.to_le_bytes()).collect();
        conn.prepare_cached("INSERT INTO batch_ids VALUES (?1, ?2)")?.execute(params![pos, packed])?;
        if self.known.len() > 2 * KEEP {
            let mut left = self.known.len();
            let surplus = self.groups.iter().take_while(|(_, group)| {
                left -= group.len();
                left >= KEEP
            });
            if let Some((through, _)) = surplus.last() {
                conn.execute("DELETE FROM batch_ids WHERE pos <= ?1", [through])?;
            }
        }
        Ok(pos)
    }

    /// Remembers a group that is committed, and forgets what was deleted with it.
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
        let kept = i64::try_from(BATCH_IDS_KEPT.as_millis()).unwrap_or(i64::MAX);
        let old = now.as_millis().saturating_sub(kept);
        let sql = "SELECT coalesce(max(pos), 0) FROM batch_mark WHERE at <= ?1";
        let through: i64 = conn.prepare_cached(sql)?.query_row([old], |row| row.get(0))?;
        if through > 0 {
            conn.execute("DELETE FROM batch_ids WHERE pos <= ?1", [through])?;
            conn.execute("DELETE FROM batch_mark WHERE at <= ?1", [old])?;
        }
        let sql = "INSERT INTO batch_mark SELECT ?1, ?2 WHERE ?2 > 0
            AND NOT EXISTS (SELECT 1 FROM batch_mark WHERE at > ?1 - ?3 OR pos >= ?2)";
        conn.prepare_cached(sql)?.execute(params![now.as_millis(), self.last, APART])?;
        Ok(through)
    }

    /// Forgets groups up to a place; returns how many ids that were.
    pub(crate) fn forget(&mut self, through: i64) -> u64 {
        let before = self.known.len();
        while self.groups.front().is_some_and(|(pos, _)| *pos <= through) {
            self.forget_first();
        }
        (before - self.known.len()) as u64
    }

    fn forget_first(&mut self) {
        for id in self.groups.pop_front().into_iter().flat_map(|(_, group)| group) {
            self.known.remove(&id);
        }
    }
}
