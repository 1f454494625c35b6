//! Appends events to a job's log: the way that has to be fast.

use arcp_core::job::Status;
use arcp_core::store::StoredEvent;
use arcp_core::{JobId, Timestamp};
use rusqlite::params;

use super::{Applied, Apply};
use crate::row::{self, n};
use crate::segment;

impl Apply<'_> {
    pub(super) fn append(
        &mut self,
        job: &JobId,
        (owner, after): (u64, u64),
        mut events: &[StoredEvent],
        at: Timestamp,
        ended: Option<Status>,
    ) -> Applied {
        let (head, bytes) = (after + events.len() as u64, n(segment::bytes(events) as u64));
        let empty = after == 0 && !events.is_empty();
        let going_on = || {
            // Most appends: no index has a part in it.
            let sql = "UPDATE job SET head = ?5, bytes = bytes + ?6 WHERE id = ?1 AND principal = ?2
                AND owner = ?3 AND head = ?4 AND status = 1 AND oldest IS NOT NULL";
            self.run(sql, params![job.as_str(), self.principal, n(owner), n(after), n(head), bytes])
        };
        let goes_on = !empty && ended.is_none() && going_on()? == 1;
        if !goes_on {
            let status = row::status_code(ended.unwrap_or(Status::Running)).ok_or_else(|| self.conflict())?;
            let ended_at = ended.map(|_| at.as_millis());
            // The first row of a log is the oldest, and it is about to be the last one of the table.
            let first = "UPDATE job SET head = ?5, status = ?6, ended_at = ?7, bytes = bytes + ?8,
                    oldest = (SELECT coalesce(max(pos), 0) + 1 FROM segment), oldest_at = ?9
                WHERE id = ?1 AND principal = ?2 AND owner = ?3 AND head = ?4 AND status < 2";
            let later = "UPDATE job SET head = ?5, status = ?6, ended_at = ?7, bytes = bytes + ?8
                WHERE id = ?1 AND principal = ?2 AND owner = ?3 AND head = ?4 AND status < 2";
            let (id, sql) = (job.as_str(), if empty { first } else { later });
            let at = at.as_millis();
            let params =
                params![id, self.principal, n(owner), n(after), n(head), status, ended_at, bytes, at];
            let params = if empty { params } else { &params[..8] };
            if self.run(sql, params)? != 1 {
                return Err(self.why_job(job, owner));
            }
        }
        let (sql, mut first) = ("INSERT INTO segment VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6)", after + 1);
        while !events.is_empty() {
            let taken = segment::pack(events, self.packed);
            let sum = segment::sum(job, first, self.packed);
            let params = params![job.as_str(), n(first), n(taken as u64), at.as_millis(), *self.packed, sum];
            self.run(sql, params)?;
            if !goes_on && !empty && first == after + 1 {
                // Of what was there all may have been trimmed.
                let sql = "UPDATE job SET oldest = ?2, oldest_at = ?3 WHERE id = ?1 AND oldest IS NULL";
                self.run(sql, params![job.as_str(), self.conn.last_insert_rowid(), at.as_millis()])?;
            }
            first += taken as u64;
            events = &events[taken..];
        }
        self.kept.append(job, bytes);
        if ended.is_some() { self.rest(job) } else { Ok(()) }
    }

    /// A job has ended: what it was accepted with may go with it, and counts from now on.
    fn rest(&mut self, job: &JobId) -> Applied {
        let sql = "UPDATE job SET rest =
                coalesce((SELECT octet_length(body) FROM job_body WHERE job_body.id = ?1), 0)
                + (SELECT coalesce(sum(octet_length(key) + octet_length(accepted)), 0) FROM idempotency
                    WHERE idempotency.job = ?1 AND idempotency.principal = ?2)
            WHERE id = ?1 RETURNING rest";
        let mut sql = self.conn.prepare_cached(sql)?;
        let rest = sql.query_row(params![job.as_str(), self.principal], |row| row.get(0))?;
        self.kept.rest(self.principal, rest);
        Ok(())
    }
}
