//! What is old goes, unless a session needs it (§6.5).
//!
//! A log goes from its beginning on, and a session needs what is behind some event of it. So it is enough to
//! look at the oldest row of each job that has an old one. Where that is needed the look was in vain, and
//! as many jobs may stay like that as sessions can hold back: a job is looked at when it becomes old, and
//! from then on now and then, so that a sweep costs what it drops, and not what is there.

use arcp_core::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{drop_oldest, needed};
use crate::kept::Changes;

#[cfg(test)]
mod tests;

/// Jobs that were looked at in vain before, and that one sweep looks at again.
pub(super) const AGAIN: u64 = 1000;

/// Which jobs were looked at. It may be forgotten: then they are looked at once more.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// All up to here were, once.
    first: Place,
    /// Of those, so far in this round.
    again: Place,
}

/// The time of the oldest row of a job, and its id; or before every job.
type Place = Option<(i64, String)>;

/// What came of a look at a job.
enum Look {
    /// All went that is old and not needed: so many rows, none if the first one is needed.
    Done(u64),
    /// There is more, and no room for it in this sweep.
    Cut(u64),
}

impl Round {
    /// Drops at most `limit` rows that were written before `before`. Those that become old are looked at
    /// first, and a look in vain counts as a row; the others have looks of their own, so that neither
    /// has to wait for the other.
    pub(super) fn segments(
        &mut self,
        conn: &Connection,
        kept: &mut Changes,
        before: Timestamp,
        limit: u64,
    ) -> rusqlite::Result<u64> {
        let (before, mut gone, mut vain) = (before.as_millis(), 0, 0);
        let end = Some((before, String::new()));
        let known = self.first.clone().min(end.clone());
        while gone + vain < limit
            && let Some(found) = behind(conn, &self.first, &end)?
        {
            match look(conn, kept, &found.1, before, limit - gone)? {
                Look::Cut(rows) => return Ok(gone + rows),
                Look::Done(0) => vain += 1,
                Look::Done(rows) => gone += rows,
            }
            self.first = Some(found);
        }
        let (mut vain, mut from_the_beginning) = (0, self.again.is_none());
        while gone < limit && vain < AGAIN {
            let Some(found) = behind(conn, &self.again, &known)? else {
                self.again = None;
                if from_the_beginning {
                    break;
                }
                from_the_beginning = true;
                continue;
            };
            match look(conn, kept, &found.1, before, limit - gone)? {
                Look::Cut(rows) => return Ok(gone + rows),
                Look::Done(0) => vain += 1,
                Look::Done(rows) => gone += rows,
            }
            self.again = Some(found);
        }
        Ok(gone)
    }
}

/// The first job behind a place, and before or at another one.
fn behind(conn: &Connection, place: &Place, until: &Place) -> rusqlite::Result<Place> {
    let Some(until) = until else { return Ok(None) };
    let sql = "SELECT oldest_at, id FROM job
        WHERE oldest_at IS NOT NULL AND (oldest_at, id) > (?1, ?2) AND (oldest_at, id) <= (?3, ?4)
        ORDER BY oldest_at, id LIMIT 1";
    let (at, id) = place.as_ref().map_or((i64::MIN, ""), |(at, id)| (*at, id));
    let params = params![at, id, until.0, until.1];
    conn.prepare_cached(sql)?.query_row(params, |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

fn look(conn: &Connection, kept: &mut Changes, job: &str, before: i64, limit: u64) -> rusqlite::Result<Look> {
    let sql = "SELECT segment.first + segment.n - 1 FROM job JOIN segment ON segment.pos = job.oldest
        WHERE job.id = ?1 AND segment.at < ?2";
    let oldest = || {
        let mut sql = conn.prepare_cached(sql)?;
        sql.query_row(params![job, before], |row| row.get::<_, i64>(0)).optional()
    };
    let (mut gone, mut needed_from) = (0, None);
    while let Some(last) = oldest()? {
        let from = match needed_from {
            Some(from) => from,
            // Where it is needed that is soon seen, and otherwise it is worth to see how far it is not.
            None if is_needed(conn, job, last)? => break,
            None => *needed_from.insert(needed(conn, job)?),
        };
        if last >= from {
            break;
        }
        if gone == limit {
            return Ok(Look::Cut(gone));
        }
        if drop_oldest(conn, kept, job)?.is_none() {
            break;
        }
        gone += 1;
    }
    Ok(Look::Done(gone))
}

/// Whether a session needs an event of a job up to `last`.
fn is_needed(conn: &Connection, job: &str, last: i64) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM feed WHERE job = ?1 AND next <= ?2
        UNION ALL SELECT 1 FROM run JOIN session ON session.id = run.session
            WHERE run.job = ?1 AND run.first + run.len > session.acked + 1
                AND run.from_seq + max(session.acked + 1 - run.first, 0) <= ?2
        LIMIT 1";
    conn.prepare_cached(sql)?.exists(params![job, last])
}
