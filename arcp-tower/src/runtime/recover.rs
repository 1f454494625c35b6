//! After a restart on the same store: jobs whose process is gone end, or run again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arcp_core::agent::AgentRef;
use arcp_core::job::FinalStatus;
use arcp_core::store::{Batch, JobRow, Op, Store, StoreError, StoredEvent};
use arcp_core::wire::job::JobError;
use arcp_core::{Code, Error, Event, JobId, Json, MessageType, Timestamp};

use super::authority::JobAuthority;
use super::body::JobBody;
use super::registry::JobRecord;
use super::{Runtime, body, commit_patiently, recall, resume, submit, supervise};
use crate::random;

/// Jobs of one read.
const PAGE: usize = 256;

/// Deals with every job of a process that is gone.
pub(super) async fn recover(runtime: &Runtime) -> Result<(), StoreError> {
    let Some(journal) = runtime.0.journal.clone() else { return Ok(()) };
    let damaged = |e: Error| StoreError::Corrupt(e.to_string());
    // Those that could not be dealt with are found again, and must not keep the others from being.
    let mut left: HashSet<JobId> = HashSet::new();
    loop {
        let mut orphans = journal.store.orphans(journal.owner, PAGE + left.len()).await?;
        orphans.retain(|row| !left.contains(&row.id));
        if orphans.is_empty() {
            return Ok(());
        }
        for row in orphans {
            let job_id = row.id.clone();
            let take = Op::TakeJob { job: row.id.clone(), from: row.owner, to: journal.owner };
            let again = restartable(runtime, &row);
            let mut ops = vec![take];
            if again.is_none() {
                ops.push(end(&row, journal.owner, runtime.wall()).map_err(damaged)?);
                ops.extend(runtime.0.credentials.ending(&row).await?);
            }
            let batch = Batch { id: random::bits(), principal: row.principal.clone(), ops };
            match commit_patiently(journal.store.clone(), batch).await {
                Ok(_) => {}
                Err(error @ (StoreError::Conflict { .. } | StoreError::Fenced { .. })) => {
                    tracing::error!(%job_id, %error, "a job of a process that is gone is somebody else's");
                    left.insert(job_id);
                    continue;
                }
                Err(error) => return Err(error),
            }
            match again {
                None => tracing::info!(%job_id, "the job ended with the process that ran it"),
                Some(agent) => {
                    tracing::info!(%job_id, "the job runs again");
                    if let Err(error) = run_again(runtime, &*journal.store, &row, agent).await {
                        tracing::warn!(%job_id, %error, "the job could not be run again");
                        // Nobody runs it, so it has to end here.
                        let mut ops = vec![end(&row, journal.owner, runtime.wall()).map_err(damaged)?];
                        ops.extend(runtime.0.credentials.ending(&row).await?);
                        let batch = Batch { id: random::bits(), principal: row.principal.clone(), ops };
                        commit_patiently(journal.store.clone(), batch).await?;
                    }
                }
            }
        }
    }
}

/// The agent that takes a job up again, if it said that it can.
fn restartable(runtime: &Runtime, row: &JobRow) -> Option<AgentRef> {
    let agent: AgentRef = row.agent.parse().ok()?;
    // A job that runs again delegates again, so what it delegated before ends.
    let child = row.body.decode::<JobBody>().is_ok_and(|body| body.parent.is_some());
    let again = runtime.0.restartable.contains(&row.agent) && !row.cancelling && !child;
    again.then_some(agent)
}

fn end(row: &JobRow, owner: u64, now: Timestamp) -> Result<Op, Error> {
    let (end, error) = if row.cancelling {
        (FinalStatus::Cancelled, Error::new(Code::Cancelled, "the job was cancelled"))
    } else {
        let error = Error::new(Code::InternalError, "the runtime was restarted while the job ran");
        (FinalStatus::Error, error.with_detail("reason", "runtime_restarted"))
    };
    let payload = Json::of(&JobError::new(end, &error, now))?;
    let event = Event::terminal(MessageType::JobError, row.id.clone(), Some(row.trace_id), payload);
    Ok(Op::Append {
        job: row.id.clone(),
        owner,
        after: row.head,
        events: vec![StoredEvent::of(&event)],
        at: now,
        ended: Some(end.into()),
    })
}

async fn run_again(
    runtime: &Runtime,
    store: &dyn Store,
    row: &JobRow,
    agent_ref: AgentRef,
) -> Result<(), Error> {
    let failed = |e: StoreError| super::refused(&e);
    let (_, agent) = runtime.0.agents.resolve(&agent_ref)?;
    let JobBody { input, max_runtime_sec, lease, lease_constraints, .. } = row.body.decode()?;
    let (policy, clock) = (runtime.0.policy, &runtime.0.config.clock);
    let authority =
        JobAuthority::recalled(&lease, lease_constraints.as_ref(), body::remaining(row)?, policy, clock)?;
    let authority = Arc::new(authority);
    // Its session has no connection yet; a resume finds it here.
    let session = store.session(&row.session).await.map_err(failed)?;
    let session = session.ok_or_else(|| Error::new(Code::InternalError, "the session of the job is gone"))?;
    let cx = if let Some(cx) = runtime.0.sessions.find(Some(&session.id), &session.token) {
        cx
    } else {
        let cx = resume::recalled(runtime, &session, http::Extensions::new());
        runtime.0.sessions.insert(&cx)?;
        let (principal, head) = (cx.principal(), session.head);
        let logs = recall::Logs::new();
        let remembered = recall::remembered(runtime, store, &session, principal, head, logs).await;
        let remembered = remembered.inspect_err(|_| runtime.0.sessions.remove(&cx)).map_err(failed)?;
        cx.restore(remembered);
        runtime.0.sessions.detached(&cx, cx.epoch(), session.epoch);
        cx
    };
    let record = body::recalled(runtime, row)?;
    let record =
        Arc::new(JobRecord { session: Some(cx.clone()), authority: Some(authority.clone()), ..record });
    runtime.0.registry.insert(&record)?;
    if let Err(e) = runtime.0.credentials.adopt(&record).await {
        // It ends in the store, and must not seem to run here.
        runtime.0.registry.remove(&record);
        return Err(failed(e));
    }
    let birth = submit::Birth { agent: agent_ref, input, authority, followed: true, cause: None };
    let (job, span) = submit::job_of(runtime, &record, &cx, birth);
    // Its time is counted from its beginning, however many processes run it: if it is up, it ends with that.
    let ran = runtime.wall().as_millis().saturating_sub(row.created_at.as_millis());
    let ran = Duration::from_millis(u64::try_from(ran).unwrap_or(0));
    let max_runtime = max_runtime_sec.map(|most| Duration::from_secs(most).saturating_sub(ran));
    let (registry, credentials) = (runtime.0.registry.clone(), runtime.0.credentials.clone());
    let agent = agent.clone();
    let run = supervise::Run { record, job, span, agent, registry, credentials, max_runtime, link: None };
    let jobs = runtime.0.jobs.clone();
    runtime.0.handle.spawn(run.supervise(jobs));
    Ok(())
}
