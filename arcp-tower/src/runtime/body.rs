//! The part of a job's row that a store need not understand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arcp_core::job::{FinalStatus, Lifecycle, Status};
use arcp_core::lease::{Lease, LeaseConstraints, Snapshot};
use arcp_core::log::JobLog;
use arcp_core::store::{JobRow, StoreError};
use arcp_core::{Error, JobId, Json};
use serde::{Deserialize, Serialize};

use super::authority::Note;
use super::registry::{JobRecord, not_found};
use super::{JobStream, Runtime, refused};
use crate::agent::Parent;
use crate::auth::Principal;

/// What is needed to describe a job, and to run it again.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JobBody {
    pub(super) lease: Lease,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lease_constraints: Option<LeaseConstraints>,
    pub(super) input: Json,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_runtime_sec: Option<u64>,
    /// The job that delegated it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<Parent>,
}

impl JobBody {
    /// The body of a job that was refused.
    pub(super) fn empty() -> Json {
        let (lease, input) = (Lease::default(), Json::null());
        let body = Self { lease, lease_constraints: None, input, max_runtime_sec: None, parent: None };
        Json::of(&body).unwrap_or_default()
    }

    pub(super) fn of(record: &JobRecord, input: &Json, max_runtime: Option<Duration>) -> Self {
        Self {
            lease: record.lease.clone(),
            lease_constraints: record.lease_constraints.clone(),
            input: input.clone(),
            max_runtime_sec: max_runtime
                .map(|most| most.as_secs().saturating_add(u64::from(most.subsec_nanos() > 0))),
            parent: record.parent.clone(),
        }
    }

    /// What a store is told of a job that begins, and that `owner` runs.
    pub(super) fn row(&self, record: &JobRecord, owner: u64) -> Result<JobRow, Error> {
        Ok(JobRow {
            id: record.id.clone(),
            principal: record.principal.name().to_owned(),
            session: record.session_id.clone(),
            agent: record.agent.clone(),
            status: Status::Running,
            created_at: record.created_at,
            ended_at: None,
            head: 0,
            last_event_seq: 0,
            cancelling: false,
            note: None,
            owner,
            trace_id: record.log.trace_id(),
            body: Json::of(self)?,
        })
    }
}

/// What was left of a job's budget when its process went, at least (§9.6).
pub(super) fn remaining(row: &JobRow) -> Result<Option<Snapshot>, Error> {
    let Some(note) = &row.note else { return Ok(None) };
    let Note { budget } = note.decode()?;
    Ok(Some(budget))
}

/// A job as a store remembers it: its events stay there, and are read when they are asked for.
pub(super) fn recalled(runtime: &Runtime, row: &JobRow) -> Result<JobRecord, Error> {
    let damaged = || refused(&StoreError::Corrupt("a job without a journal".to_owned()));
    let journal = runtime.0.journal.clone().ok_or_else(damaged)?;
    let body: JobBody = row.body.decode()?;
    let end = FinalStatus::try_from(row.status).ok();
    let log = JobLog::restore(runtime.0.config.log_caps(), row.head, end.is_some());
    let principal = Principal::new(row.principal.as_str());
    let log = JobStream::restore(row.id.clone(), row.trace_id, principal.clone(), log, journal);
    Ok(JobRecord {
        agent: row.agent.clone(),
        principal,
        session_id: row.session.clone(),
        lease: body.lease,
        lease_constraints: body.lease_constraints,
        parent: body.parent,
        created_at: row.created_at,
        life: Mutex::new(end.map_or_else(Lifecycle::default, Lifecycle::ended)),
        ..JobRecord::new(row.id.clone(), Arc::new(log))
    })
}

/// A job that `principal` may know of: from memory, else from the store. A job that is not there
/// and one of somebody else find the same nothing (§6.6).
pub(super) async fn known(
    runtime: &Runtime,
    principal: &Principal,
    id: &JobId,
) -> Result<Arc<JobRecord>, Error> {
    if let Some(record) = runtime.0.registry.visible(principal, id) {
        return Ok(record);
    }
    let Some(journal) = &runtime.0.journal else { return Err(not_found(id)) };
    let row = journal.store.job(principal.name(), id).await.map_err(|e| refused(&e))?;
    let row = row.ok_or_else(|| not_found(id))?;
    recalled(runtime, &row).map(Arc::new)
}
