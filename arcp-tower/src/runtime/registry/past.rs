//! Jobs that ended, for as long as they are kept in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Instant;

use arcp_core::JobId;

use super::JobRecord;
use crate::runtime::JobStream;

/// How much is held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub(super) jobs: usize,
    pub(super) bytes: usize,
}

/// The jobs that ended, in that order.
#[derive(Debug, Default)]
pub(super) struct Past {
    jobs: VecDeque<Entry>,
    /// Logs of jobs whose time is over, which sessions still hold for a replay: what was not acknowledged
    /// outlives its job (§6.5).
    outlived: VecDeque<(Weak<JobStream>, usize)>,
    /// What all of them hold, as far as is known: a log that a store has lets go of its events later.
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    until: Instant,
    job: Arc<JobRecord>,
    bytes: usize,
}

impl Past {
    pub(super) fn add(&mut self, job: &Arc<JobRecord>, until: Instant) {
        let bytes = job.bytes();
        self.jobs.push_back(Entry { until, job: job.clone(), bytes });
        self.bytes += bytes;
    }

    /// Those whose time is over are known no longer, and nor are the oldest of more than `most`: these
    /// cannot be replayed either.
    pub(super) fn sweep(&mut self, by_id: &mut HashMap<JobId, Arc<JobRecord>>, now: Instant, most: Most) {
        while let Some(over) = self.pop_if(|oldest| oldest.until <= now) {
            by_id.remove(&over.job.id);
            let log = Arc::downgrade(&over.job.log);
            drop(over.job);
            self.outlived.push_back((log, over.bytes));
        }
        if self.bytes > most.bytes {
            self.count_again();
        }
        let many = |past: &Self| past.jobs.len() + past.outlived.len() > most.jobs || past.bytes > most.bytes;
        while many(self)
            && let Some((log, bytes)) = self.outlived.pop_front()
        {
            self.bytes -= bytes;
            if let Some(log) = log.upgrade() {
                log.forget();
            }
        }
        // One whose end the store does not have yet would be found there as one that runs.
        while many(self)
            && let Some(oldest) = self.pop_if(|oldest| oldest.job.log.extent().2)
        {
            self.bytes -= oldest.bytes;
            by_id.remove(&oldest.job.id);
            oldest.job.log.forget();
        }
    }

    fn pop_if(&mut self, goes: impl FnOnce(&Entry) -> bool) -> Option<Entry> {
        self.jobs.front().is_some_and(goes).then(|| self.jobs.pop_front()).flatten()
    }

    /// Of what outlived its job, what nobody holds any more is gone.
    pub(super) fn let_go(&mut self) {
        let bytes = &mut self.bytes;
        self.outlived.retain(|(log, held)| {
            let is_held = log.strong_count() > 0;
            *bytes -= if is_held { 0 } else { *held };
            is_held
        });
    }

    fn count_again(&mut self) {
        self.let_go();
        for entry in &mut self.jobs {
            entry.bytes = entry.job.bytes();
        }
        for (log, bytes) in &mut self.outlived {
            *bytes = log.upgrade().map_or(0, |log| log.bytes());
        }
        let outlived = self.outlived.iter().map(|(_, bytes)| bytes).sum::<usize>();
        self.bytes = outlived + self.jobs.iter().map(|entry| entry.bytes).sum::<usize>();
    }
}
