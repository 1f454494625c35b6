//! One transaction for many batches.

use arcp_core::store::{Batch, Committed, OpResult, StoreError};
use rusqlite::Connection;

use crate::apply::{Stop, apply};
use crate::ids::BatchIds;
use crate::kept::Changes;

pub(crate) type Outcome = Result<Committed, StoreError>;

/// A transaction that awaits its COMMIT.
pub(crate) struct Written {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) applied: Vec<u128>,
    /// The place of their ids.
    pub(crate) pos: i64,
}

/// Everything but the COMMIT.
pub(crate) fn write(
    conn: &Connection,
    ids: &BatchIds,
    batches: &[Batch],
    packed: &mut Vec<u8>,
) -> rusqlite::Result<Written> {
    let run = |sql| conn.prepare_cached(sql)?.execute([]).map(drop);
    run("BEGIN IMMEDIATE")?;
    let (mut outcomes, mut applied): (Vec<Outcome>, _) = (Vec::with_capacity(batches.len()), Vec::new());
    let mut kept = Changes::default();
    for batch in batches {
        if ids.has(batch.id) || applied.contains(&batch.id) {
            outcomes.push(Ok(Committed::default()));
            continue;
        }
        run("SAVEPOINT batch")?;
        let mut changes = Changes::default();
        outcomes.push(match apply(conn, batch, packed, &mut changes) {
            Ok(()) => {
                kept.add(changes);
                applied.push(batch.id);
                run("RELEASE batch")?;
                Ok(Committed::default())
            }
            Err(Stop::Engine(e)) => return Err(e),
            Err(stop) => {
                run("ROLLBACK TO batch")?;
                run("RELEASE batch")?;
                match stop {
                    Stop::Existing(row) => Ok(Committed { results: vec![OpResult::Existing(row)] }),
                    Stop::Refused(e) => Err(e),
                    Stop::Engine(e) => return Err(e),
                }
            }
        });
    }
    kept.write(conn)?;
    let pos = if applied.is_empty() { 0 } else { ids.write(conn, &applied)? };
    Ok(Written { outcomes, applied, pos })
}
