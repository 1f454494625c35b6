//! Keeping a child in the store.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::Error;
use arcp_core::store::{Batch, FeedRow, Op, StoreError};

use crate::agent::Job;
use crate::random;
use crate::runtime::body::JobBody;
use crate::runtime::credential::Minted;
use crate::runtime::registry::JobRecord;
use crate::runtime::{Journal, Runtime, commit_patiently, refused};

/// How often, and after what time, a child is kept again whose session is being taken over.
const TRIES: usize = 20;
const WAIT: Duration = Duration::from_millis(100);

/// Whether the store has a child.
pub(super) enum Kept {
    Yes,
    No(Error),
    /// Nobody knows yet.
    Unsure(Error, Arc<Journal>),
}

/// Keeps the child in the store, if there is one.
pub(super) async fn keep(
    runtime: &Runtime,
    parent: &Job,
    record: &Arc<JobRecord>,
    body: &JobBody,
    follows: bool,
    minted: &Minted,
) -> Kept {
    let Some(journal) = &runtime.0.journal else {
        return minted.record().await.map_or_else(Kept::No, |()| Kept::Yes);
    };
    let session = parent.session();
    let principal = record.principal.name().to_owned();
    let row = match body.row(record, journal.owner) {
        Ok(row) => row,
        Err(e) => return Kept::No(e),
    };
    journal.written.add(row.body.as_str().len());
    let batch = || {
        let mut ops = vec![Op::PutJob { row: row.clone() }];
        if follows {
            let feed = FeedRow { job: record.id.clone(), principal: principal.clone(), next: 1, own: true };
            ops.push(Op::PutFeed { session: session.id().clone(), epoch: session.stored_epoch(), feed });
        }
        ops.extend(minted.ops());
        Batch { id: random::bits(), principal: principal.clone(), ops }
    };
    let mut done = commit_patiently(journal.store.clone(), batch()).await;
    for _ in 0..TRIES {
        if !follows || !matches!(done, Err(StoreError::Fenced { .. })) {
            break;
        }
        // Another connection is taking the session over. That is no reason for a job to fail (§6.4): it has
        // the new epoch in a moment.
        tokio::time::sleep(WAIT).await;
        done = commit_patiently(journal.store.clone(), batch()).await;
    }
    match done {
        Ok(_) => Kept::Yes,
        // It may have happened: the store is asked.
        Err(e @ StoreError::Unknown) => match journal.store.job(&principal, &record.id).await {
            Ok(Some(_)) => Kept::Yes,
            Ok(None) => Kept::No(refused(&e)),
            Err(_) => Kept::Unsure(refused(&e), journal.clone()),
        },
        Err(e) => Kept::No(refused(&e)),
    }
}
