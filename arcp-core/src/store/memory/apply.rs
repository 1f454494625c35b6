//! Applies operations that were found to fit.

use std::collections::{BTreeMap, VecDeque};

use super::{Job, Session, State, cost, key_cost};
use crate::job::Status;
use crate::store::{JobRow, Op, RunRow, SessionRow, StoredEvent};
use crate::{JobId, Timestamp};

impl State {
    pub(super) fn apply(&mut self, principal: &str, op: Op) {
        match op {
            Op::PutSession { row, expect: _ } => self.put_session(row),
            Op::Number { session, epoch: _, after: _, runs, feeds } => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.number(runs, feeds);
                }
            }
            Op::Ack { session, epoch: _, seq } => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.ack(seq);
                }
            }
            Op::PutFeed { session, epoch: _, feed } => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.feeds.insert(feed.job.clone(), feed);
                }
            }
            Op::DropFeed { session, epoch: _, job } => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.feeds.remove(&job);
                }
            }
            Op::PutJob { row } => self.put_job(row),
            Op::TakeJob { job, from: _, to } => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.row.owner = to;
                }
            }
            Op::CancelJob { job, owner: _ } => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.row.cancelling = true;
                }
            }
            Op::NoteJob { job, owner: _, note } => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.row.note = Some(note);
                }
            }
            Op::Append { job, owner: _, after: _, events, at, ended } => {
                let bytes = events.iter().map(|event| cost(&event.payload)).sum::<usize>();
                self.bytes += bytes;
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.bytes += bytes as u64;
                    job.append(events, at, ended);
                }
            }
            Op::Idempotency { row, now: _ } => {
                self.bytes += key_cost(&row);
                let before = self.keys.insert((principal.to_owned(), row.key.clone()), row);
                self.bytes -= before.as_ref().map_or(0, key_cost);
            }
            Op::DropIdempotency { key } => {
                let before = self.keys.remove(&(principal.to_owned(), key));
                self.bytes -= before.as_ref().map_or(0, key_cost);
            }
            Op::Credential { row, expect: _ } => self.put_credential(row),
            Op::Audit { at, record } => {
                self.bytes += cost(&record);
                self.audit.push_back((at, record));
            }
        }
    }

    fn put_session(&mut self, mut row: SessionRow) {
        let old = self.sessions.remove(&row.id);
        if let Some(old) = &old {
            self.forget_tokens(&old.row);
            (row.head, row.acked) = (old.row.head, old.row.acked);
        }
        for token in std::iter::once(row.token).chain(row.previous_token) {
            self.tokens.insert(token, row.id.clone());
        }
        let (feeds, runs) = match old {
            Some(old) => (old.feeds, old.runs),
            None => (BTreeMap::new(), VecDeque::new()),
        };
        self.sessions.insert(row.id.clone(), Session { row, feeds, runs });
    }

    pub(super) fn forget_tokens(&mut self, row: &SessionRow) {
        for token in std::iter::once(row.token).chain(row.previous_token) {
            self.tokens.remove(&token);
        }
    }

    fn put_job(&mut self, row: JobRow) {
        self.bytes += cost(&row.body);
        let listing = self.listings.entry(row.principal.clone()).or_default();
        listing.insert((row.created_at, row.id.clone()));
        self.jobs.insert(row.id.clone(), Job { row, events: VecDeque::new(), floor: 0, bytes: 0 });
    }
}

impl Session {
    fn number(&mut self, runs: Vec<RunRow>, feeds: Vec<(JobId, u64)>) {
        for run in runs {
            self.row.head = run.first + run.len - 1;
            match self.runs.back_mut() {
                Some(last) if last.goes_on_as(&run) => last.len += run.len,
                _ => self.runs.push_back(run),
            }
        }
        for (job, next) in feeds {
            if let Some(feed) = self.feeds.get_mut(&job) {
                feed.next = next;
            }
        }
    }

    fn ack(&mut self, seq: u64) {
        self.row.acked = self.row.acked.max(seq);
    }
}

impl RunRow {
    /// Whether `next` is one with it: there is a hole between their numbers where a run in between was
    /// forgotten with its job.
    fn goes_on_as(&self, next: &Self) -> bool {
        let (first, from) = (self.first + self.len, self.from + self.len);
        self.job == next.job && first == next.first && from == next.from
    }
}

impl Job {
    fn append(&mut self, events: Vec<StoredEvent>, at: Timestamp, ended: Option<Status>) {
        self.row.head += events.len() as u64;
        self.events.extend(events.into_iter().map(|event| (at, event)));
        if let Some(status) = ended {
            (self.row.status, self.row.ended_at) = (status, Some(at));
        } else if self.row.status == Status::Pending {
            self.row.status = Status::Running;
        }
    }
}
