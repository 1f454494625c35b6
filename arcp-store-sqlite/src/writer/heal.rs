//! What there is to be done after an fsync that failed.
//!
//! What a failed fsync was asked for may never be written, and the next one does not say so: the
//! system takes the pages for clean (fsync(2)). Two things follow.
//!
//! * The pages of a COMMIT that failed lie behind the end of the log. Whoever reads the log anew
//!   finds them there and takes them for done; and what is written behind them is lost with the
//!   power, because the log ends for its reader where a page is missing.
//! * A checkpoint that does not reach the end of the log copies pages and leaves them to be synced
//!   by one that does. If that sync fails, the index of the log still says that they were copied,
//!   and the log may be written over.
//!
//! So the writer writes something behind the end of the log, which also shows that the disk works;
//! then all connections are closed, so that the index is made anew and knows of nothing that was
//! copied; and then everything is copied, synced, and the log emptied. Nothing is committed before.

use std::time::{Duration, Instant};

use arcp_core::store::{Batch, Committed, StoreError};
use rusqlite::{Connection, ffi};

use super::Writer;
use crate::checkpoint::checkpoint;
use crate::error::{RETRY, without_effect};
use crate::group::Outcome;
use crate::open::reopen;
use crate::stats::count;

/// How long a disk that still fails is left alone.
const PAUSE: Duration = Duration::from_millis(100);

impl Writer {
    /// There is a connection, and all is well with the file.
    pub(super) fn connect(&mut self) -> Result<(), StoreError> {
        if self.conn.is_some() && !self.signal.is_suspect() {
            return Ok(());
        }
        if self.unhealed.is_some_and(|at| at.elapsed() < PAUSE) {
            return Err(RETRY);
        }
        let healed = self.heal();
        self.unhealed = healed.is_err().then(Instant::now);
        healed.map_err(|e| {
            tracing::warn!(error = %e, "the disk still fails");
            without_effect(&e)
        })
    }

    fn heal(&mut self) -> rusqlite::Result<()> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => reopen(&self.held.path, &self.config)?,
        };
        fence(&conn)?;
        drop(conn);
        let beside: Vec<_> = self.beside.iter().map(|lent| lent.close()).collect();
        let conn = reopen(&self.held.path, &self.config)?;
        if checkpoint(&conn, "TRUNCATE")?.is_none() {
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None));
        }
        self.ids.catch_up(&conn)?;
        self.conn = Some(conn);
        self.signal.cleared();
        self.logged = 0;
        count(&self.counters.reopened, 1);
        drop(beside);
        Ok(())
    }

    /// Looks up what came of batches whose COMMIT failed. What is not there will not come back.
    pub(super) fn resolve(&mut self, batches: &[Batch]) -> Vec<Outcome> {
        let known = self.connect().is_ok();
        let outcome = |batch: &Batch| match (known, self.ids.has(batch.id)) {
            (false, _) => Err(StoreError::Unknown),
            (true, true) => Ok(Committed::default()),
            (true, false) => Err(RETRY),
        };
        batches.iter().map(outcome).collect()
    }
}

/// Writes over what may lie behind the end of the log.
fn fence(conn: &Connection) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta VALUES ('fences', 1) ON CONFLICT(key) DO UPDATE SET value = value + 1";
    conn.execute(sql, []).map(drop)
}
