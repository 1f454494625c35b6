//! The jobs that this runtime knows: those that run, and for a while those that ended.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arcp_core::agent::AgentRef;
use arcp_core::job::{FinalStatus, Lifecycle, Status};
use arcp_core::lease::{Lease, LeaseConstraints};
use arcp_core::{Code, Error, JobId, TraceId};
use tokio_util::sync::CancellationToken;

use super::JobStream;
use crate::auth::Principal;
use crate::clock;
use crate::config::Config;
use crate::service::SessionCtx;

/// A job.
#[derive(Debug)]
pub(super) struct JobRecord {
    pub(super) id: JobId,
    pub(super) agent: AgentRef,
    /// The session that submitted it. Its numbers are the job's numbers (§7.6).
    pub(super) session: SessionCtx,
    pub(super) lease: Lease,
    pub(super) lease_constraints: Option<LeaseConstraints>,
    pub(super) trace_id: TraceId,
    pub(super) log: Arc<JobStream>,
    pub(super) cancel: CancellationToken,
    life: Mutex<Lifecycle>,
}

impl JobRecord {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn new(
        id: JobId,
        agent: AgentRef,
        session: SessionCtx,
        lease: Lease,
        lease_constraints: Option<LeaseConstraints>,
        trace_id: TraceId,
        log: Arc<JobStream>,
    ) -> Self {
        let (cancel, life) = (CancellationToken::new(), Mutex::default());
        Self { id, agent, session, lease, lease_constraints, trace_id, log, cancel, life }
    }

    fn life(&self) -> MutexGuard<'_, Lifecycle> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> Status {
        self.life().status()
    }

    pub(super) fn start(&self) {
        self.life().start();
    }

    /// Whether the job will end as cancelled.
    pub(super) fn wants_cancel(&self) -> bool {
        self.life().cancel()
    }

    pub(super) fn expire(&self) -> bool {
        self.life().expire()
    }

    pub(super) fn stopping(&self) -> Option<FinalStatus> {
        self.life().stopping()
    }

    pub(super) fn finish(&self, by_itself: FinalStatus) -> Option<FinalStatus> {
        self.life().finish(by_itself)
    }
}

/// All jobs.
#[derive(Debug)]
pub(super) struct Registry {
    jobs: Mutex<Jobs>,
    max_jobs: usize,
    max_ended: usize,
    retention: Duration,
}

#[derive(Debug, Default)]
struct Jobs {
    by_id: HashMap<JobId, Arc<JobRecord>>,
    running: HashMap<Principal, usize>,
    ended: VecDeque<(Instant, JobId)>,
}

impl Registry {
    pub(super) fn new(config: &Config) -> Self {
        let (max_jobs, max_ended, retention) = (config.max_jobs, config.max_ended_jobs, config.retention);
        Self { jobs: Mutex::default(), max_jobs, max_ended, retention }
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a job in, if its principal may run one more.
    pub(super) fn insert(&self, job: &Arc<JobRecord>) -> Result<(), Error> {
        let mut jobs = self.jobs();
        let running = jobs.running.entry(job.session.principal().clone()).or_default();
        if *running >= self.max_jobs {
            return Err(Error::limit(format!("at most {} jobs may run at once", self.max_jobs)));
        }
        *running += 1;
        jobs.by_id.insert(job.id.clone(), job.clone());
        self.sweep(&mut jobs);
        Ok(())
    }

    /// A job has ended.
    pub(super) fn ended(&self, job: &JobRecord) {
        let mut jobs = self.jobs();
        if let Some(running) = jobs.running.get_mut(job.session.principal()) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                jobs.running.remove(job.session.principal());
            }
        }
        jobs.ended.push_back((clock::now() + self.retention, job.id.clone()));
        self.sweep(&mut jobs);
    }

    fn sweep(&self, jobs: &mut Jobs) {
        let now = clock::now();
        while let Some((until, _)) = jobs.ended.front() {
            if *until > now && jobs.ended.len() <= self.max_ended {
                break;
            }
            if let Some((_, id)) = jobs.ended.pop_front() {
                jobs.by_id.remove(&id);
            }
        }
    }

    /// A job that `principal` may know of. A job of somebody else is as unknown as none (§6.6).
    pub(super) fn visible(&self, principal: &Principal, id: &JobId) -> Result<Arc<JobRecord>, Error> {
        let jobs = self.jobs();
        let job = jobs.by_id.get(id).filter(|job| job.session.principal() == principal);
        job.cloned().ok_or_else(|| Error::new(Code::JobNotFound, format!("no job {id} is known")))
    }
}
