//! Opening the file: one process at a time, and errors that say what is the matter.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::checkpoint::checkpoint;
use crate::{OpenError, SqliteConfig, schema};

/// The first SQLite without the fault that can damage a file whose log is copied by one connection
/// while another writes.
const OLDEST: i32 = 3_051_003;

/// The file, held by this process until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    /// By its one name, without links.
    pub(crate) path: PathBuf,
    lock: File,
}

impl Held {
    /// Whether there is no room. SQLite does not say so where it fails to make its shared memory.
    fn is_full(&self) -> bool {
        let written = (&self.lock).write_all(&[0]).and_then(|()| self.lock.set_len(0));
        written.is_err_and(|e| matches!(OpenError::from(e), OpenError::Full))
    }
}

/// Takes the file, makes it if it is not there, and returns the connection that writes.
pub(crate) fn open(path: &Path, config: &SqliteConfig) -> Result<(Held, Connection), OpenError> {
    if rusqlite::version_number() < OLDEST {
        return Err(OpenError::OldSqlite { found: rusqlite::version() });
    }
    let held = hold(path)?;
    match set_up(&held.path, config) {
        Ok(conn) => Ok((held, conn)),
        Err(OpenError::Sqlite(_)) if held.is_full() => Err(OpenError::Full),
        Err(e) => Err(e),
    }
}

fn set_up(path: &Path, config: &SqliteConfig) -> Result<Connection, OpenError> {
    let mut conn = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
    if conn.is_readonly("main")? {
        return Err(OpenError::ReadOnly);
    }
    schema::set_up(&conn)?;
    schema::migrate(&mut conn)?;
    writer_of(&conn, config)?;
    // Of a log that is left over some may never have reached the disk; what is written behind that
    // would be lost with the power.
    if checkpoint(&conn, "TRUNCATE")?.is_none() {
        tracing::warn!("somebody reads the file, so that its log cannot be emptied");
    }
    Ok(conn)
}

/// The log is empty: it may go when the last connection is closed.
pub(crate) fn finish(conn: &Connection) -> rusqlite::Result<()> {
    keep_log(conn, false)
}

/// The last connection that is closed copies the log, and removes it, even if nobody knows whether
/// what was copied before is in the file.
fn keep_log(conn: &Connection, keep: bool) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep).map(drop)
}

/// Another connection that writes: after a fault, and for checkpoints.
pub(crate) fn reopen(path: &Path, config: &SqliteConfig) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
    writer_of(&conn, config)?;
    Ok(conn)
}

/// A connection that reads.
pub(crate) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_ONLY))?;
    schema::set_up(&conn)?;
    keep_log(&conn, true)?;
    Ok(conn)
}

fn writer_of(conn: &Connection, config: &SqliteConfig) -> rusqlite::Result<()> {
    keep_log(conn, true)?;
    schema::set_up_writer(conn, config.wal_bytes)?;
    if let Some(bytes) = config.max_bytes {
        let pages = i64::try_from(bytes / schema::PAGE).unwrap_or(i64::MAX).clamp(1, 0xffff_fffe);
        conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    Ok(())
}

/// Each connection stays on one thread at a time, so SQLite need not lock it.
fn flags(mode: OpenFlags) -> OpenFlags {
    mode | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE
}

/// Locks a file beside the database: SQLite's own locks come and go with transactions.
fn hold(path: &Path) -> Result<Held, OpenError> {
    // Ours alone: it holds what tokens and message ids are made of.
    private(path)?;
    // A file has one lock, by whichever name it is opened; and only a file that is there has one name.
    let path = path.canonicalize()?;
    let mut name = OsString::from(&path);
    name.push(".lock");
    let lock = private(Path::new(&name))?;
    match lock.try_lock() {
        Ok(()) => Ok(Held { path, lock }),
        Err(TryLockError::WouldBlock) => Err(OpenError::Held),
        Err(TryLockError::Error(e)) => Err(e.into()),
    }
}

fn private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
