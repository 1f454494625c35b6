//! Forgets what may be forgotten (§6.3, §6.5), inside a transaction.

mod force;

use std::collections::HashMap;

use arcp_core::Timestamp;
use arcp_core::store::{STUCK_KEPT, Trim};
use rusqlite::{Connection, OptionalExtension as _, params};

/// Deletes rows; returns how many, roughly.
pub(crate) fn trim(conn: &Connection, now: Timestamp, trim: Trim) -> rusqlite::Result<u64> {
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
    gone += force::force(conn, trim.bounds, limit.saturating_sub(gone))?;
    gone += segments(conn, trim.before, limit.saturating_sub(gone))?;
    Ok(gone + jobs(conn, trim.before, limit.saturating_sub(gone))?)
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
    Ok(gone)
}

/// A job, while its log is trimmed.
struct Log {
    /// The newest event that is gone.
    floor: i64,
    /// The first event that a session needs: it was sent and not acknowledged, or is yet to be sent.
    needed: i64,
}

fn log(conn: &Connection, job: &str) -> rusqlite::Result<Log> {
    let sql = "SELECT floor FROM job WHERE id = ?1";
    let floor = conn.prepare_cached(sql)?.query_row([job], |row| row.get(0)).optional()?;
    // The ack may lie in the middle of a run.
    let sql = "SELECT min(needed) FROM (
            SELECT min(next) AS needed FROM feed WHERE job = ?1
            UNION ALL SELECT min(run.from_seq + max(session.acked + 1 - run.first, 0))
                FROM run JOIN session ON session.id = run.session
                WHERE run.job = ?1 AND run.first + run.len > session.acked + 1)";
    let needed: Option<i64> = conn.prepare_cached(sql)?.query_row([job], |row| row.get(0))?;
    Ok(Log { floor: floor.unwrap_or(0), needed: needed.unwrap_or(i64::MAX) })
}

fn segments(conn: &Connection, before: Timestamp, limit: u64) -> rusqlite::Result<u64> {
    let mut logs: HashMap<String, Log> = HashMap::new();
    let mut doomed: Vec<(String, i64)> = Vec::new();
    let sql = "SELECT job, first, n FROM segment WHERE at < ?1 ORDER BY at, job, first";
    let mut sql = conn.prepare_cached(sql)?;
    let mut old = sql.query([before.as_millis()])?;
    while let Some(row) = old.next()? {
        if doomed.len() as u64 >= limit {
            break;
        }
        let (job, first, n): (&str, i64, i64) = (row.get_ref(0)?.as_str()?, row.get(1)?, row.get(2)?);
        if !logs.contains_key(job) {
            logs.insert(job.to_owned(), log(conn, job)?);
        }
        let Some(log) = logs.get_mut(job) else { continue };
        // In order, so that what is left has no hole.
        if first == log.floor + 1 && first + n <= log.needed {
            log.floor += n;
            doomed.push((job.to_owned(), first));
        }
    }
    drop(old);
    for (job, first) in &doomed {
        drop_oldest(conn, job, *first)?;
    }
    Ok(doomed.len() as u64)
}

/// The oldest row of a job's log goes, and its events are below the floor.
fn drop_oldest(conn: &Connection, job: &str, first: i64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM segment WHERE job = ?1 AND first = ?2 RETURNING n, length(events)";
    let mut sql = conn.prepare_cached(sql)?;
    let (n, bytes): (i64, i64) = sql.query_row(params![job, first], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let sql = "UPDATE job SET floor = ?2, bytes = max(bytes - ?3, 0) WHERE id = ?1";
    conn.prepare_cached(sql)?.execute(params![job, first + n - 1, bytes]).map(drop)
}

/// Ended jobs of whose log nothing is left.
fn jobs(conn: &Connection, before: Timestamp, limit: u64) -> rusqlite::Result<u64> {
    let sql = "SELECT id FROM job WHERE ended_at < ?1 AND floor = head LIMIT ?2";
    let mut gone = 0;
    for id in ids(conn, sql, before, limit)? {
        conn.prepare_cached("DELETE FROM job_body WHERE id = ?1")?.execute([&id])?;
        conn.prepare_cached("DELETE FROM job_note WHERE id = ?1")?.execute([&id])?;
        let sql = "DELETE FROM run WHERE job = ?1 AND first + len <= 1 +
            (SELECT acked FROM session WHERE session.id = run.session)";
        gone += conn.prepare_cached(sql)?.execute([&id])? as u64;
        gone += conn.prepare_cached("DELETE FROM job WHERE id = ?1")?.execute([&id])? as u64;
    }
    Ok(gone)
}
