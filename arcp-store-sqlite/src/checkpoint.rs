//! Copies the write-ahead log into the file, beside the commits.
//!
//! A passive checkpoint copies ahead and waits for nobody, but a busy writer never lets the log
//! begin anew; when it has become large the writer itself restarts it, with little left to copy.
//! After one that the disk failed there is no other until the writer has healed the file.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;

use crate::error::is_definite;
use crate::lent::Lent;
use crate::stats::{Counters, count};
use crate::{OpenError, SqliteConfig, schema};

const PAUSE: Duration = Duration::from_millis(100);

/// The thread that makes checkpoints.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

/// What the writer and the checkpoints tell each other.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    state: Mutex<State>,
    changed: Condvar,
    restart: AtomicBool,
    suspect: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    written: bool,
    closed: bool,
}

impl Signal {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is something to copy.
    pub(crate) fn written(&self) {
        let mut state = self.lock();
        if !state.written {
            state.written = true;
            self.changed.notify_all();
        }
    }

    /// Whether the writer should restart the log; `true` once.
    pub(crate) fn wants_restart(&self) -> bool {
        self.restart.swap(false, Ordering::Relaxed)
    }

    /// A checkpoint failed. Unless there was no room, or somebody in the way, what was copied before
    /// may not be in the file: see `heal`.
    pub(crate) fn failed(&self, e: &rusqlite::Error) {
        tracing::warn!(error = %e, "a checkpoint failed");
        if !is_definite(e) {
            self.suspect.store(true, Ordering::SeqCst);
        }
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::SeqCst)
    }

    /// Everything is in the file.
    pub(crate) fn cleared(&self) {
        self.suspect.store(false, Ordering::SeqCst);
    }

    /// Waits until there is something to copy, and then a little, so that it is worth it. `false`
    /// if the store is closed.
    fn wait(&self) -> bool {
        let state = self.lock();
        let idle = |state: &mut State| !state.written && !state.closed;
        let state = self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        let paused = self.changed.wait_timeout_while(state, PAUSE, |state| !state.closed);
        let (mut state, _) = paused.unwrap_or_else(PoisonError::into_inner);
        state.written = false;
        !state.closed
    }
}

/// Makes a checkpoint; returns how many pages are in the log, `None` if somebody was in the way and
/// some were not copied.
pub(crate) fn checkpoint(conn: &Connection, how: &str) -> rusqlite::Result<Option<u64>> {
    let sql = format!("PRAGMA wal_checkpoint({how})");
    conn.query_row(&sql, [], |row| {
        let (busy, log): (bool, i64) = (row.get(0)?, row.get(1)?);
        Ok(if busy { None } else { u64::try_from(log).ok() })
    })
}

impl Checkpointer {
    pub(crate) fn start(
        lent: Arc<Lent>,
        config: &SqliteConfig,
        counters: Arc<Counters>,
    ) -> Result<Self, OpenError> {
        let signal = Arc::new(Signal::default());
        let most = (config.wal_bytes / schema::PAGE).max(1);
        let shared = Arc::clone(&signal);
        let work = move || {
            while shared.wait() {
                // What failed is noted before anybody else can make another.
                let done = lent.with(|conn| {
                    if shared.is_suspect() {
                        return;
                    }
                    match checkpoint(conn, "PASSIVE") {
                        Ok(Some(log)) if log > most => shared.restart.store(true, Ordering::Relaxed),
                        Ok(_) => {}
                        // It stays in the log, and the next one copies it.
                        Err(e) => shared.failed(&e),
                    }
                });
                if let Err(e) = done {
                    tracing::warn!(error = %e, "no checkpoint could be made");
                }
                count(&counters.checkpoints, 1);
            }
        };
        let thread = Builder::new().name("arcp-store-checkpoint".into()).spawn(work)?;
        Ok(Self { signal, thread: Some(thread) })
    }

    pub(crate) fn signal(&self) -> Arc<Signal> {
        Arc::clone(&self.signal)
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.signal.lock().closed = true;
        self.signal.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It ended either way.
            let _ = thread.join();
        }
    }
}
