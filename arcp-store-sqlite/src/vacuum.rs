//! Gives free pages back to the file system.

use rusqlite::Connection;

/// Free pages that are kept for what comes next.
const SLACK: i64 = 64;
/// Free pages that are given back at a time, between commits.
const STEP: i64 = 512;

/// Gives a step of free pages back; returns whether there is more.
pub(crate) fn give_back(conn: &Connection) -> rusqlite::Result<bool> {
    let free = |conn: &Connection| conn.pragma_query_value(None, "freelist_count", |row| row.get(0));
    let before: i64 = free(conn)?;
    let surplus = before - SLACK;
    if surplus <= 0 {
        return Ok(false);
    }
    let mut vacuum = conn.prepare(&format!("PRAGMA incremental_vacuum({})", surplus.min(STEP)))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    let after: i64 = free(conn)?;
    Ok(after < before && after > SLACK)
}
