//! What is kept beyond its bounds goes, oldest first, whoever still needs it (§6.5).

use std::collections::{BTreeMap, HashMap};

use arcp_core::store::Bounds;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::kept::{self, Changes, What};

/// Of those jobs whose events are counted together, the one that has the oldest row behind a place: the
/// job, the row's place, and the first event that is not in it.
const OLDEST: [(What, &str); 3] = [
    (
        What::OfSession,
        "SELECT job.id, job.oldest, segment.first + segment.n
        FROM job CROSS JOIN segment ON segment.pos = job.oldest
        WHERE job.session = ?1 AND job.oldest > ?2 ORDER BY job.oldest LIMIT 1",
    ),
    (
        What::OfPrincipal,
        "SELECT job.id, job.oldest, segment.first + segment.n
        FROM job CROSS JOIN segment ON segment.pos = job.oldest
        WHERE job.principal = ?1 AND job.oldest > ?2 ORDER BY job.oldest LIMIT 1",
    ),
    (
        What::Bytes,
        "SELECT job.id, job.oldest, segment.first + segment.n
        FROM job CROSS JOIN segment ON segment.pos = job.oldest
        WHERE '' = ?1 AND job.oldest > ?2 ORDER BY job.oldest LIMIT 1",
    ),
];

/// Of those jobs whose bytes are counted together and that have ended with nothing left of their logs, the
/// one that ended first, and what it was accepted with. A session does not count that.
fn spent(what: What) -> Option<&'static str> {
    match what {
        What::OfPrincipal => Some(
            "SELECT id, rest FROM job
            WHERE principal = ?1 AND ended_at IS NOT NULL AND oldest IS NULL ORDER BY ended_at LIMIT 1",
        ),
        What::Bytes => Some(
            "SELECT id, rest FROM job
            WHERE '' = ?1 AND ended_at IS NOT NULL AND oldest IS NULL ORDER BY ended_at LIMIT 1",
        ),
        What::OfSession | What::Runs => None,
    }
}

pub(super) fn force(
    conn: &Connection,
    kept: &mut Changes,
    bounds: Bounds,
    limit: u64,
) -> rusqlite::Result<u64> {
    let mut gone = runs(conn, kept, bounds.session_runs, limit)?;
    let most = [bounds.session_bytes, bounds.principal_bytes, bounds.bytes];
    for ((what, oldest), most) in OLDEST.into_iter().zip(most) {
        kept.write(conn)?;
        for (whose, excess) in kept::beyond(conn, what, most)? {
            gone += shrink(conn, kept, (what, oldest, &whose), excess, limit.saturating_sub(gone))?;
        }
    }
    Ok(gone)
}

/// Drops the oldest rows of the jobs of `whose` until `excess` bytes went: first those that nobody needs.
/// The next row of a job is younger than the one that went, so each pass comes by every row once. An ended
/// job goes with the last row of its log; one that has none any more is the first to go.
fn shrink(
    conn: &Connection,
    kept: &mut Changes,
    (what, oldest, whose): (What, &str, &str),
    mut excess: i64,
    limit: u64,
) -> rusqlite::Result<u64> {
    let (mut gone, mut forced, mut over) = (0, BTreeMap::new(), Vec::new());
    let spent = spent(what);
    while let Some(spent) = spent.filter(|_| excess > 0 && gone < limit) {
        let mut sql = conn.prepare_cached(spent)?;
        let found = sql.query_row([whose], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)));
        let Some((job, rest)) = found.optional()? else { break };
        (excess, gone) = (excess - rest, gone + with_keys(conn, kept, &job)?);
    }
    for at_any_rate in [false, true] {
        let (mut place, mut needed) = (0, HashMap::new());
        while excess > 0 && gone < limit {
            let mut sql = conn.prepare_cached(oldest)?;
            let found =
                sql.query_row(params![whose, place], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
            let Some(found) = found.optional()? else { break };
            let (job, behind): (String, i64);
            (job, place, behind) = found;
            if !at_any_rate {
                let needed = match needed.get(&job) {
                    Some(needed) => *needed,
                    None => *needed.entry(job.clone()).or_insert(super::needed(conn, &job)?),
                };
                if behind > needed {
                    continue;
                }
            }
            let Some(dropped) = super::drop_oldest(conn, kept, &job)? else { continue };
            (excess, gone) = (excess - dropped.bytes, gone + 1);
            if let Some(rest) = dropped.rest.filter(|_| spent.is_some()) {
                excess -= rest;
                over.push(job.clone());
            }
            if at_any_rate {
                forced.insert(job, dropped.floor);
            }
        }
    }
    for (job, floor) in forced {
        gone += lift(conn, kept, &job, floor)?;
    }
    // Not before: it is by its runs that it is known who was sent what.
    for job in over {
        gone += with_keys(conn, kept, &job)?;
    }
    Ok(gone)
}

/// A job is forced out with the keys that stand for it, since their acceptances are as large as it is.
fn with_keys(conn: &Connection, kept: &mut Changes, job: &str) -> rusqlite::Result<u64> {
    let sql = "DELETE FROM idempotency
        WHERE job = ?1 AND principal = (SELECT principal FROM job WHERE job.id = ?1)";
    let keys = conn.prepare_cached(sql)?.execute([job])? as u64;
    Ok(keys + super::job(conn, kept, job)?)
}

/// Events of a job were forced out: no session may be continued as if they were there.
fn lift(conn: &Connection, kept: &mut Changes, job: &str, floor: i64) -> rusqlite::Result<u64> {
    let mut gone = 0;
    let mut sql = conn.prepare_cached("SELECT session FROM feed WHERE job = ?1 AND next <= ?2")?;
    let over: Vec<String> =
        sql.query_map(params![job, floor], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for id in over {
        gone += super::session(conn, &id)?;
    }
    let sql = "SELECT run.session, max(run.first + min(run.len - 1, ?2 - run.from_seq)) AS through
        FROM run JOIN session ON session.id = run.session WHERE run.job = ?1 AND run.from_seq <= ?2
        GROUP BY run.session HAVING through > session.acked";
    let mut sql = conn.prepare_cached(sql)?;
    let lost = sql.query_map(params![job, floor], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    for (session, through) in lost.collect::<Result<Vec<(String, i64)>, _>>()? {
        let sql = "DELETE FROM run WHERE session = ?1 AND first + len - 1 <= ?2";
        let runs = conn.prepare_cached(sql)?.execute(params![session, through])? as u64;
        kept.runs(&session, -runs.cast_signed());
        gone += runs;
        let sql =
            "UPDATE run SET first = ?2 + 1, len = first + len - 1 - ?2, from_seq = from_seq + ?2 + 1 - first
            WHERE session = ?1 AND first <= ?2";
        conn.prepare_cached(sql)?.execute(params![session, through])?;
    }
    Ok(gone)
}

/// Sessions have so many runs at the most; the oldest go.
fn runs(conn: &Connection, kept: &mut Changes, most: u64, limit: u64) -> rusqlite::Result<u64> {
    let mut gone = 0;
    for (session, excess) in kept::beyond(conn, What::Runs, most)? {
        let excess = excess.min(limit.saturating_sub(gone).cast_signed());
        let sql = "DELETE FROM run WHERE (session, first) IN
            (SELECT session, first FROM run WHERE session = ?1 ORDER BY first LIMIT ?2)";
        let runs = conn.prepare_cached(sql)?.execute(params![session, excess])? as u64;
        kept.runs(&session, -runs.cast_signed());
        gone += runs;
    }
    Ok(gone)
}
