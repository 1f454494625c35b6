//! A submit that was refused because nobody knew whether the store had kept it (§7.1).

use std::sync::Arc;
use std::time::Duration;

use arcp_core::job::{FinalStatus, Status};
use arcp_core::store::{Batch, Op};
use arcp_core::wire::job::JobError;
use arcp_core::{Code, Error, Event, Json, MessageType, Timestamp};

use super::registry::{JobRecord, Registry};
use super::{Journal, commit_patiently};
use crate::random;

/// How long the store is left alone between two questions.
const RETRY: Duration = Duration::from_secs(1);

/// A job that was refused, and may be in the store all the same. It stays known until the store says
/// so: whoever repeats the submit meanwhile finds it, and is told how it ended.
pub(super) struct Unsure {
    pub(super) record: Arc<JobRecord>,
    pub(super) key: Option<String>,
    pub(super) registry: Arc<Registry>,
    pub(super) journal: Arc<Journal>,
}

impl Unsure {
    /// Asks until the store answers. A job that is there ends with an error, and its key is free.
    pub(super) async fn settle(self, now: Timestamp) {
        let Self { record, registry, journal, .. } = &self;
        let (principal, job_id) = (record.principal.name(), &record.id);
        let stored = loop {
            match journal.store.job(principal, job_id).await {
                Ok(found) => break found.is_some(),
                Err(error) => tracing::debug!(%job_id, %error, "whether a job was kept is not known yet"),
            }
            tokio::time::sleep(RETRY).await;
        };
        if !stored {
            registry.remove(record);
            return record.over.cancel();
        }
        tracing::warn!(%job_id, "a job that was refused had been kept; it ends");
        self.free_key().await;
        if let Ok(event) = self.end(now)
            && record.finish(FinalStatus::Error).is_some()
            && let Err(error) = record.log.end(event, Status::Error)
        {
            tracing::error!(%job_id, %error, "a terminal message could not be written");
        }
        registry.ended(record);
        record.over.cancel();
    }

    async fn free_key(&self) {
        let Some(key) = self.key.clone() else { return };
        let principal = self.record.principal.name().to_owned();
        let batch = Batch { id: random::bits(), principal, ops: vec![Op::DropIdempotency { key }] };
        // Otherwise a repeat gets this job, which has ended.
        if let Err(error) = commit_patiently(self.journal.store.clone(), batch).await {
            tracing::warn!(%error, job_id = %self.record.id, "the key of a refused job is still taken");
        }
    }

    fn end(&self, now: Timestamp) -> Result<Event, Error> {
        let error = Error::new(Code::InternalError, "the job was refused: it could not be kept for certain");
        let error = error.with_detail("reason", "store");
        let payload = Json::of(&JobError::new(FinalStatus::Error, &error, now))?;
        let (id, trace_id) = (self.record.id.clone(), Some(self.record.log.trace_id()));
        Ok(Event::terminal(MessageType::JobError, id, trace_id, payload))
    }
}
