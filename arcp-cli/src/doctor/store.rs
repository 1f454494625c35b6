//! The store's file, and the disk that it is on.

use std::path::Path;

use arcp_store_sqlite::{OpenError, SqliteConfig, SqliteStore};
use arcp_tower::core::store::Store as _;

use super::finding::Finding;

/// Less than this, and a busy runtime will soon find the disk full.
const FREE: u64 = 1 << 30;

/// Looks at a store's file.
pub(super) fn look(db: &Path) -> Vec<Finding> {
    if !db.exists() {
        return vec![Finding::bad("file", format!("{} is not there", db.display()))];
    }
    let mut found = Vec::new();
    match SqliteStore::open(db, SqliteConfig::default()) {
        Ok(store) => {
            let caps = store.caps();
            let size = db.metadata().map(|meta| meta.len()).unwrap_or_default();
            let told = format!("{} opens, {size} bytes, durability {}", db.display(), caps.durability);
            found.push(Finding::good("file", told));
        }
        Err(OpenError::Held) => {
            let told = format!("{} is in use by another process, and was not looked at", db.display());
            found.push(Finding::warning("file", told).hint("stop the server, or look at a copy"));
        }
        Err(error) => found.push(Finding::bad("file", format!("{}: {error}", db.display()))),
    }
    match rustix::fs::statvfs(db) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            found.push(if free < FREE {
                Finding::warning("disk", format!("{} MiB are left", free >> 20))
            } else {
                Finding::good("disk", format!("{} GiB are left", free >> 30))
            });
        }
        Err(error) => found.push(Finding::warning("disk", error.to_string())),
    }
    found
}
