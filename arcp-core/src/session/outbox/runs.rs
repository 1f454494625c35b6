//! The runs that a session remembers, and where the last one of each job is.

use std::collections::{HashMap, VecDeque};

use crate::JobId;

/// Consecutive numbers of a session that are consecutive events of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The first number.
    pub first: u64,
    /// How many.
    pub len: u64,
    /// The job.
    pub job_id: JobId,
    /// The first event's number in the job's log.
    pub from: u64,
    pub(super) own: bool,
}

impl Run {
    /// A run of a job that is somebody else's, or that a store remembers.
    pub fn new(first: u64, len: u64, job_id: JobId, from: u64) -> Self {
        Self { first, len, job_id, from, own: false }
    }

    pub(super) fn last(&self) -> u64 {
        self.first + self.len - 1
    }
}

/// Runs in the order of their numbers. A session may remember tens of thousands, and a listing asks for the
/// last number of a thousand jobs, so those are not looked for.
#[derive(Debug, Default)]
pub(super) struct Runs {
    runs: VecDeque<Run>,
    /// The first number of each job's last run.
    latest: HashMap<JobId, u64>,
}

impl Runs {
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.runs.iter()
    }

    /// Of those of one job, the last that begins at `at` or below.
    pub(super) fn at(&self, job_id: &JobId, at: u64) -> Option<&Run> {
        let until = self.runs.partition_point(|run| run.first <= at);
        self.runs.range(..until).rev().find(|run| run.job_id == *job_id)
    }

    /// Those that end above `after`.
    pub(super) fn above(&self, after: u64) -> impl Iterator<Item = &Run> {
        self.runs.range(self.runs.partition_point(|run| run.last() <= after)..)
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn first(&self) -> Option<&Run> {
        self.runs.front()
    }

    /// The newest, to be made longer.
    pub(super) fn newest(&mut self) -> Option<&mut Run> {
        self.runs.back_mut()
    }

    /// Adds a run above all others.
    pub(super) fn push(&mut self, run: Run) {
        match self.latest.get_mut(&run.job_id) {
            Some(latest) => *latest = run.first,
            None => _ = self.latest.insert(run.job_id.clone(), run.first),
        }
        self.runs.push_back(run);
    }

    /// Forgets the oldest.
    pub(super) fn pop(&mut self) {
        let Some(run) = self.runs.pop_front() else { return };
        if self.latest.get(&run.job_id) == Some(&run.first) {
            self.latest.remove(&run.job_id);
        }
    }

    /// The highest number of a job.
    pub(super) fn last_of(&self, job_id: &JobId) -> Option<u64> {
        let first = self.latest.get(job_id)?;
        let at = self.runs.partition_point(|run| run.first < *first);
        self.runs.get(at).map(Run::last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_number_of_a_job_is_found_without_looking_at_the_runs_of_others() {
        let (one, other) = (JobId::from_bits(1), JobId::from_bits(2));
        let mut runs = Runs::default();
        runs.push(Run::new(1, 5, one.clone(), 1));
        for n in 0..1000 {
            runs.push(Run::new(6 + n, 1, other.clone(), 1 + 2 * n));
        }
        // Who looked at them would take them for that job's.
        for run in runs.runs.range_mut(1..) {
            run.job_id = one.clone();
        }
        assert_eq!(runs.last_of(&one), Some(5));
    }

    proptest! {
        /// Whatever is added, made longer and forgotten: what is known of last numbers is what the runs say, and
        /// of jobs without a run nothing is kept.
        #[test]
        fn last_numbers_are_those_of_the_runs(steps in prop::collection::vec((0u8..3, 0u128..4), 0..200)) {
            let mut runs = Runs::default();
            let mut next = 1;
            for (what, job) in steps {
                match (what, runs.newest()) {
                    (0, _) => runs.pop(),
                    (1, Some(run)) => (run.len, next) = (run.len + 1, next + 1),
                    _ => {
                        runs.push(Run::new(next, 1, JobId::from_bits(job), next));
                        next += 1;
                    }
                }
                for job in (0..4).map(JobId::from_bits) {
                    let last = runs.iter().rev().find(|run| run.job_id == job).map(Run::last);
                    prop_assert_eq!(runs.last_of(&job), last);
                    prop_assert_eq!(runs.latest.contains_key(&job), last.is_some());
                }
            }
        }
    }
}
