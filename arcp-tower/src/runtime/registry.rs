//! The jobs that this runtime knows: those that run, and for a while those that ended.

mod record;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arcp_core::store::IdempotencyRow;
use arcp_core::{Code, Error, JobId, Timestamp};
use tokio::sync::Notify;

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
    max_ended: usize,
    max_ended_bytes: usize,
    max_keys: usize,
    retention: Duration,
    clock: Clock,
    /// Told of each job that is over.
    fewer: Notify,
}

#[derive(Debug, Default)]
struct Jobs {
    by_id: HashMap<JobId, Arc<JobRecord>>,
    running: HashMap<Principal, usize>,
    /// When it goes, the job, and the bytes that its log held when it ended.
    ended: VecDeque<(Instant, JobId, usize)>,
    /// Bytes that the logs of ended jobs held when they ended.
    ended_bytes: usize,
    keys: HashMap<(Principal, String), IdempotencyRow>,
    /// Each key, and when that is over: it may have been used again since.
    keys_in_order: VecDeque<((Principal, String), Timestamp)>,
    /// Whether clients are given no new job.
    closed: bool,
}

impl Registry {
    pub(super) fn new(config: &Config) -> Self {
        let (max_jobs, max_ended, retention) = (config.max_jobs, config.max_ended_jobs, config.retention);
        let (max_keys, max_ended_bytes) = (config.max_keys, config.max_ended_bytes);
        let clock = config.clock.clone();
        let (jobs, fewer) = (Mutex::default(), Notify::new());
        Self { jobs, max_jobs, max_ended, max_ended_bytes, max_keys, retention, clock, fewer }
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
        let key = (job.principal.clone(), row.key.clone());
        if let Some(held) = jobs.keys.get(&key).filter(|held| held.expires_at > now) {
            return Ok(Some((held.clone(), jobs.by_id.get(&held.job).cloned())));
        }
        if !room {
            return Err(too_many());
        }
        self.add(&mut jobs, job)?;
        jobs.keys.insert(key.clone(), row.clone());
        jobs.keys_in_order.push_back((key, row.expires_at));
        self.sweep_keys(&mut jobs, now);
        Ok(None)
    }

    /// Whether a job's key is taken.
    pub(super) fn knows(&self, job: &JobRecord, key: Option<&IdempotencyRow>) -> bool {
        let Some(row) = key else { return false };
        let jobs = lock(&self.jobs);
        let held = jobs.keys.get(&(job.principal.clone(), row.key.clone()));
        held.is_some_and(|held| held.expires_at > self.clock.wall())
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
    pub(super) fn ended(&self, job: &JobRecord) {
        let mut jobs = lock(&self.jobs);
        jobs.done(&job.principal);
        let bytes = job.log.bytes();
        jobs.ended.push_back((clock::after(self.retention), job.id.clone(), bytes));
        jobs.ended_bytes += bytes;
        self.sweep(&mut jobs);
        self.fewer.notify_waiters();
    }

    fn sweep(&self, jobs: &mut Jobs) {
        let now = clock::now();
        while let Some((until, ..)) = jobs.ended.front() {
            let many = jobs.ended.len() > self.max_ended || jobs.ended_bytes > self.max_ended_bytes;
            if *until > now && !many {
                break;
            }
            let Some((_, id, bytes)) = jobs.ended.pop_front() else { break };
            jobs.ended_bytes -= bytes;
            if let Some(job) = jobs.by_id.remove(&id)
                && many
            {
                // A session may still hold the log for a replay; it is refused one from now on. Time
                // alone is no reason: what was not acknowledged outlives it (§6.5).
                job.log.forget();
            }
        }
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

    /// Keys whose time is over go, and the oldest of too many.
    fn sweep_keys(&self, jobs: &mut Jobs, now: Timestamp) {
        while let Some((_, expires_at)) = jobs.keys_in_order.front() {
            if *expires_at > now && jobs.keys_in_order.len() <= self.max_keys {
                break;
            }
            let Some((key, expires_at)) = jobs.keys_in_order.pop_front() else { break };
            if jobs.keys.get(&key).is_some_and(|held| held.expires_at == expires_at) {
                jobs.keys.remove(&key);
            }
        }
    }

    /// Forgets what is over by now, whether anything else happens or not.
    pub(super) fn forget(&self) {
        let mut jobs = lock(&self.jobs);
        self.sweep(&mut jobs);
        self.sweep_keys(&mut jobs, self.clock.wall());
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
