//! Writing to a store that may fail.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::{Batch, Committed, Op, SessionRow, Store, StoreError};
use arcp_core::{Code, Error};

use super::Journal;
use crate::random;
use crate::telemetry::{self, Timer};

/// How often a batch is tried before it counts as failed.
const TRIES: u32 = 8;

/// Commits a batch. What may pass is waited out, and a commit of which nobody knows whether it
/// happened is repeated under the same id: the store sees to it that it happens once.
///
/// # Errors
/// The last one; but [`StoreError::Unknown`] if any try may have done it. Then only a read can tell.
pub(crate) async fn commit_patiently(store: Arc<dyn Store>, batch: Batch) -> Result<Committed, StoreError> {
    let (mut wait, mut known) = (Duration::from_millis(10), true);
    let mut tries = 0;
    loop {
        let since = Timer::start();
        let done = store.commit(batch.clone()).await;
        telemetry::commit(done.as_ref().err(), since);
        let failure = match done {
            Err(e @ (StoreError::Full | StoreError::Unknown)) => (e, wait),
            Err(e @ StoreError::Unavailable { retry_after }) => (e, retry_after.max(wait)),
            done => return done,
        };
        known &= failure.0 != StoreError::Unknown;
        tries += 1;
        if tries == TRIES {
            return Err(if known { failure.0 } else { StoreError::Unknown });
        }
        tracing::warn!(error = %failure.0, "a commit is repeated");
        tokio::time::sleep(failure.1).await;
        wait = (wait * 2).min(Duration::from_secs(1));
    }
}

/// What a client is told of a failure of the store.
pub(crate) fn refused(e: &StoreError) -> Error {
    tracing::warn!(error = %e, "the store refused a request");
    Error::new(Code::InternalError, "the request could not be kept").with_detail("reason", "store")
}

/// Writes a session's row, and beside it what is to be recorded. `false` if another connection took the
/// session over before.
pub(super) async fn put_session(
    journal: &Journal,
    row: SessionRow,
    expect: u64,
    record: Option<Op>,
) -> Result<bool, Error> {
    let principal = row.principal.clone();
    let ops = std::iter::once(Op::PutSession { row, expect }).chain(record).collect();
    let batch = Batch { id: random::bits(), principal, ops };
    match commit_patiently(journal.store.clone(), batch).await {
        Ok(_) => Ok(true),
        Err(StoreError::Fenced { .. }) => Ok(false),
        Err(e) => Err(refused(&e)),
    }
}

/// Two connections want the session at once, perhaps two attempts of the same client. Who lost must
/// not think that it is gone; who is still there tries again.
pub(super) fn contended() -> Error {
    Error::new(Code::InternalError, "the session is being resumed elsewhere; try again").with_retryable(true)
}
