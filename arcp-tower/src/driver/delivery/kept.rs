//! What a connection asks of its store, and how it is closed if that fails.

use std::sync::Arc;

use arcp_core::Event;
use arcp_core::store::{Batch, Store, StoreError, StoredEvent};
use arcp_core::transport::Close;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::runtime::{JobStream, commit_patiently};

/// Writes numbers behind events that are under way. If the store takes its own order they wait for
/// the events. `false` if they were not written.
pub(super) async fn keep_early(
    store: Arc<dyn Store>,
    batch: Batch,
    log: Arc<JobStream>,
    upto: u64,
) -> Result<bool, Close> {
    let mut done = commit_patiently(store.clone(), batch.clone()).await;
    if matches!(done, Err(StoreError::Conflict { .. })) {
        if !log.arrives(upto).await {
            return Ok(false);
        }
        done = commit_patiently(store, batch).await;
    }
    match done {
        Ok(_) => {}
        // The numbers are not there, and were not given. The events will be told, or their end will.
        Err(StoreError::Full | StoreError::Unavailable { .. }) => return Ok(false),
        Err(e) => return Err(close_for(&e)),
    }
    // A log that broke off has its end at that place by now: it is not what was to be sent.
    if log.arrived(upto) == Some(false) {
        return Err(Close::new(Close::INTERNAL, "the store failed; resume later"));
    }
    Ok(true)
}

pub(super) fn load(
    store: Arc<dyn Store>,
    log: Arc<JobStream>,
    from: u64,
    bytes: usize,
) -> BoxFuture<'static, Result<Vec<Event>, Close>> {
    async move {
        let page = store.job_events(log.job_id(), from - 1, bytes).await.map_err(|e| close_for(&e))?;
        if page.floor >= from {
            // The bounds forced them out.
            return Err(behind());
        }
        if page.items.is_empty() {
            let damage = StoreError::Corrupt("events that were written are not there".to_owned());
            return Err(close_for(&damage));
        }
        let event = |stored: StoredEvent| stored.into_event(log.job_id().clone(), log.trace_id());
        Ok(page.items.into_iter().map(event).collect())
    }
    .boxed()
}

pub(super) fn behind() -> Close {
    Close::new(Close::LAGGING, "too far behind; resume, or watch again")
}

pub(super) fn taken_over() -> Close {
    Close::new(Close::TAKEN_OVER, "the session was resumed elsewhere")
}

pub(super) fn close_for(e: &StoreError) -> Close {
    tracing::warn!(error = %e, "a session's numbers could not be kept");
    match e {
        // The session went with what it had yet to be sent.
        StoreError::Fenced { current: 0 } => behind(),
        StoreError::Fenced { .. } => taken_over(),
        _ => Close::new(Close::INTERNAL, "the store failed; resume later"),
    }
}
