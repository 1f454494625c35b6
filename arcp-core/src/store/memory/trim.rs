//! Forgets what may be forgotten (§6.3, §6.5).

use std::collections::{HashMap, HashSet};

use super::{Job, State, cost, key_cost};
use crate::store::Trim;
use crate::{JobId, SessionId, Timestamp};

impl State {
    pub(super) fn trim(&mut self, now: Timestamp, trim: Trim) -> u64 {
        let limit = trim.limit as u64;
        let mut gone = self.ids.trim(now, limit);
        gone += self.trim_sessions(now, limit - gone.min(limit));
        gone += self.trim_keys(now, limit - gone.min(limit));
        gone += self.trim_credentials(trim.before, limit - gone.min(limit));
        gone += self.trim_audit(trim.before, limit - gone.min(limit));
        gone += self.force(trim.bounds, limit - gone.min(limit));
        gone + self.trim_jobs(trim.before, limit - gone.min(limit))
    }

    fn trim_sessions(&mut self, now: Timestamp, limit: u64) -> u64 {
        let expired = self.sessions.values().map(|session| &session.row);
        let expired = expired.filter(|row| row.expires_at.is_some_and(|at| at <= now));
        let expired: Vec<_> = expired.map(|row| row.id.clone()).collect();
        let mut gone = 0;
        for id in expired {
            if gone >= limit {
                break;
            }
            gone += self.forget_session(&id);
        }
        gone
    }

    /// A session goes with all that it has; returns how many rows that are.
    pub(super) fn forget_session(&mut self, id: &SessionId) -> u64 {
        let Some(session) = self.sessions.remove(id) else { return 0 };
        self.forget_tokens(&session.row);
        1 + session.feeds.len() as u64 + session.runs.len() as u64
    }

    fn trim_keys(&mut self, now: Timestamp, limit: u64) -> u64 {
        let (mut gone, mut bytes) = (0, 0);
        self.keys.retain(|_, row| {
            let goes = row.expires_at <= now && gone < limit;
            if goes {
                (gone, bytes) = (gone + 1, bytes + key_cost(row));
            }
            !goes
        });
        self.bytes -= bytes;
        gone
    }

    fn trim_audit(&mut self, before: Timestamp, limit: u64) -> u64 {
        let mut gone = 0;
        while gone < limit && self.audit.front().is_some_and(|(at, _)| *at < before) {
            if let Some((_, record)) = self.audit.pop_front() {
                self.bytes -= cost(&record);
                gone += 1;
            }
        }
        gone
    }

    fn trim_jobs(&mut self, before: Timestamp, limit: u64) -> u64 {
        let needed = self.needed();
        let (mut gone, mut done) = (0, HashSet::new());
        for (id, job) in &mut self.jobs {
            let needed = needed.get(id).copied().unwrap_or(u64::MAX);
            while gone < limit
                && job.floor + 1 < needed
                && job.events.front().is_some_and(|(at, _)| *at < before)
                && let Some(bytes) = job.drop_oldest()
            {
                self.bytes -= bytes;
                gone += 1;
            }
            let ended = job.row.ended_at.is_some_and(|at| at < before);
            if gone < limit && ended && job.events.is_empty() {
                done.insert(id.clone());
                gone += 1;
            }
        }
        self.forget_jobs(&done);
        gone
    }

    /// Jobs go with all that they have, except for keys, which have their own time.
    pub(super) fn forget_jobs(&mut self, done: &HashSet<JobId>) {
        self.drop_runs(done);
        for id in done {
            if let Some(job) = self.jobs.remove(id) {
                self.bytes -= cost(&job.row.body);
                if let Some(listing) = self.listings.get_mut(&job.row.principal) {
                    listing.remove(&(job.row.created_at, id.clone()));
                    if listing.is_empty() {
                        self.listings.remove(&job.row.principal);
                    }
                }
            }
        }
    }

    /// Runs of jobs that are gone go with them, where they were acknowledged. Each run is looked at once,
    /// however many jobs these are.
    fn drop_runs(&mut self, done: &HashSet<JobId>) {
        if done.is_empty() {
            return;
        }
        for session in self.sessions.values_mut() {
            let acked = session.row.acked;
            session.runs.retain(|run| {
                #[cfg(test)]
                {
                    self.looked_at += 1;
                }
                run.first + run.len - 1 > acked || !done.contains(&run.job)
            });
        }
    }

    /// For each job that a session needs, its first event that one does: sent and not acknowledged,
    /// or yet to be sent.
    pub(super) fn needed(&self) -> HashMap<JobId, u64> {
        let mut needed = HashMap::new();
        let mut need = |job: &JobId, from: u64| {
            needed.entry(job.clone()).and_modify(|least: &mut u64| *least = from.min(*least)).or_insert(from);
        };
        for session in self.sessions.values() {
            for feed in session.feeds.values() {
                need(&feed.job, feed.next);
            }
            for run in session.runs.iter().filter(|run| run.first + run.len - 1 > session.row.acked) {
                // The ack may lie in the middle of the first one.
                need(&run.job, run.from + (session.row.acked + 1).saturating_sub(run.first));
            }
        }
        needed
    }
}

impl Job {
    /// Its oldest event goes; returns what it cost.
    pub(super) fn drop_oldest(&mut self) -> Option<usize> {
        let (_, event) = self.events.pop_front()?;
        let bytes = cost(&event.payload);
        self.bytes -= bytes as u64;
        self.floor += 1;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Session;
    use super::*;
    use crate::job::Status;
    use crate::store::{Bounds, JobRow, RunRow, SessionRow, StoredEvent};
    use crate::{Features, Json, MessageType, TraceId};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    /// Sessions with a run of each of so many jobs, which ended and were acknowledged or not.
    fn state(sessions: u128, jobs: u128, acked: u64) -> State {
        let mut state = State::default();
        let session = |n| SessionRow {
            id: SessionId::from_bits(n),
            principal: "ada".into(),
            epoch: 1,
            features: Features::NONE,
            profile: "draft".into(),
            secret: [0; 32],
            token: [0; 32],
            previous_token: None,
            head: u64::try_from(jobs).unwrap(),
            acked,
            created_at: at(0),
            expires_at: None,
        };
        for n in 0..sessions {
            let numbered = (1..).zip(0..jobs);
            let runs =
                numbered.map(|(first, job)| RunRow { first, len: 1, job: JobId::from_bits(job), from: 1 });
            let session = Session { row: session(n), feeds: BTreeMap::new(), runs: runs.collect() };
            state.sessions.insert(SessionId::from_bits(n), session);
        }
        for n in 0..jobs {
            let row = JobRow {
                id: JobId::from_bits(n),
                principal: "ada".into(),
                session: SessionId::from_bits(0),
                agent: "echo@1.0.0".into(),
                status: Status::Success,
                created_at: at(0),
                ended_at: Some(at(1)),
                head: 0,
                last_event_seq: 0,
                cancelling: false,
                note: None,
                owner: 1,
                trace_id: TraceId::from_bits(n),
                body: Json::null(),
            };
            state.apply("ada", crate::store::Op::PutJob { row });
        }
        state
    }

    #[test]
    fn many_jobs_that_go_at_once_cost_one_look_at_each_run() {
        let mut state = state(20, 300, 300);
        let trim = Trim { before: at(2), bounds: Bounds::NONE, limit: 10_000 };
        assert_eq!(state.trim(at(2), trim), 300);
        assert_eq!(state.sessions.values().map(|session| session.runs.len()).sum::<usize>(), 0);
        assert_eq!(state.looked_at, 20 * 300);
        assert_eq!(state.trim(at(2), trim), 0);
        assert_eq!(state.looked_at, 20 * 300, "where no job goes there is nothing to look for");
    }

    #[test]
    fn many_jobs_that_are_thinned_at_once_cost_one_look_at_each_run() {
        let mut state = state(20, 300, 0);
        for job in state.jobs.values_mut() {
            let event = StoredEvent { kind: MessageType::Event, needs: None, payload: Json::null() };
            (job.row.head, job.bytes) = (1, cost(&event.payload) as u64);
            state.bytes += cost(&event.payload);
            job.events.push_back((at(1), event));
        }
        let trim = Trim { before: at(0), bounds: Bounds { bytes: 0, ..Bounds::NONE }, limit: 10_000 };
        assert_eq!(state.trim(at(2), trim), 2 * 300 + 20 * 300, "events, jobs and runs");
        assert_eq!(state.looked_at, 20 * 300);
    }
}
