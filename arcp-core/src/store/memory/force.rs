//! What is kept beyond its bounds goes, oldest first, whoever still needs it (§6.5).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::{Job, Session, State};
use crate::store::Bounds;
use crate::{JobId, SessionId};

/// Whose events are counted together.
type Scope = fn(&Job) -> &str;

impl State {
    pub(super) fn force(&mut self, bounds: Bounds, limit: u64) -> u64 {
        let mut gone = self.force_runs(bounds.session_runs, limit);
        let scopes: [(Scope, u64); 3] = [
            (|job| job.row.session.as_str(), bounds.session_bytes),
            (|job| job.row.principal.as_str(), bounds.principal_bytes),
            (|_| "", bounds.bytes),
        ];
        for (scope, most) in scopes {
            for (jobs, excess) in self.beyond(scope, most) {
                gone += self.shrink(&jobs, excess, limit.saturating_sub(gone));
            }
        }
        gone
    }

    /// Jobs that together have more bytes than they may, and how many more.
    fn beyond(&self, scope: Scope, most: u64) -> Vec<(Vec<JobId>, u64)> {
        let mut all: HashMap<&str, (Vec<JobId>, u64)> = HashMap::new();
        for (id, job) in self.jobs.iter().filter(|(_, job)| job.bytes > 0) {
            let (jobs, bytes) = all.entry(scope(job)).or_default();
            jobs.push(id.clone());
            *bytes += job.bytes;
        }
        let beyond = all.into_values().filter(|(_, bytes)| *bytes > most);
        beyond.map(|(jobs, bytes)| (jobs, bytes - most)).collect()
    }

    /// Drops the oldest events of `jobs` until `excess` bytes went.
    fn shrink(&mut self, jobs: &[JobId], mut excess: u64, limit: u64) -> u64 {
        let needed = self.needed();
        let (mut gone, mut forced) = (0, HashSet::new());
        for at_any_rate in [false, true] {
            let age = |state: &Self, id: &JobId| {
                let job = state.jobs.get(id)?;
                let spare = needed.get(id).is_none_or(|needed| job.floor + 1 < *needed);
                let (at, _) = job.events.front().filter(|_| at_any_rate || spare)?;
                Some(Reverse((*at, id.clone())))
            };
            let mut oldest: BinaryHeap<_> = jobs.iter().filter_map(|id| age(self, id)).collect();
            while excess > 0
                && gone < limit
                && let Some(Reverse((_, id))) = oldest.pop()
            {
                let Some(bytes) = self.jobs.get_mut(&id).and_then(Job::drop_oldest) else { continue };
                self.bytes -= bytes;
                (excess, gone) = (excess.saturating_sub(bytes as u64), gone + 1);
                oldest.extend(age(self, &id));
                if at_any_rate {
                    forced.insert(id);
                }
            }
        }
        gone + self.lift(&forced)
    }

    /// Events of these jobs were forced out: no session may be continued as if they were there. Each run
    /// is looked at once, however many jobs these are.
    fn lift(&mut self, forced: &HashSet<JobId>) -> u64 {
        let floor = |id: &JobId| {
            let forced = forced.get(id).and_then(|id| self.jobs.get(id));
            forced.map(|job| job.floor)
        };
        let (mut gone, mut over) = (0, Vec::new());
        for (session_id, session) in self.sessions.iter_mut().filter(|_| !forced.is_empty()) {
            if session.feeds.values().any(|feed| floor(&feed.job).is_some_and(|floor| feed.next <= floor)) {
                over.push(session_id.clone());
                continue;
            }
            let lost = session.runs.iter().filter_map(|run| {
                #[cfg(test)]
                {
                    self.looked_at += 1;
                }
                let lost = floor(&run.job)?.checked_sub(run.from)?;
                Some(run.first + (run.len - 1).min(lost))
            });
            let through = lost.max();
            if let Some(through) = through.filter(|through| *through > session.row.acked) {
                gone += session.forget_through(through);
            }
        }
        gone + over.iter().map(|id: &SessionId| self.forget_session(id)).sum::<u64>()
    }

    fn force_runs(&mut self, most: u64, limit: u64) -> u64 {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut gone = 0;
        for session in self.sessions.values_mut().filter(|session| session.runs.len() > most) {
            let many = (session.runs.len() - most).min(usize::try_from(limit - gone).unwrap_or(usize::MAX));
            session.runs.drain(..many);
            gone += many as u64;
        }
        gone
    }
}

impl Session {
    /// What was numbered up to `through` cannot be sent again; returns how many runs went.
    fn forget_through(&mut self, through: u64) -> u64 {
        let before = self.runs.len();
        while self.runs.front().is_some_and(|run| run.first + run.len - 1 <= through) {
            self.runs.pop_front();
        }
        if let Some(run) = self.runs.front_mut().filter(|run| run.first <= through) {
            let lost = through + 1 - run.first;
            (run.first, run.from, run.len) = (run.first + lost, run.from + lost, run.len - lost);
        }
        (before - self.runs.len()) as u64
    }
}
