//! The thread that writes.
//!
//! What a failing COMMIT means. Busy and full are definite: nothing was done, and the connection
//! goes on. After anything else, a failing fsync above all, the transaction may be in the log or
//! not. So the file is healed, and the ids of the batches are looked up: those that are there are
//! done, and the others never will be. As long as the disk fails they are `Unknown`, because the
//! loss of power may still bring the transaction back. Repeating a batch is right in all cases.

mod heal;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use arcp_core::Timestamp;
use arcp_core::store::{Batch, Committed, Hash, Joined, Lapse, StoreError, Trim};
use futures_channel::oneshot;
use rusqlite::Connection;

use crate::checkpoint::{Signal, checkpoint};
use crate::error::{RETRY, is_definite, without_effect};
use crate::group::{Outcome, write};
use crate::ids::BatchIds;
use crate::lent::Lent;
use crate::open::{self, Held};
use crate::stats::{Counters, count};
use crate::vacuum::give_back;
use crate::{SqliteConfig, trim};

pub(crate) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

pub(crate) enum Command {
    Commit(Commit),
    Join(Lapse, Hash, Answer<Joined>),
    Trim(Timestamp, Trim, Answer<u64>),
}

pub(crate) struct Commit {
    pub(crate) batch: Batch,
    pub(crate) bytes: usize,
    pub(crate) answer: Answer<Committed>,
}

pub(crate) struct Writer {
    /// `None` after a fault, until the file is healed.
    conn: Option<Connection>,
    /// The connections of the other threads.
    beside: Vec<Arc<Lent>>,
    /// When the file could not be healed.
    unhealed: Option<Instant>,
    held: Held,
    config: SqliteConfig,
    ids: BatchIds,
    round: trim::Round,
    counters: Arc<Counters>,
    signal: Arc<Signal>,
    commands: Receiver<Command>,
    queued: Arc<AtomicUsize>,
    vacuum: Vec<(Answer<u64>, u64)>,
    packed: Vec<u8>,
    /// What went into the log since it began anew, in bytes, roughly.
    logged: u64,
    #[cfg(test)]
    pub(crate) fault: Arc<std::sync::Mutex<Option<Fault>>>,
}

/// What a test does to the next COMMIT.
#[cfg(test)]
#[derive(Debug)]
pub(crate) enum Fault {
    Undone,
    Done,
}

/// Bytes of pages that a transaction writes beside its payload, roughly.
const TOUCHED: u64 = 8 * crate::schema::PAGE;

impl Writer {
    pub(crate) fn new(
        (held, conn): (Held, Connection),
        config: SqliteConfig,
        (counters, signal): (Arc<Counters>, Arc<Signal>),
        beside: Vec<Arc<Lent>>,
        (commands, queued): (Receiver<Command>, Arc<AtomicUsize>),
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            ids: BatchIds::load(&conn)?,
            conn: Some(conn),
            round: trim::Round::default(),
            beside,
            unhealed: None,
            held,
            config,
            counters,
            signal,
            commands,
            queued,
            vacuum: Vec::new(),
            packed: Vec::new(),
            logged: 0,
            #[cfg(test)]
            fault: Arc::default(),
        })
    }

    /// Writes until the store is closed and everything is written.
    pub(crate) fn run(mut self) {
        let mut next = None;
        while let Some(command) = next.take().or_else(|| self.wait()) {
            match command {
                Command::Commit(first) => next = self.commit(first),
                Command::Join(lapse, secret, answer) => {
                    let joined = self.join(lapse, secret);
                    // Nobody waits if this fails, here and below.
                    let _ = answer.send(joined);
                }
                Command::Trim(now, what, answer) => match self.trim(now, what) {
                    Ok(gone) => self.vacuum.push((answer, gone)),
                    Err(e) => _ = answer.send(Err(e)),
                },
            }
            self.signal.written();
            self.vacuum_step();
            if self.signal.wants_restart() || self.logged > self.config.wal_bytes {
                self.restart_log();
            }
        }
        self.close();
    }

    /// The next command; gives pages back while there is none. `None` if the store is closed.
    fn wait(&mut self) -> Option<Command> {
        while !self.vacuum.is_empty() {
            if let Ok(command) = self.commands.try_recv() {
                return Some(command);
            }
            self.vacuum_step();
        }
        self.commands.recv().ok()
    }

    /// Commits what is queued as one group; returns the command that came behind it.
    fn commit(&mut self, first: Commit) -> Option<Command> {
        let (mut bytes, mut group, mut behind) = (first.bytes, vec![first], None);
        while group.len() < self.config.group && bytes < self.config.group_bytes {
            match self.commands.try_recv() {
                Ok(Command::Commit(commit)) => {
                    bytes += commit.bytes;
                    group.push(commit);
                }
                Ok(other) => {
                    behind = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
        self.logged += bytes as u64 + TOUCHED;
        let (batches, answers): (Vec<_>, Vec<_>) =
            group.into_iter().map(|commit| (commit.batch, commit.answer)).unzip();
        let outcomes = self.group(&batches);
        count(&self.counters.batches, batches.len());
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            let _ = answer.send(outcome);
        }
        behind
    }

    fn group(&mut self, batches: &[Batch]) -> Vec<Outcome> {
        let all = |e: &StoreError| vec![Err(e.clone()); batches.len()];
        if let Err(e) = self.connect() {
            return all(&e);
        }
        let Some(conn) = &self.conn else { return all(&RETRY) };
        let written = match write(conn, &self.ids, batches, &mut self.packed) {
            Ok(written) if written.applied.is_empty() => {
                self.undo();
                return written.outcomes;
            }
            Ok(written) => written,
            Err(e) => return self.failed(&e, batches),
        };
        match self.commit_now() {
            Ok(()) => {
                count(&self.counters.transactions, 1);
                self.ids.remember(written.pos, written.applied);
                written.outcomes
            }
            Err(e) if is_definite(&e) => self.failed(&e, batches),
            Err(e) => {
                tracing::error!(error = %e, batches = batches.len(), "a commit failed, looking what came of it");
                self.conn = None;
                self.resolve(batches)
            }
        }
    }

    fn commit_now(&mut self) -> rusqlite::Result<()> {
        let Some(conn) = &self.conn else { return Err(rusqlite::Error::InvalidQuery) };
        #[cfg(test)]
        if let Some(fault) = self.fault.lock().unwrap().take() {
            conn.execute_batch(match fault {
                Fault::Undone => "ROLLBACK",
                Fault::Done => "COMMIT",
            })?;
            let io = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
            return Err(rusqlite::Error::SqliteFailure(io, None));
        }
        conn.prepare_cached("COMMIT")?.execute([]).map(drop)
    }

    /// Nothing was committed. A batch too large for the room that is left takes no neighbour along.
    fn failed(&mut self, e: &rusqlite::Error, batches: &[Batch]) -> Vec<Outcome> {
        self.undo();
        let error = without_effect(e);
        tracing::warn!(error = %e, batches = batches.len(), "batches could not be written");
        if error == StoreError::Full && batches.len() > 1 {
            return batches.iter().flat_map(|one| self.group(std::slice::from_ref(one))).collect();
        }
        if !is_definite(e) {
            self.conn = None;
        }
        vec![Err(error); batches.len()]
    }

    /// Undoes an open transaction; SQLite may have done it already.
    fn undo(&mut self) {
        if let Some(conn) = &self.conn
            && !conn.is_autocommit()
            && let Err(e) = conn.execute_batch("ROLLBACK")
        {
            tracing::error!(error = %e, "a transaction could not be undone");
            self.conn = None;
        }
    }

    fn join(&mut self, lapse: Lapse, secret: Hash) -> Result<Joined, StoreError> {
        self.connect()?;
        let expiry = "UPDATE session SET expires_at = CASE
                WHEN acked >= head AND NOT EXISTS (SELECT 1 FROM feed WHERE feed.session = session.id) THEN ?1
                ELSE ?2 END
            WHERE expires_at IS NULL";
        let sql = "UPDATE meta SET value = value + 1 WHERE key = 'owners' RETURNING value";
        // A number that nobody got is no harm, so a repeat is always right.
        self.one(|conn| {
            conn.execute(expiry, [lapse.caught_up.as_millis(), lapse.pending.as_millis()])?;
            conn.execute("INSERT INTO secret VALUES (0, ?1) ON CONFLICT DO NOTHING", [secret])?;
            let owner = conn.query_row(sql, [], |row| crate::row::number(row, 0))?;
            let secret = conn.query_row("SELECT value FROM secret", [], |row| row.get(0))?;
            Ok(Joined { owner, secret })
        })
    }

    fn trim(&mut self, now: Timestamp, mut what: Trim) -> Result<u64, StoreError> {
        self.connect()?;
        // A file that is not to pass some size has to be thinned before it is full.
        let room = self.config.max_bytes.map_or(u64::MAX, |bytes| bytes / 4 * 3);
        what.bounds.bytes = what.bounds.bytes.min(room);
        let (ids, mut round) = (std::mem::take(&mut self.ids), std::mem::take(&mut self.round));
        let trimmed = self.one(|conn| Ok((ids.trim(conn, now)?, trim::trim(conn, &mut round, now, what)?)));
        (self.ids, self.round) = (ids, round);
        let (through, gone) = trimmed?;
        Ok(gone + self.ids.forget(through, now))
    }

    /// A transaction of its own.
    fn one<T>(&mut self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let Some(conn) = &mut self.conn else { return Err(RETRY) };
        let done = (|| {
            let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let value = work(&tx)?;
            tx.commit()?;
            Ok(value)
        })();
        done.map_err(|e| {
            tracing::warn!(error = %e, "a transaction failed");
            if !is_definite(&e) {
                self.conn = None;
            }
            without_effect(&e)
        })
    }

    /// Gives some free pages back, and answers those who trimmed when none is left.
    fn vacuum_step(&mut self) {
        if self.vacuum.is_empty() || self.signal.is_suspect() {
            return self.vacuumed();
        }
        let more = self.conn.as_ref().map_or(Ok(false), give_back).unwrap_or_else(|e| {
            tracing::warn!(error = %e, "free pages could not be given back");
            false
        });
        if !more {
            self.vacuumed();
        }
        self.signal.written();
    }

    fn vacuumed(&mut self) {
        for (answer, gone) in self.vacuum.drain(..) {
            let _ = answer.send(Ok(gone));
        }
    }

    fn restart_log(&mut self) {
        let Some(conn) = self.conn.as_ref().filter(|_| !self.signal.is_suspect()) else { return };
        let restart = || {
            // It is not worth a long wait for a reader: the log is only longer for it.
            conn.busy_timeout(Duration::from_millis(20))?;
            let restarted = checkpoint(conn, "RESTART");
            conn.busy_timeout(Duration::from_secs(5))?;
            restarted
        };
        self.logged = match restart() {
            Ok(Some(_)) => 0,
            // Soon again, and not at once.
            Ok(None) => self.config.wal_bytes / 8 * 7,
            Err(e) => {
                self.signal.failed(&e);
                self.config.wal_bytes / 8 * 7
            }
        };
        count(&self.counters.checkpoints, 1);
    }

    /// Leaves everything in the file. What could not be copied is copied when it is opened next.
    fn close(mut self) {
        self.unhealed = None;
        if let Err(e) = self.connect() {
            tracing::warn!(error = %e, "the log stays beside the file");
            return;
        }
        self.vacuum_step();
        self.vacuumed();
        self.beside.iter().for_each(|lent| drop(lent.close()));
        let Some(conn) = self.conn.take() else { return };
        let copied =
            checkpoint(&conn, "TRUNCATE").and_then(|all| all.map_or(Ok(()), |_| open::finish(&conn)));
        if let Err(e) = copied {
            tracing::warn!(error = %e, "the log stays beside the file");
        }
        if let Err((_, e)) = conn.close() {
            tracing::warn!(error = %e, "the file could not be closed");
        }
    }
}
