//! Whether a batch fits what is there. Nothing is changed here.

use std::collections::HashMap;

use super::{State, cost, credential, key_cost};
use crate::store::{Batch, Caps, CredentialRow, CredentialState, IdempotencyRow, Op, SessionRow, StoreError};
use crate::{JobId, SessionId};

/// `Ok(None)` if the whole batch fits, the row if one of its idempotency keys is there.
pub(super) fn check(
    state: &State,
    batch: &Batch,
    caps: &Caps,
    room: usize,
) -> Result<Option<IdempotencyRow>, StoreError> {
    let mut view = View {
        state,
        principal: &batch.principal,
        sessions: HashMap::new(),
        jobs: HashMap::new(),
        keys: HashMap::new(),
        credentials: HashMap::new(),
    };
    batch.check(caps)?;
    for (op, write) in batch.ops.iter().enumerate() {
        if let Some(existing) = view.step(write).map_err(|refused| refused.at(op))? {
            return Ok(Some(existing.clone()));
        }
    }
    let bytes: usize = batch.ops.iter().map(taken).sum();
    if state.bytes.saturating_add(bytes) > room { Err(StoreError::Full) } else { Ok(None) }
}

/// What an operation will take of the room.
fn taken(op: &Op) -> usize {
    match op {
        Op::PutJob { row } => cost(&row.body),
        Op::Append { events, .. } => events.iter().map(|event| cost(&event.payload)).sum(),
        Op::Credential { row, expect: None } => credential::cost(row),
        Op::Idempotency { row, .. } => key_cost(row),
        Op::Audit { record, .. } => cost(record),
        _ => 0,
    }
}

enum Refused {
    Fenced(u64),
    Conflict,
}

impl Refused {
    fn at(self, op: usize) -> StoreError {
        match self {
            Self::Fenced(current) => StoreError::Fenced { current },
            Self::Conflict => StoreError::Conflict { op },
        }
    }
}

fn conflict_if(bad: bool) -> Result<(), Refused> {
    if bad { Err(Refused::Conflict) } else { Ok(()) }
}

fn fenced_unless(current: u64, named: u64) -> Result<(), Refused> {
    if current == named && current != 0 { Ok(()) } else { Err(Refused::Fenced(current)) }
}

/// What is there, as the operations before this one leave it.
struct View<'a> {
    state: &'a State,
    principal: &'a str,
    sessions: HashMap<&'a SessionId, SessionHead>,
    jobs: HashMap<&'a JobId, JobHead>,
    keys: HashMap<&'a str, Option<&'a IdempotencyRow>>,
    credentials: HashMap<&'a str, &'a CredentialRow>,
}

#[derive(Default, Clone, Copy)]
struct SessionHead {
    epoch: u64,
    head: u64,
}

#[derive(Default, Clone, Copy)]
struct JobHead {
    owner: u64,
    head: u64,
    ended: bool,
}

impl<'a> View<'a> {
    fn step(&mut self, op: &'a Op) -> Result<Option<&'a IdempotencyRow>, Refused> {
        match op {
            Op::PutSession { row, expect } => self.put_session(row, *expect)?,
            Op::Number { session, epoch, after, runs, feeds: _ } => {
                let head = self.session(session, *epoch)?;
                conflict_if(head.head != *after)?;
                head.head += runs.iter().map(|run| run.len).sum::<u64>();
                for run in runs {
                    let last = run.from.saturating_add(run.len).saturating_sub(1);
                    conflict_if(self.head_of(&run.job).is_some_and(|head| last > head))?;
                }
            }
            Op::Ack { session, epoch, seq } => {
                let head = self.session(session, *epoch)?;
                conflict_if(*seq > head.head)?;
            }
            Op::PutFeed { session, epoch, .. } | Op::DropFeed { session, epoch, .. } => {
                self.session(session, *epoch)?;
            }
            Op::PutJob { row } => {
                let there = self.state.jobs.contains_key(&row.id) || self.jobs.contains_key(&row.id);
                conflict_if(there)?;
                let head = JobHead { owner: row.owner, head: 0, ended: row.status.is_terminal() };
                self.jobs.insert(&row.id, head);
            }
            Op::TakeJob { job, from, to } => {
                let head = self.job(job, *from)?;
                conflict_if(head.ended)?;
                head.owner = *to;
            }
            Op::CancelJob { job, owner } | Op::NoteJob { job, owner, .. } => {
                let head = self.job(job, *owner)?;
                conflict_if(head.ended)?;
            }
            Op::Append { job, owner, after, events, at: _, ended } => {
                let head = self.job(job, *owner)?;
                conflict_if(head.ended || head.head != *after)?;
                head.head += events.len() as u64;
                head.ended = ended.is_some();
            }
            Op::Idempotency { row, now } => {
                let key = (self.principal.to_owned(), row.key.clone());
                let stored = self.state.keys.get(&key);
                let there = self.keys.get(row.key.as_str()).copied().unwrap_or(stored);
                if let Some(existing) = there.filter(|existing| existing.expires_at > *now) {
                    return Ok(Some(existing));
                }
                self.keys.insert(&row.key, Some(row));
            }
            Op::DropIdempotency { key } => _ = self.keys.insert(key, None),
            Op::Credential { row, expect } => self.credential(row, *expect)?,
            Op::Audit { .. } => {}
        }
        Ok(None)
    }

    fn put_session(&mut self, row: &'a SessionRow, expect: u64) -> Result<(), Refused> {
        let stored = self.state.sessions.get(&row.id).map(|session| &session.row);
        conflict_if(stored.is_some_and(|stored| stored.principal != row.principal))?;
        let there = stored.map(|stored| SessionHead { epoch: stored.epoch, head: stored.head });
        let head = self.sessions.entry(&row.id).or_insert(there.unwrap_or_default());
        if head.epoch != expect {
            return Err(Refused::Fenced(head.epoch));
        }
        if expect == 0 {
            head.head = row.head;
        }
        head.epoch = row.epoch;
        Ok(())
    }

    fn credential(&mut self, row: &'a CredentialRow, expect: Option<CredentialState>) -> Result<(), Refused> {
        let stored = self.state.credentials.get(&row.name);
        let there = self.credentials.get(row.name.as_str()).copied().or(stored);
        conflict_if(there.map(|there| there.state) != expect)?;
        let of = |row: &'a CredentialRow| (&row.principal, &row.job, &row.id);
        conflict_if(there.is_some_and(|there| of(there) != of(row)))?;
        self.credentials.insert(&row.name, row);
        Ok(())
    }

    fn session(&mut self, id: &'a SessionId, epoch: u64) -> Result<&mut SessionHead, Refused> {
        let stored = self.state.sessions.get(id).map(|session| &session.row);
        let mine = stored.filter(|row| row.principal == self.principal);
        let there = mine.map(|row| SessionHead { epoch: row.epoch, head: row.head });
        let head = self.sessions.entry(id).or_insert(there.unwrap_or_default());
        fenced_unless(head.epoch, epoch)?;
        Ok(head)
    }

    /// The number of a job's last event, whoever's job it is.
    fn head_of(&self, id: &JobId) -> Option<u64> {
        let stored = || self.state.jobs.get(id).map(|job| job.row.head);
        self.jobs.get(id).map(|job| job.head).or_else(stored)
    }

    fn job(&mut self, id: &'a JobId, owner: u64) -> Result<&mut JobHead, Refused> {
        let stored = self.state.jobs.get(id).map(|job| &job.row);
        let mine = stored.filter(|row| row.principal == self.principal);
        let there =
            mine.map(|row| JobHead { owner: row.owner, head: row.head, ended: row.status.is_terminal() });
        // Not `entry`: a job that is not there must not look as if it were, to a `PutJob` behind it.
        if let (false, Some(there)) = (self.jobs.contains_key(id), there) {
            self.jobs.insert(id, there);
        }
        let head = self.jobs.get_mut(id).ok_or(Refused::Fenced(0))?;
        fenced_unless(head.owner, owner)?;
        Ok(head)
    }
}
