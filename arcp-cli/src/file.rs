//! The file that a runtime kept sessions and jobs in.

use std::path::Path;

use anyhow::Context as _;
use arcp_store_sqlite::{OpenError, SqliteConfig, SqliteStore};

use crate::exit::{Exit, Failure};

/// Opens a file that has to be there.
pub(crate) fn open(db: &Path) -> anyhow::Result<SqliteStore> {
    let shown = db.display();
    if !db.exists() {
        return Err(Failure::new(Exit::Usage, format!("{shown} is not there")).into());
    }
    match SqliteStore::open(db, SqliteConfig::default()) {
        Err(OpenError::Held) => {
            let message = format!(
                "{shown} is in use by another process, such as a running server: stop it, or look at a copy \
                 of the file and its -wal, such as `sqlite3 {shown} '.backup copy.db'` makes"
            );
            Err(Failure::new(Exit::Refused, message).into())
        }
        opened => opened.with_context(|| format!("cannot read {shown}")),
    }
}
