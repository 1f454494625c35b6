//! What can go wrong, and what it means.

use std::io;
use std::time::Duration;

use arcp_core::store::StoreError;
use rusqlite::ErrorCode;

/// Why a file could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The SQLite that was linked can damage a file that one connection writes while another
    /// copies its log.
    #[error("SQLite {found} is too old: 3.51.3 is the oldest that is safe here")]
    OldSqlite {
        /// Its version.
        found: &'static str,
    },
    /// A newer version of this crate wrote the file.
    #[error("the file has schema {found}, and this version knows none above {known}")]
    Newer {
        /// The schema of the file.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// The file is no SQLite database, or a damaged one.
    #[error("the file is no database, or a damaged one")]
    NotADatabase,
    /// The file is a database of something else.
    #[error("the file is a database of another application")]
    Foreign,
    /// Another process has it open, or this one does already.
    #[error("the file is in use by another process")]
    Held,
    /// The file or its folder cannot be written.
    #[error("the file or its folder cannot be written")]
    ReadOnly,
    /// There is no room for it.
    #[error("the disk is full")]
    Full,
    /// Its folder is not there, or the disk failed.
    #[error("the file cannot be opened")]
    Io(#[source] io::Error),
    /// SQLite refused for another reason.
    #[error("SQLite cannot open the file")]
    Sqlite(#[source] rusqlite::Error),
}

impl From<io::Error> for OpenError {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(e),
        }
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(e: rusqlite::Error) -> Self {
        match e.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::NotADatabase,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly,
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Held,
            _ => Self::Sqlite(e),
        }
    }
}

/// When it may be worth a try after a queue was full or the disk failed.
pub(crate) const RETRY: StoreError = StoreError::Unavailable { retry_after: Duration::from_millis(100) };

/// What an error means when nothing can have been changed: a read, or a write that was not committed.
pub(crate) fn without_effect(e: &rusqlite::Error) -> StoreError {
    match e {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => StoreError::Corrupt(e.to_string()),
        _ => match e.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(e.to_string()),
            _ => RETRY,
        },
    }
}

/// Whether a transaction that failed so was not done, so that the connection may go on.
pub(crate) fn is_definite(e: &rusqlite::Error) -> bool {
    use ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull};
    matches!(e.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked | DiskFull))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who is root may write everything, so that the file system cannot show it.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_or_folder_that_may_not_be_written_is_read_only_and_a_full_disk_is_full() {
        let [eperm, enoent, eio, eacces, enospc, erofs, edquot] = [1, 2, 5, 13, 28, 30, 122];
        let of = |errno| OpenError::from(io::Error::from_raw_os_error(errno));
        for errno in [eacces, eperm, erofs] {
            assert!(matches!(of(errno), OpenError::ReadOnly), "{errno}");
        }
        for errno in [enospc, edquot] {
            assert!(matches!(of(errno), OpenError::Full), "{errno}");
        }
        for errno in [enoent, eio] {
            assert!(matches!(of(errno), OpenError::Io(_)), "{errno}");
        }
    }

    #[test]
    fn what_sqlite_may_not_write_is_read_only_too() {
        use rusqlite::ffi;
        let sqlite = |code| OpenError::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        for code in [ffi::SQLITE_READONLY, ffi::SQLITE_PERM, ffi::SQLITE_READONLY_DIRECTORY] {
            assert!(matches!(sqlite(code), OpenError::ReadOnly), "{code}");
        }
        assert!(matches!(sqlite(ffi::SQLITE_FULL), OpenError::Full));
        assert!(matches!(sqlite(ffi::SQLITE_NOTADB), OpenError::NotADatabase));
    }
}
