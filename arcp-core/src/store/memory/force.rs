//! What is kept beyond its bounds goes, oldest first, whoever still needs it (§6.5).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::{Session, State, cost, key_cost};
use crate::store::Bounds;
use crate::{JobId, SessionId};

/// Whose bytes are counted together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Session,
    Principal,
    All,
}

/// What is counted of a job beside its events, from its end on: what it was accepted with, and the
/// acceptances under its keys. Of one that runs it is nothing, since it cannot go.
#[derive(Default)]
struct Rest(HashMap<JobId, u64>);

impl Rest {
    fn of(state: &State) -> Self {
        let ended = state.jobs.iter().filter(|(_, job)| job.row.ended_at.is_some());
        let mut rest: HashMap<_, _> =
            ended.map(|(id, job)| (id.clone(), cost(&job.row.body) as u64)).collect();
        for row in state.keys.values() {
            if let Some(rest) = rest.get_mut(&row.job) {
                *rest += key_cost(row) as u64;
            }
        }
        Self(rest)
    }

    fn get(&self, id: &JobId) -> u64 {
        self.0.get(id).copied().unwrap_or(0)
    }
}

impl State {
    pub(super) fn force(&mut self, bounds: Bounds, limit: u64) -> u64 {
        let mut gone = self.force_runs(bounds.session_runs, limit);
        let scopes = [
            (Scope::Session, bounds.session_bytes),
            (Scope::Principal, bounds.principal_bytes),
            (Scope::All, bounds.bytes),
        ];
        for (scope, most) in scopes.into_iter().filter(|(_, most)| *most < u64::MAX) {
            let rest = if scope == Scope::Session { Rest::default() } else { Rest::of(self) };
            for (jobs, excess) in self.beyond(scope, &rest, most) {
                gone += self.shrink(&jobs, &rest, excess, limit.saturating_sub(gone));
            }
        }
        gone
    }

    /// Jobs that together have more bytes than they may, and how many more.
    fn beyond(&self, scope: Scope, rest: &Rest, most: u64) -> Vec<(Vec<JobId>, u64)> {
        let mut all: HashMap<&str, (Vec<JobId>, u64)> = HashMap::new();
        for (id, job) in &self.jobs {
            let whose = match scope {
                Scope::Session => job.row.session.as_str(),
                Scope::Principal => &job.row.principal,
                Scope::All => "",
            };
            let bytes = job.bytes + rest.get(id);
            if bytes > 0 {
                let (jobs, sum) = all.entry(whose).or_default();
                jobs.push(id.clone());
                *sum += bytes;
            }
        }
        let beyond = all.into_values().filter(|(_, bytes)| *bytes > most);
        beyond.map(|(jobs, bytes)| (jobs, bytes - most)).collect()
    }

    /// Drops the oldest events of `jobs` until `excess` bytes went. An ended job that has a rest goes with
    /// the last of its events; one that has none any more is the first to go.
    fn shrink(&mut self, jobs: &[JobId], rest: &Rest, mut excess: u64, limit: u64) -> u64 {
        let needed = self.needed();
        let (mut gone, mut forced, mut over) = (0, HashSet::new(), HashSet::new());
        let spent =
            |id: &&JobId| rest.get(id) > 0 && self.jobs.get(*id).is_some_and(|job| job.events.is_empty());
        let mut spent: Vec<_> = jobs.iter().filter(spent).collect();
        spent.sort_by_key(|id| self.jobs.get(*id).and_then(|job| job.row.ended_at));
        for id in spent {
            if excess == 0 || gone >= limit {
                break;
            }
            (excess, gone) = (excess.saturating_sub(rest.get(id)), gone + 1);
            over.insert(id.clone());
        }
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
                let Some(job) = self.jobs.get_mut(&id) else { continue };
                let Some(bytes) = job.drop_oldest() else { continue };
                let spent = job.events.is_empty() && rest.get(&id) > 0;
                self.bytes -= bytes;
                (excess, gone) = (excess.saturating_sub(bytes as u64), gone + 1);
                oldest.extend(age(self, &id));
                if spent {
                    (excess, gone) = (excess.saturating_sub(rest.get(&id)), gone + 1);
                    over.insert(id.clone());
                }
                if at_any_rate {
                    forced.insert(id);
                }
            }
        }
        // By their runs it is known who was sent what, so the jobs go last.
        gone += self.lift(&forced);
        self.forget_jobs(&over);
        gone + self.forget_keys(&over)
    }

    /// Keys go with jobs that were forced out, since their acceptances are as large as these are.
    fn forget_keys(&mut self, over: &HashSet<JobId>) -> u64 {
        let (mut gone, mut bytes) = (0, 0);
        if !over.is_empty() {
            self.keys.retain(|_, row| {
                let goes = over.contains(&row.job);
                if goes {
                    (gone, bytes) = (gone + 1, bytes + key_cost(row));
                }
                !goes
            });
        }
        self.bytes -= bytes;
        gone
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
