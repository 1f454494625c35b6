//! The connections of the threads beside the writer.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use crate::{SqliteConfig, open};

/// A connection that its thread has for as long as it works, and that the writer can close in
/// between. It is opened again when it is needed.
#[derive(Debug)]
pub(crate) struct Lent {
    path: PathBuf,
    /// Of one that makes checkpoints; the others read.
    writes: Option<SqliteConfig>,
    conn: Mutex<Option<Connection>>,
}

impl Lent {
    pub(crate) fn reader(path: &Path) -> rusqlite::Result<Arc<Self>> {
        Self::open(Self { path: path.to_owned(), writes: None, conn: Mutex::default() })
    }

    pub(crate) fn checkpointer(path: &Path, config: &SqliteConfig) -> rusqlite::Result<Arc<Self>> {
        Self::open(Self { path: path.to_owned(), writes: Some(config.clone()), conn: Mutex::default() })
    }

    fn open(self) -> rusqlite::Result<Arc<Self>> {
        self.with(|_| ())?;
        Ok(Arc::new(self))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        self.conn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works with it; it stays open meanwhile.
    ///
    /// # Errors
    /// If it was closed and cannot be opened.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&Connection) -> T) -> rusqlite::Result<T> {
        let mut held = self.lock();
        let conn = match held.take() {
            Some(conn) => conn,
            None => match &self.writes {
                Some(config) => open::reopen(&self.path, config)?,
                None => open::reader(&self.path)?,
            },
        };
        Ok(work(held.insert(conn)))
    }

    /// Waits until it is not used, and closes it; it stays closed until what is returned is dropped.
    pub(crate) fn close(&self) -> impl Sized + '_ {
        let mut held = self.lock();
        *held = None;
        held
    }
}
