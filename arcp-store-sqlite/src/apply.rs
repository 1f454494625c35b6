//! Applies the operations of a batch inside a transaction.

mod append;

use arcp_core::store::{
    Batch, CredentialRow, CredentialState, IdempotencyRow, JobRow, Op, RunRow, SessionRow, StoreError,
};
use arcp_core::{JobId, Json, SessionId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::kept::Changes;
use crate::row::{self, n};

/// Why a batch stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It does not fit: what it did is undone, and its neighbours go on.
    Refused(StoreError),
    /// Its idempotency key is there: likewise.
    Existing(IdempotencyRow),
    /// SQLite failed: the whole transaction is undone.
    Engine(rusqlite::Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(e: rusqlite::Error) -> Self {
        Self::Engine(e)
    }
}

type Applied = Result<(), Stop>;

/// A run that goes on where the session's last one ends, in the same job, is one with it.
pub(crate) const EXTEND_RUN: &str = "UPDATE run SET len = len + ?3
    WHERE session = ?1 AND job = ?4 AND from_seq + len = ?5
    AND first + len = ?2 AND first = (SELECT max(first) FROM run WHERE session = ?1)";

/// Applies a batch that is well formed, and sums up in `kept` what it changes. The caller undoes what was
/// done if it stops.
pub(crate) fn apply(conn: &Connection, batch: &Batch, row: &mut Vec<u8>, kept: &mut Changes) -> Applied {
    let mut apply = Apply { conn, principal: &batch.principal, at: 0, packed: row, kept };
    batch.ops.iter().enumerate().try_for_each(|(at, op)| {
        apply.at = at;
        apply.op(op)
    })
}

struct Apply<'a> {
    conn: &'a Connection,
    principal: &'a str,
    at: usize,
    packed: &'a mut Vec<u8>,
    kept: &'a mut Changes,
}

impl Apply<'_> {
    fn op(&mut self, op: &Op) -> Applied {
        match op {
            Op::PutSession { row, expect } => self.put_session(row, *expect),
            Op::Number { session, epoch, after, runs, feeds } => {
                self.number(session, *epoch, *after, runs)?;
                let sql = "UPDATE feed SET next = ?3 WHERE session = ?1 AND job = ?2";
                for (job, next) in feeds {
                    self.run(sql, params![session.as_str(), job.as_str(), n(*next)])?;
                }
                Ok(())
            }
            Op::Ack { session, epoch, seq } => self.ack(session, *epoch, *seq),
            Op::PutFeed { session, epoch, feed } => {
                self.own(session, *epoch)?;
                let sql = "INSERT OR REPLACE INTO feed VALUES (?1, ?2, ?3, ?4, ?5)";
                let (session, job) = (session.as_str(), feed.job.as_str());
                self.run(sql, params![session, job, feed.principal, n(feed.next), feed.own]).map(drop)
            }
            Op::DropFeed { session, epoch, job } => {
                self.own(session, *epoch)?;
                let sql = "DELETE FROM feed WHERE session = ?1 AND job = ?2";
                self.run(sql, params![session.as_str(), job.as_str()]).map(drop)
            }
            Op::PutJob { row } => self.put_job(row),
            Op::TakeJob { job, from, to } => {
                let sql = "UPDATE job SET owner = ?4
                    WHERE id = ?1 AND principal = ?2 AND owner = ?3 AND status < 2";
                let changed = self.run(sql, params![job.as_str(), self.principal, n(*from), n(*to)])?;
                if changed == 1 { Ok(()) } else { Err(self.why_job(job, *from)) }
            }
            Op::CancelJob { job, owner } => {
                let sql = "UPDATE job SET cancelling = 1
                    WHERE id = ?1 AND principal = ?2 AND owner = ?3 AND status < 2";
                let changed = self.run(sql, params![job.as_str(), self.principal, n(*owner)])?;
                if changed == 1 { Ok(()) } else { Err(self.why_job(job, *owner)) }
            }
            Op::NoteJob { job, owner, note } => {
                let sql = "INSERT OR REPLACE INTO job_note SELECT id, ?4 FROM job
                    WHERE id = ?1 AND principal = ?2 AND owner = ?3 AND status < 2";
                let params = params![job.as_str(), self.principal, n(*owner), note.as_str()];
                let changed = self.run(sql, params)?;
                if changed == 1 { Ok(()) } else { Err(self.why_job(job, *owner)) }
            }
            Op::Append { job, owner, after, events, at, ended } => {
                self.append(job, (*owner, *after), events, *at, *ended)
            }
            Op::Idempotency { row, now } => self.claim(row, *now),
            Op::DropIdempotency { key } => {
                let sql = "DELETE FROM idempotency WHERE principal = ?1 AND key = ?2";
                self.run(sql, params![self.principal, key]).map(drop)
            }
            Op::Credential { row, expect } => self.credential(row, *expect),
            Op::Audit { at, record } => self.audit(*at, record),
            // A later version's operation, which this one cannot do.
            _ => Err(self.conflict()),
        }
    }

    /// Runs a statement; returns how many rows it changed.
    fn run(&self, sql: &str, params: impl rusqlite::Params) -> Result<usize, Stop> {
        Ok(self.conn.prepare_cached(sql)?.execute(params)?)
    }

    fn conflict(&self) -> Stop {
        Stop::Refused(StoreError::Conflict { op: self.at })
    }

    fn put_session(&self, row: &SessionRow, expect: u64) -> Applied {
        let sql = "SELECT principal, epoch FROM session WHERE id = ?1";
        let there = self
            .conn
            .prepare_cached(sql)?
            .query_row([row.id.as_str()], |found| Ok((found.get::<_, String>(0)?, row::number(found, 1)?)));
        let current = match there.optional()? {
            Some((principal, _)) if principal != row.principal => return Err(self.conflict()),
            Some((_, epoch)) => epoch,
            None => 0,
        };
        if current != expect {
            return Err(Stop::Refused(StoreError::Fenced { current }));
        }
        // Its numbers are left alone if it is there.
        let sql = "INSERT INTO session VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
            ON CONFLICT (id) DO UPDATE SET epoch = ?3, features = ?4, profile = ?5, secret = ?6, token = ?7,
                previous_token = ?8, created_at = ?11, expires_at = ?12";
        let features = Json::of(&row.features).map_err(|_| self.conflict())?;
        let params = params![
            row.id.as_str(),
            row.principal,
            n(row.epoch),
            features.as_str(),
            row.profile,
            row.secret,
            row.token,
            row.previous_token,
            n(row.head),
            n(row.acked),
            row.created_at.as_millis(),
            row.expires_at.map(Timestamp::as_millis),
        ];
        self.run(sql, params).map(drop)
    }

    fn number(&mut self, session: &SessionId, epoch: u64, after: u64, runs: &[RunRow]) -> Applied {
        let head = runs.last().map_or(after, |run| run.first + run.len - 1);
        let sql =
            "UPDATE session SET head = ?5 WHERE id = ?1 AND principal = ?2 AND epoch = ?3 AND head = ?4";
        let params = params![session.as_str(), self.principal, n(epoch), n(after), n(head)];
        if self.run(sql, params)? != 1 {
            self.own(session, epoch)?;
            return Err(self.conflict());
        }
        let insert = "INSERT INTO run VALUES (?1, ?2, ?3, ?4, ?5)";
        let beyond = "SELECT 1 FROM job WHERE id = ?1 AND head < ?2";
        for (at, run) in runs.iter().enumerate() {
            let last = run.from.saturating_add(run.len).saturating_sub(1);
            if self.conn.prepare_cached(beyond)?.exists(params![run.job.as_str(), n(last)])? {
                return Err(self.conflict());
            }
            let params = params![session.as_str(), n(run.first), n(run.len), run.job.as_str(), n(run.from)];
            // Of several only the first can go on where another one ended.
            if at > 0 || self.run(EXTEND_RUN, params)? == 0 {
                self.run(insert, params)?;
                self.kept.runs(session.as_str(), 1);
            }
        }
        Ok(())
    }

    fn ack(&self, session: &SessionId, epoch: u64, seq: u64) -> Applied {
        let sql = "UPDATE session SET acked = max(acked, ?4)
            WHERE id = ?1 AND principal = ?2 AND epoch = ?3 AND head >= ?4";
        if self.run(sql, params![session.as_str(), self.principal, n(epoch), n(seq)])? != 1 {
            self.own(session, epoch)?;
            return Err(self.conflict());
        }
        Ok(())
    }

    /// Fenced unless `epoch` is the session's.
    fn own(&self, session: &SessionId, epoch: u64) -> Applied {
        let sql = "SELECT epoch FROM session WHERE id = ?1 AND principal = ?2";
        let mut sql = self.conn.prepare_cached(sql)?;
        let found = sql.query_row(params![session.as_str(), self.principal], |found| row::number(found, 0));
        let current = found.optional()?.unwrap_or(0);
        let owned = current == epoch && current != 0;
        if owned { Ok(()) } else { Err(Stop::Refused(StoreError::Fenced { current })) }
    }

    fn put_job(&self, row: &JobRow) -> Applied {
        let status = row::status_code(row.status).ok_or_else(|| self.conflict())?;
        let sql =
            "INSERT INTO job VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, 0, ?9, ?10, 0, 0, NULL, NULL, 0)
            ON CONFLICT (id) DO NOTHING";
        let params = params![
            row.id.as_str(),
            row.principal,
            row.session.as_str(),
            row.agent,
            row::bare(&row.agent),
            status,
            row.created_at.as_millis(),
            row.ended_at.map(Timestamp::as_millis),
            n(row.owner),
            row.trace_id.to_string(),
        ];
        if self.run(sql, params)? != 1 {
            return Err(self.conflict());
        }
        self.run("INSERT INTO job_body VALUES (?1, ?2)", params![row.id.as_str(), row.body.as_str()])
            .map(drop)
    }

    /// Why an operation on a job changed nothing.
    fn why_job(&self, job: &JobId, owner: u64) -> Stop {
        let find = || {
            let sql = "SELECT owner FROM job WHERE id = ?1 AND principal = ?2";
            let mut sql = self.conn.prepare_cached(sql)?;
            sql.query_row(params![job.as_str(), self.principal], |found| row::number(found, 0)).optional()
        };
        match find() {
            Ok(Some(current)) if current == owner => self.conflict(),
            Ok(current) => Stop::Refused(StoreError::Fenced { current: current.unwrap_or(0) }),
            Err(e) => Stop::Engine(e),
        }
    }

    fn claim(&self, row: &IdempotencyRow, now: Timestamp) -> Applied {
        let sql = "SELECT key, fingerprint, job, accepted, expires_at FROM idempotency
            WHERE principal = ?1 AND key = ?2 AND expires_at > ?3";
        let mut sql = self.conn.prepare_cached(sql)?;
        let there = sql.query_row(params![self.principal, row.key, now.as_millis()], row::key);
        if let Some(existing) = there.optional()? {
            return Err(Stop::Existing(existing));
        }
        let sql = "INSERT OR REPLACE INTO idempotency VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let params = params![
            self.principal,
            row.key,
            row.fingerprint,
            row.job.as_str(),
            row.accepted.as_str(),
            row.expires_at.as_millis(),
        ];
        self.run(sql, params).map(drop)
    }

    fn credential(&self, row: &CredentialRow, expect: Option<CredentialState>) -> Applied {
        let insert =
            "INSERT INTO credential VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
            ON CONFLICT (name) DO NOTHING";
        let update = "UPDATE credential SET profile = ?5, state = ?6, since = ?7, owner = ?8, handle = ?9,
                sealed = ?10, due = ?11, tries = ?12, error = ?13, created_at = ?14
            WHERE name = ?1 AND id = ?2 AND job = ?3 AND principal = ?4 AND state = ?15";
        let (sql, before) = match &expect {
            None => (insert, None),
            Some(before) => (update, Some(before.as_str())),
        };
        let columns = params![
            row.name,
            row.id.as_str(),
            row.job.as_str(),
            row.principal,
            row.profile,
            row.state.as_str(),
            row.since.as_millis(),
            n(row.owner),
            row.handle,
            row.sealed,
            row.due.map(Timestamp::as_millis),
            row.tries,
            row.error,
            row.created_at.as_millis(),
            before,
        ];
        let columns = if before.is_none() { &columns[..14] } else { columns };
        if self.run(sql, columns)? == 1 { Ok(()) } else { Err(self.conflict()) }
    }

    fn audit(&self, at: Timestamp, record: &Json) -> Applied {
        let sql = "INSERT INTO audit VALUES (NULL, ?1, ?2, ?3)";
        self.run(sql, params![at.as_millis(), self.principal, record.as_str()]).map(drop)
    }
}
