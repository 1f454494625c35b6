//! What is kept beyond its bounds goes, oldest first, whoever still needs it (§6.5).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use arcp_core::store::Bounds;
use rusqlite::{Connection, OptionalExtension as _, params};

/// Whose events are counted together: who has too many and how many more, and which jobs these are of.
const SCOPES: [(&str, &str); 3] = [
    (
        "SELECT session, sum(bytes) - ?1 FROM job GROUP BY session HAVING sum(bytes) > ?1",
        "SELECT id FROM job WHERE session = ?1 AND bytes > 0",
    ),
    (
        "SELECT principal, sum(bytes) - ?1 FROM job GROUP BY principal HAVING sum(bytes) > ?1",
        "SELECT id FROM job WHERE principal = ?1 AND bytes > 0",
    ),
    (
        "SELECT '', sum(bytes) - ?1 FROM job HAVING sum(bytes) > ?1",
        "SELECT id FROM job WHERE bytes > 0 AND '' = ?1",
    ),
];

pub(super) fn force(conn: &Connection, bounds: Bounds, limit: u64) -> rusqlite::Result<u64> {
    let mut gone = runs(conn, bounds.session_runs, limit)?;
    let most = [bounds.session_bytes, bounds.principal_bytes, bounds.bytes];
    for ((beyond, of), most) in SCOPES.iter().zip(most) {
        let Ok(most) = i64::try_from(most) else { continue };
        let mut sql = conn.prepare_cached(beyond)?;
        let beyond = sql.query_map([most], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        for (whose, excess) in beyond.collect::<Result<Vec<_>, _>>()? {
            let mut sql = conn.prepare_cached(of)?;
            let jobs = sql.query_map([&whose], |row| row.get(0))?.collect::<Result<Vec<_>, _>>()?;
            gone += shrink(conn, &jobs, excess, limit.saturating_sub(gone))?;
        }
    }
    Ok(gone)
}

/// The oldest row of a job's log; ordered by age.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Oldest<'a> {
    pos: i64,
    job: &'a str,
    first: i64,
    n: i64,
    bytes: i64,
}

impl<'a> Oldest<'a> {
    /// The row that begins with event `first`, if there is one and nobody needs what is below `needed`.
    fn of(conn: &Connection, job: &'a str, first: i64, needed: i64) -> rusqlite::Result<Option<Self>> {
        let sql = "SELECT pos, n, length(events) FROM segment
            WHERE job = ?1 AND first = ?2 AND first + n <= ?3";
        let mut sql = conn.prepare_cached(sql)?;
        let found = sql.query_row(params![job, first, needed], |row| {
            Ok(Self { pos: row.get(0)?, job, first, n: row.get(1)?, bytes: row.get(2)? })
        });
        found.optional()
    }
}

/// Drops the oldest rows of `jobs` until `excess` bytes went.
fn shrink(conn: &Connection, jobs: &[String], mut excess: i64, limit: u64) -> rusqlite::Result<u64> {
    let (mut gone, mut forced) = (0, BTreeMap::new());
    for at_any_rate in [false, true] {
        if excess <= 0 {
            break;
        }
        let mut needed = BTreeMap::new();
        let mut oldest = BinaryHeap::new();
        for job in jobs {
            let log = super::log(conn, job)?;
            let needed =
                *needed.entry(job.as_str()).or_insert(if at_any_rate { i64::MAX } else { log.needed });
            oldest.extend(Oldest::of(conn, job, log.floor + 1, needed)?.map(Reverse));
        }
        while excess > 0
            && gone < limit
            && let Some(Reverse(Oldest { job, first, n, bytes, .. })) = oldest.pop()
        {
            super::drop_oldest(conn, job, first)?;
            (excess, gone) = (excess - bytes, gone + 1);
            let needed = needed.get(job).copied().unwrap_or_default();
            oldest.extend(Oldest::of(conn, job, first + n, needed)?.map(Reverse));
            if at_any_rate {
                forced.insert(job, first + n - 1);
            }
        }
    }
    for (job, floor) in forced {
        gone += lift(conn, job, floor)?;
    }
    Ok(gone)
}

/// Events of a job were forced out: no session may be continued as if they were there.
fn lift(conn: &Connection, job: &str, floor: i64) -> rusqlite::Result<u64> {
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
        gone += conn.prepare_cached(sql)?.execute(params![session, through])? as u64;
        let sql =
            "UPDATE run SET first = ?2 + 1, len = first + len - 1 - ?2, from_seq = from_seq + ?2 + 1 - first
            WHERE session = ?1 AND first <= ?2";
        conn.prepare_cached(sql)?.execute(params![session, through])?;
    }
    Ok(gone)
}

/// Sessions have so many runs at the most; the oldest go.
fn runs(conn: &Connection, most: u64, limit: u64) -> rusqlite::Result<u64> {
    let Ok(most) = i64::try_from(most) else { return Ok(0) };
    let sql = "SELECT session, count(*) - ?1 FROM run GROUP BY session HAVING count(*) > ?1";
    let mut sql = conn.prepare_cached(sql)?;
    let many = sql.query_map([most], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    let mut gone = 0;
    for (session, excess) in many.collect::<Result<Vec<(String, i64)>, _>>()? {
        let excess = excess.min(limit.saturating_sub(gone).cast_signed());
        let sql = "DELETE FROM run WHERE (session, first) IN
            (SELECT session, first FROM run WHERE session = ?1 ORDER BY first LIMIT ?2)";
        gone += conn.prepare_cached(sql)?.execute(params![session, excess])? as u64;
    }
    Ok(gone)
}
