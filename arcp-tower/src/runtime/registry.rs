//! The jobs that this runtime knows: those that run, and for a while those that ended.

mod keys;
mod past;
mod record;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arcp_core::store::IdempotencyRow;
use arcp_core::{Code, Error, JobId};
use tokio::sync::Notify;

use keys::Keys;
use past::Past;

pub(super) use record::Ended;
pub(crate) use record::{JobRecord, Outcome};

use super::drain::draining;
use crate::auth::Principal;
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::lock::lock;

/// All jobs.
#[derive(Debug)]
pub(super) struct Registry {
    jobs: Mutex<Jobs>,
    max_jobs: usize,
    max_ended: past::Most,
    max_keys: keys::Most,
    retention: Duration,
    clock: Clock,
    /// Told of each job that is over.
    fewer: Notify,
}

#[derive(Debug, Default)]
struct Jobs {
    by_id: HashMap<JobId, Arc<JobRecord>>,
    running: HashMap<Principal, usize>,
    past: Past,
    keys: Keys,
    /// Whether clients are given no new job.
    closed: bool,
}

impl Registry {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            jobs: Mutex::default(),
            max_jobs: config.max_jobs,
            max_ended: past::Most { jobs: config.max_ended_jobs, bytes: config.max_ended_bytes },
            max_keys: keys::Most { keys: config.max_keys, bytes: config.max_keys_bytes },
            retention: config.retention,
            clock: config.clock.clone(),
            fewer: Notify::new(),
        }
    }

    /// Takes a job in, if its principal may run one more.
    pub(super) fn insert(&self, job: &Arc<JobRecord>) -> Result<(), Error> {
        self.add(&mut lock(&self.jobs), job)
    }

    /// Takes a job in together with its key; or says who has the key, and that job if it is still
    /// known. `room` is whether the session may follow one more.
    pub(super) fn claim(&self, job: &Arc<JobRecord>, key: Option<&IdempotencyRow>, room: bool) -> Claimed {
        let mut jobs = lock(&self.jobs);
        let Some(row) = key else {
            return if room { self.add(&mut jobs, job).map(|()| None) } else { Err(too_many()) };
        };
        let now = self.clock.wall();
        if let Some(held) = jobs.keys.holder(&job.principal, &row.key, now) {
            return Ok(Some((held.clone(), jobs.by_id.get(&held.job).cloned())));
        }
        if !room {
            return Err(too_many());
        }
        self.add(&mut jobs, job)?;
        jobs.keys.insert(&job.principal, row, now, self.max_keys);
        Ok(None)
    }

    /// Whether a job's key is taken.
    pub(super) fn knows(&self, job: &JobRecord, key: Option<&IdempotencyRow>) -> bool {
        let Some(row) = key else { return false };
        lock(&self.jobs).keys.holder(&job.principal, &row.key, self.clock.wall()).is_some()
    }

    /// Whether the principal of `job` may run one more.
    pub(super) fn room(&self, job: &JobRecord) -> Result<(), Error> {
        let jobs = lock(&self.jobs);
        if jobs.closed {
            return Err(draining());
        }
        let running = jobs.running.get(&job.principal).copied().unwrap_or(0);
        if running < self.max_jobs { Ok(()) } else { Err(self.full()) }
    }

    fn full(&self) -> Error {
        Error::limit(format!("at most {} jobs may run at once", self.max_jobs))
    }

    fn add(&self, jobs: &mut Jobs, job: &Arc<JobRecord>) -> Result<(), Error> {
        // What a job delegates is part of it.
        if jobs.closed && job.parent.is_none() {
            return Err(draining());
        }
        let running = jobs.running.entry(job.principal.clone()).or_default();
        if *running >= self.max_jobs {
            return Err(self.full());
        }
        *running += 1;
        jobs.by_id.insert(job.id.clone(), job.clone());
        self.sweep(jobs);
        Ok(())
    }

    /// A job never began.
    pub(super) fn remove(&self, job: &JobRecord) {
        let mut jobs = lock(&self.jobs);
        jobs.by_id.remove(&job.id);
        jobs.done(&job.principal);
        self.fewer.notify_waiters();
    }

    /// Clients are given no new job from now on.
    pub(super) fn close(&self) {
        lock(&self.jobs).closed = true;
    }

    /// Resolves when no job runs.
    pub(super) async fn idle(&self) {
        loop {
            let fewer = self.fewer.notified();
            if lock(&self.jobs).running.is_empty() {
                return;
            }
            fewer.await;
        }
    }

    /// Jobs that run, or whose end is still to come.
    pub(super) fn active(&self) -> usize {
        lock(&self.jobs).running.values().sum()
    }

    /// The jobs that run, or are about to.
    pub(super) fn running(&self) -> Vec<Arc<JobRecord>> {
        let jobs = lock(&self.jobs);
        jobs.by_id.values().filter(|job| !job.status().is_terminal()).cloned().collect()
    }

    /// A job has ended.
    pub(super) fn ended(&self, job: &Arc<JobRecord>) {
        let mut jobs = lock(&self.jobs);
        jobs.done(&job.principal);
        jobs.past.add(job, clock::after(self.retention));
        self.sweep(&mut jobs);
        self.fewer.notify_waiters();
    }

    fn sweep(&self, jobs: &mut Jobs) {
        jobs.past.sweep(&mut jobs.by_id, clock::now(), self.max_ended);
    }

    /// A job that `principal` may know of, if it is in memory. One of somebody else is as unknown
    /// as none (§6.6).
    pub(super) fn visible(&self, principal: &Principal, id: &JobId) -> Option<Arc<JobRecord>> {
        lock(&self.jobs).by_id.get(id).filter(|job| job.principal == *principal).cloned()
    }

    /// All jobs of a principal that are in memory.
    pub(super) fn of(&self, principal: &Principal) -> Vec<Arc<JobRecord>> {
        let jobs = lock(&self.jobs);
        jobs.by_id.values().filter(|job| job.principal == *principal).cloned().collect()
    }

    /// Forgets what is over by now, whether anything else happens or not.
    pub(super) fn forget(&self) {
        let mut jobs = lock(&self.jobs);
        self.sweep(&mut jobs);
        jobs.past.let_go();
        jobs.keys.sweep(self.clock.wall());
    }
}

impl Jobs {
    fn done(&mut self, principal: &Principal) {
        if let Some(running) = self.running.get_mut(principal) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.running.remove(principal);
            }
        }
    }
}

/// What became of a job that wants a key: nothing if it has it.
pub(super) type Claimed = Result<Option<(IdempotencyRow, Option<Arc<JobRecord>>)>, Error>;

/// The refusal of one more job to a session.
pub(super) fn too_many() -> Error {
    Error::limit("the session follows as many jobs as it may")
}

/// The answer for a job that is not there, or not to be known of.
pub(super) fn not_found(id: &JobId) -> Error {
    Error::new(Code::JobNotFound, format!("no job {id} is known"))
}
