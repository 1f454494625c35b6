//! How much is kept, counted as it comes and goes: to find that nothing is beyond its bounds, a trim
//! need not go through what is there.

use std::collections::{BTreeMap, HashMap};

use arcp_core::JobId;
use rusqlite::{Connection, OptionalExtension as _, params};

/// What is counted together. The numbers are in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// Bytes of events, and of what ended jobs were accepted with, in all.
    Bytes = 0,
    /// The same of the jobs of one principal.
    OfPrincipal = 1,
    /// Bytes of events of the jobs that one session submitted.
    OfSession = 2,
    /// Runs of one session.
    Runs = 3,
}

/// What a transaction changes, summed up so that it costs a write for each count and not for each row.
/// It has to be written before the transaction ends.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    appended: HashMap<JobId, i64>,
    counts: BTreeMap<(What, String), i64>,
}

impl Changes {
    /// Bytes were appended to the log of a job.
    pub(crate) fn append(&mut self, job: &JobId, bytes: i64) {
        match self.appended.get_mut(job) {
            Some(appended) => *appended += bytes,
            None => _ = self.appended.insert(job.clone(), bytes),
        }
    }

    /// Bytes of a job's log came or went.
    pub(crate) fn bytes(&mut self, session: &str, principal: &str, change: i64) {
        self.count(What::OfSession, session, change);
        self.rest(principal, change);
    }

    /// What ended jobs of a principal were accepted with came or went.
    pub(crate) fn rest(&mut self, principal: &str, change: i64) {
        self.count(What::OfPrincipal, principal, change);
        self.count(What::Bytes, "", change);
    }

    /// Runs of a session came or went.
    pub(crate) fn runs(&mut self, session: &str, change: i64) {
        self.count(What::Runs, session, change);
    }

    fn count(&mut self, what: What, whose: &str, change: i64) {
        if change != 0 {
            *self.counts.entry((what, whose.to_owned())).or_default() += change;
        }
    }

    /// What a batch changed, which was not refused.
    pub(crate) fn add(&mut self, other: Self) {
        for (job, bytes) in other.appended {
            *self.appended.entry(job).or_default() += bytes;
        }
        for (count, change) in other.counts {
            *self.counts.entry(count).or_default() += change;
        }
    }

    pub(crate) fn write(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        for (job, bytes) in std::mem::take(&mut self.appended) {
            let sql = "SELECT session, principal FROM job WHERE id = ?1";
            let mut sql = conn.prepare_cached(sql)?;
            let whose = sql.query_row([job.as_str()], |row| Ok((row.get(0)?, row.get(1)?)));
            if let Some((session, principal)) = whose.optional()? {
                let (session, principal): (String, String) = (session, principal);
                self.bytes(&session, &principal, bytes);
            }
        }
        for ((what, whose), change) in std::mem::take(&mut self.counts) {
            what.change(conn, &whose, change)?;
        }
        Ok(())
    }
}

impl What {
    /// How many bits of a count make a step.
    fn step(self) -> i64 {
        if self == Self::Runs { 6 } else { 16 }
    }

    fn change(self, conn: &Connection, whose: &str, change: i64) -> rusqlite::Result<()> {
        let params = params![self as i64, whose, change, self.step()];
        // Most changes: the index has no part in it.
        let sql = "UPDATE kept SET n = n + ?3
            WHERE what = ?1 AND whose = ?2 AND n + ?3 > 0 AND (n + ?3) >> ?4 = step";
        if conn.prepare_cached(sql)?.execute(params)? == 1 {
            return Ok(());
        }
        let more = "INSERT INTO kept VALUES (?1, ?2, ?3, ?3 >> ?4)
            ON CONFLICT (what, whose) DO UPDATE SET n = n + ?3, step = (n + ?3) >> ?4";
        let less = "UPDATE kept SET n = n + ?3, step = (n + ?3) >> ?4 WHERE what = ?1 AND whose = ?2";
        conn.prepare_cached(if change > 0 { more } else { less })?.execute(params)?;
        if change < 0 {
            let sql = "DELETE FROM kept WHERE what = ?1 AND whose = ?2 AND n <= 0";
            conn.prepare_cached(sql)?.execute(params![self as i64, whose])?;
        }
        Ok(())
    }
}

/// Who has more than `most`, and how much more. What changed has to be written.
pub(crate) fn beyond(conn: &Connection, what: What, most: u64) -> rusqlite::Result<Vec<(String, i64)>> {
    let Ok(most) = i64::try_from(most) else { return Ok(Vec::new()) };
    let sql = "SELECT whose, n - ?2 FROM kept WHERE what = ?1 AND step >= ?2 >> ?3 AND n > ?2";
    let mut sql = conn.prepare_cached(sql)?;
    let found = sql.query_map(params![what as i64, most, what.step()], |row| Ok((row.get(0)?, row.get(1)?)));
    found?.collect()
}

/// A session is gone with all its runs.
pub(crate) fn forget_session(conn: &Connection, session: &str) -> rusqlite::Result<()> {
    let sql = "DELETE FROM kept WHERE what = ?1 AND whose = ?2";
    conn.prepare_cached(sql)?.execute(params![What::Runs as i64, session]).map(drop)
}
