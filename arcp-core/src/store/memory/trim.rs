//! Forgets what may be forgotten (§6.3, §6.5).

use std::collections::HashMap;

use super::{Job, State, cost};
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
        let mut gone = 0;
        self.keys.retain(|_, row| {
            let goes = row.expires_at <= now && gone < limit;
            gone += u64::from(goes);
            !goes
        });
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
        let (mut gone, mut done) = (0, Vec::new());
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
                done.push(id.clone());
                gone += 1;
            }
        }
        for id in done {
            for session in self.sessions.values_mut() {
                let acked = session.row.acked;
                session.runs.retain(|run| run.job != id || run.first + run.len - 1 > acked);
            }
            if let Some(job) = self.jobs.remove(&id) {
                self.bytes -= cost(&job.row.body);
                if let Some(listing) = self.listings.get_mut(&job.row.principal) {
                    listing.remove(&(job.row.created_at, id));
                    if listing.is_empty() {
                        self.listings.remove(&job.row.principal);
                    }
                }
            }
        }
        gone
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
