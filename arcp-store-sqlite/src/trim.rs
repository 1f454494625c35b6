//! Forgets what may be forgotten (§6.3, §6.5), inside a transaction.

mod age;
mod force;
#[cfg(test)]
mod tests;

use arcp_core::Timestamp;
use arcp_core::store::{STUCK_KEPT, Trim};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::kept::{self, Changes};

pub(crate) use age::Round;

/// Deletes rows; returns how many, roughly. `round` is where the trim before stopped.
pub(crate) fn trim(
    conn: &Connection,
    round: &mut Round,
    now: Timestamp,
    trim: Trim,
) -> rusqlite::Result<u64> {
    let limit = trim.limit as u64;
    let mut gone = sessions(conn, now, limit)?;
    let sql = "DELETE FROM idempotency WHERE (principal, key) IN
        (SELECT principal, key FROM idempotency WHERE expires_at <= ?1 LIMIT ?2)";
    gone += rows(conn, sql, now, limit.saturating_sub(gone))?;
    let sql = "DELETE FROM audit WHERE pos IN (SELECT pos FROM audit WHERE at < ?1 LIMIT ?2)";
    gone += rows(conn, sql, trim.before, limit.saturating_sub(gone))?;
    let sql = "DELETE FROM credential WHERE name IN
        (SELECT name FROM credential WHERE state = 'revoked' AND since < ?1 LIMIT ?2)";
    gone += rows(conn, sql, trim.before, limit.saturating_sub(gone))?;
    let sql = "DELETE FROM credential WHERE name IN
        (SELECT name FROM credential WHERE state = 'stuck' AND since < ?1 LIMIT ?2)";
    let kept = i64::try_from(STUCK_KEPT.as_millis()).unwrap_or(i64::MAX);
    let stuck = Timestamp::from_millis(trim.before.as_millis().saturating_sub(kept));
    gone += rows(conn, sql, stuck, limit.saturating_sub(gone))?;
    let kept = &mut Changes::default();
    gone += force::force(conn, kept, trim.bounds, limit.saturating_sub(gone))?;
    gone += round.segments(conn, kept, trim.before, limit.saturating_sub(gone))?;
    gone += jobs(conn, kept, trim.before, limit.saturating_sub(gone))?;
    kept.write(conn)?;
    Ok(gone)
}

fn rows(conn: &Connection, sql: &str, at: Timestamp, limit: u64) -> rusqlite::Result<u64> {
    Ok(conn.prepare_cached(sql)?.execute(params![at.as_millis(), limit.cast_signed()])? as u64)
}

fn ids(conn: &Connection, sql: &str, at: Timestamp, limit: u64) -> rusqlite::Result<Vec<String>> {
    let mut sql = conn.prepare_cached(sql)?;
    sql.query_map(params![at.as_millis(), limit.cast_signed()], |row| row.get(0))?.collect()
}

fn sessions(conn: &Connection, now: Timestamp, limit: u64) -> rusqlite::Result<u64> {
    let mut gone = 0;
    for id in ids(conn, "SELECT id FROM session WHERE expires_at <= ?1 LIMIT ?2", now, limit)? {
        if gone >= limit {
            break;
        }
        gone += session(conn, &id)?;
    }
    Ok(gone)
}

/// A session goes with all that it has.
fn session(conn: &Connection, id: &str) -> rusqlite::Result<u64> {
    let mut gone = 0;
    for sql in [
        "DELETE FROM feed WHERE session = ?1",
        "DELETE FROM run WHERE session = ?1",
        "DELETE FROM session WHERE id = ?1",
    ] {
        gone += conn.prepare_cached(sql)?.execute([id])? as u64;
    }
    kept::forget_session(conn, id)?;
    Ok(gone)
}

/// The first event of a job that a session needs.
fn needed(conn: &Connection, job: &str) -> rusqlite::Result<i64> {
    // The ack may lie in the middle of a run.
    let sql = "SELECT min(needed) FROM (
            SELECT min(next) AS needed FROM feed WHERE job = ?1
            UNION ALL SELECT min(run.from_seq + max(session.acked + 1 - run.first, 0))
                FROM run JOIN session ON session.id = run.session
                WHERE run.job = ?1 AND run.first + run.len > session.acked + 1)";
    let needed: Option<i64> = conn.prepare_cached(sql)?.query_row([job], |row| row.get(0))?;
    Ok(needed.unwrap_or(i64::MAX))
}

/// A row of a log that went.
struct Dropped {
    /// Its last event: the job's floor.
    floor: i64,
    /// What it held.
    bytes: i64,
    /// If the job has ended and nothing is left of its log: what it was accepted with.
    rest: Option<i64>,
}

/// The oldest row of a job's log goes, and its events are below the floor. `None` if it is not there.
fn drop_oldest(conn: &Connection, kept: &mut Changes, job: &str) -> rusqlite::Result<Option<Dropped>> {
    let sql = "DELETE FROM segment WHERE job = ?1 AND first = 1 + (SELECT floor FROM job WHERE id = ?1)
        RETURNING first + n - 1, length(events)";
    let mut sql = conn.prepare_cached(sql)?;
    let dropped = sql.query_row([job], |row| Ok((row.get(0)?, row.get(1)?)));
    let Some((floor, bytes)): Option<(i64, i64)> = dropped.optional()? else { return Ok(None) };
    let sql = "UPDATE job SET floor = ?2, bytes = max(bytes - ?3, 0),
            (oldest, oldest_at) =
                (SELECT pos, at FROM segment WHERE segment.job = ?1 AND segment.first = ?2 + 1)
        WHERE id = ?1
        RETURNING session, principal, iif(ended_at IS NOT NULL AND oldest IS NULL, rest, NULL)";
    let mut sql = conn.prepare_cached(sql)?;
    let left = sql.query_row(params![job, floor, bytes], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let (session, principal, rest): (String, String, _) = left?;
    kept.bytes(&session, &principal, -bytes);
    Ok(Some(Dropped { floor, bytes, rest }))
}

/// Ended jobs of whose log nothing is left.
fn jobs(conn: &Connection, kept: &mut Changes, before: Timestamp, limit: u64) -> rusqlite::Result<u64> {
    let sql = "SELECT id FROM job WHERE ended_at < ?1 AND oldest IS NULL LIMIT ?2";
    let mut gone = 0;
    for id in ids(conn, sql, before, limit)? {
        gone += job(conn, kept, &id)?;
    }
    Ok(gone)
}

/// A job goes with all that it has, except for keys, which have their own time, and for runs that were not
/// acknowledged.
fn job(conn: &Connection, kept: &mut Changes, id: &str) -> rusqlite::Result<u64> {
    let mut gone = 0;
    conn.prepare_cached("DELETE FROM job_body WHERE id = ?1")?.execute([id])?;
    conn.prepare_cached("DELETE FROM job_note WHERE id = ?1")?.execute([id])?;
    let sql = "DELETE FROM run WHERE job = ?1 AND first + len <= 1 +
        (SELECT acked FROM session WHERE session.id = run.session) RETURNING session";
    let mut sql = conn.prepare_cached(sql)?;
    for session in sql.query_map([id], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()? {
        kept.runs(&session, -1);
        gone += 1;
    }
    let sql = "DELETE FROM job WHERE id = ?1 RETURNING principal, rest";
    let mut sql = conn.prepare_cached(sql)?;
    let left = sql.query_row([id], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)));
    if let Some((principal, rest)) = left.optional()? {
        kept.rest(&principal, -rest);
        gone += 1;
    }
    Ok(gone)
}
