//! The reference store: maps under a lock, gone with the process.

mod apply;
mod check;
mod credential;
mod force;
mod ids;
mod trim;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::future::ready;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{
    Batch, Bounds, Caps, Committed, CredentialQuery, CredentialRow, Durability, FeedRow, Hash,
    IdempotencyRow, JobQuery, JobRow, Joined, Lapse, OpResult, Page, Position, RunRow, SessionRow, Store,
    StoreError, StoreFuture, StoredEvent, Trim,
};
use crate::{JobId, Json, SessionId, Timestamp};

/// Keeps everything in this process, and loses it with the process.
///
/// A batch is first checked as a whole and then applied, so nothing ever has to be taken back.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    caps: Caps,
    room: usize,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<SessionId, Session>,
    tokens: HashMap<Hash, SessionId>,
    jobs: HashMap<JobId, Job>,
    /// The jobs of each principal by time and id.
    listings: HashMap<String, BTreeSet<(Timestamp, JobId)>>,
    keys: HashMap<(String, String), IdempotencyRow>,
    credentials: BTreeMap<String, CredentialRow>,
    audit: VecDeque<(Timestamp, Json)>,
    ids: ids::BatchIds,
    owners: u64,
    secret: Option<Hash>,
    bytes: usize,
    /// Runs that were looked at because jobs or events of theirs went.
    #[cfg(test)]
    looked_at: usize,
}

#[derive(Debug)]
struct Session {
    row: SessionRow,
    feeds: BTreeMap<JobId, FeedRow>,
    runs: VecDeque<RunRow>,
}

#[derive(Debug)]
struct Job {
    row: JobRow,
    events: VecDeque<(Timestamp, StoredEvent)>,
    /// The number of the newest event that is gone.
    floor: u64,
    /// What its events cost.
    bytes: u64,
}

/// What a row costs beside its texts, roughly.
const OVERHEAD: usize = 128;

/// What a key costs.
fn key_cost(row: &IdempotencyRow) -> usize {
    row.key.len() + cost(&row.accepted)
}

fn cost(text: &Json) -> usize {
    text.as_str().len() + OVERHEAD
}

impl Default for MemoryStore {
    /// A store with room for 1 GiB.
    fn default() -> Self {
        Self::with_room(1 << 30)
    }
}

impl MemoryStore {
    /// A store that is full when it holds about `room` bytes of events, inputs, acceptances and audit
    /// records. A trim leaves an eighth of it free, whatever its bounds.
    pub fn with_room(room: usize) -> Self {
        Self { state: Mutex::default(), caps: Caps::new(Durability::Volatile), room }
    }

    /// The audit records that were not trimmed yet, oldest first.
    pub fn audit(&self) -> Vec<(Timestamp, Json)> {
        self.lock().audit.iter().cloned().collect()
    }

    /// How many sessions it keeps.
    pub fn sessions(&self) -> usize {
        self.lock().sessions.len()
    }

    /// A panic cannot happen between the first and the last change of a batch, so a poisoned lock
    /// guards a whole state all the same.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit_now(&self, batch: Batch) -> Result<Committed, StoreError> {
        let mut state = self.lock();
        if state.ids.has(batch.id) {
            return Ok(Committed::default());
        }
        if let Some(existing) = check::check(&state, &batch, &self.caps, self.room)? {
            return Ok(Committed { results: vec![OpResult::Existing(existing)] });
        }
        state.ids.remember(batch.id);
        for op in batch.ops {
            state.apply(&batch.principal, op);
        }
        Ok(Committed::default())
    }

    /// What has only so much room is thinned before it is full.
    fn trim_now(&self, now: Timestamp, trim: Trim) -> u64 {
        let room = (self.room - self.room / 8) as u64;
        let bounds = Bounds { bytes: trim.bounds.bytes.min(room), ..trim.bounds };
        self.lock().trim(now, Trim { bounds, ..trim })
    }
}

impl State {
    fn job_events(&self, id: &JobId, after: u64, max_bytes: usize) -> Page<StoredEvent> {
        let Some(job) = self.jobs.get(id) else {
            return Page { items: Vec::new(), floor: 0, more: false };
        };
        let skip = usize::try_from(after.saturating_sub(job.floor)).unwrap_or(usize::MAX);
        let mut rest = job.events.iter().skip(skip).map(|(_, event)| event).peekable();
        let (mut items, mut bytes) = (Vec::new(), 0usize);
        while let Some(event) = rest.peek() {
            bytes = bytes.saturating_add(event.payload.as_str().len());
            if bytes > max_bytes && !items.is_empty() {
                break;
            }
            items.extend(rest.next().cloned());
        }
        Page { items, floor: job.floor, more: rest.peek().is_some() }
    }

    fn row(&self, job: &Job) -> JobRow {
        let runs = self.sessions.get(&job.row.session).map(|session| session.runs.iter());
        let last = runs.and_then(|runs| runs.rev().find(|run| run.job == job.row.id));
        JobRow { last_event_seq: last.map_or(0, |run| run.first + run.len - 1), ..job.row.clone() }
    }

    fn list_jobs(&self, principal: &str, query: &JobQuery) -> Page<JobRow> {
        let jobs = self.listings.get(principal).into_iter();
        let end = query.after.clone().map(|Position { created_at, job }| (created_at, job));
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        let newest_first = jobs.flat_map(|jobs| jobs.range((Bound::Unbounded, end.clone())).rev());
        let mut jobs = newest_first
            .take_while(|(at, _)| query.created_after.is_none_or(|after| *at >= after))
            .filter_map(|(_, id)| self.jobs.get(id))
            .filter(|job| query.status.is_empty() || query.status.contains(&job.row.status))
            .filter(|job| query.agent.as_ref().is_none_or(|agent| is_agent(&job.row.agent, agent)));
        let items = jobs.by_ref().take(query.limit).map(|job| self.row(job)).collect();
        Page { items, floor: 0, more: jobs.next().is_some() }
    }
}

/// Whether `agent` is `wanted`, which may be without a version.
fn is_agent(agent: &str, wanted: &str) -> bool {
    agent == wanted || agent.strip_prefix(wanted).is_some_and(|version| version.starts_with('@'))
}

impl Store for MemoryStore {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn join(&self, lapse: Lapse, secret: Hash) -> StoreFuture<'_, Joined> {
        let mut state = self.lock();
        state.owners += 1;
        for session in state.sessions.values_mut() {
            let caught_up = session.row.acked >= session.row.head && session.feeds.is_empty();
            let at = if caught_up { lapse.caught_up } else { lapse.pending };
            session.row.expires_at.get_or_insert(at);
        }
        let secret = *state.secret.get_or_insert(secret);
        Box::pin(ready(Ok(Joined { owner: state.owners, secret })))
    }

    fn commit(&self, batch: Batch) -> StoreFuture<'_, Committed> {
        Box::pin(ready(self.commit_now(batch)))
    }

    fn session<'a>(&'a self, id: &'a SessionId) -> StoreFuture<'a, Option<SessionRow>> {
        let found = self.lock().sessions.get(id).map(|session| session.row.clone());
        Box::pin(ready(Ok(found)))
    }

    fn session_by_token(&self, token: Hash) -> StoreFuture<'_, Option<SessionRow>> {
        let state = self.lock();
        let session = state.tokens.get(&token).and_then(|id| state.sessions.get(id));
        Box::pin(ready(Ok(session.map(|session| session.row.clone()))))
    }

    fn feeds<'a>(&'a self, session: &'a SessionId) -> StoreFuture<'a, Vec<FeedRow>> {
        let state = self.lock();
        let feeds = state.sessions.get(session).map(|session| session.feeds.values().cloned().collect());
        Box::pin(ready(Ok(feeds.unwrap_or_default())))
    }

    fn runs<'a>(&'a self, session: &'a SessionId, after: u64, limit: usize) -> StoreFuture<'a, Page<RunRow>> {
        let state = self.lock();
        let page = state.sessions.get(session).map(|session| {
            let mut above = session.runs.iter().filter(|run| run.first + run.len - 1 > after);
            let items = above.by_ref().take(limit).cloned().collect();
            let floor = session.runs.front().map_or(session.row.head, |run| run.first - 1);
            Page { items, floor, more: above.next().is_some() }
        });
        Box::pin(ready(Ok(page.unwrap_or(Page { items: Vec::new(), floor: 0, more: false }))))
    }

    fn job<'a>(&'a self, principal: &'a str, id: &'a JobId) -> StoreFuture<'a, Option<JobRow>> {
        let state = self.lock();
        let found = state.jobs.get(id).filter(|job| job.row.principal == principal);
        Box::pin(ready(Ok(found.map(|job| state.row(job)))))
    }

    fn job_events<'a>(
        &'a self,
        job: &'a JobId,
        after: u64,
        max_bytes: usize,
    ) -> StoreFuture<'a, Page<StoredEvent>> {
        Box::pin(ready(Ok(self.lock().job_events(job, after, max_bytes))))
    }

    fn list_jobs<'a>(&'a self, principal: &'a str, query: JobQuery) -> StoreFuture<'a, Page<JobRow>> {
        Box::pin(ready(Ok(self.lock().list_jobs(principal, &query))))
    }

    fn idempotency<'a>(
        &'a self,
        principal: &'a str,
        key: &'a str,
    ) -> StoreFuture<'a, Option<IdempotencyRow>> {
        let found = self.lock().keys.get(&(principal.to_owned(), key.to_owned())).cloned();
        Box::pin(ready(Ok(found)))
    }

    fn orphans(&self, owner: u64, limit: usize) -> StoreFuture<'_, Vec<JobRow>> {
        let state = self.lock();
        let orphan = |job: &&Job| job.row.owner < owner && !job.row.status.is_terminal();
        let orphans = state.jobs.values().filter(orphan).take(limit).map(|job| state.row(job));
        Box::pin(ready(Ok(orphans.collect())))
    }

    fn credentials(&self, query: CredentialQuery) -> StoreFuture<'_, Page<CredentialRow>> {
        Box::pin(ready(Ok(self.lock().credentials(&query))))
    }

    fn trim(&self, now: Timestamp, trim: Trim) -> StoreFuture<'_, u64> {
        Box::pin(ready(Ok(self.trim_now(now, trim))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Status;
    use crate::store::Op;
    use crate::{MessageType, TraceId};

    fn audit(id: u128, text: &str) -> Batch {
        let record = Json::of(text).unwrap();
        let ops = vec![Op::Audit { at: Timestamp::from_millis(1), record }];
        Batch { id, principal: "a".into(), ops }
    }

    #[test]
    fn a_full_store_changes_nothing_and_has_room_again_after_a_trim() {
        let store = MemoryStore::with_room(400);
        assert!(store.commit_now(audit(1, "first")).is_ok());
        assert_eq!(store.commit_now(audit(2, &"x".repeat(300))), Err(StoreError::Full));
        assert_eq!(store.audit().len(), 1);
        let before = Timestamp::from_millis(2);
        assert_eq!(store.lock().trim(before, Trim { before, bounds: Bounds::NONE, limit: 10 }), 1);
        assert!(store.commit_now(audit(2, &"x".repeat(200))).is_ok());
    }

    #[test]
    fn a_store_with_little_room_takes_job_after_job_within_it() {
        let store = MemoryStore::with_room(100_000);
        for n in 0..100 {
            let row = JobRow {
                id: JobId::from_bits(n),
                principal: "a".into(),
                session: SessionId::from_bits(1),
                agent: "echo@1.0.0".into(),
                status: Status::Running,
                created_at: Timestamp::from_millis(1),
                ended_at: None,
                head: 0,
                last_event_seq: 0,
                cancelling: false,
                note: None,
                owner: 1,
                trace_id: TraceId::from_bits(n + 1),
                body: Json::of(&"x".repeat(5000)).unwrap(),
            };
            let (accepted, job) = (row.body.clone(), row.id.clone());
            let (key, expires_at) = (format!("key {n}"), Timestamp::from_millis(1000));
            let key = IdempotencyRow { key, fingerprint: [1; 32], job: job.clone(), accepted, expires_at };
            let events = vec![StoredEvent { kind: MessageType::Result, needs: None, payload: Json::null() }];
            let (at, ended) = (Timestamp::from_millis(1), Some(Status::Success));
            let ops = vec![
                Op::Idempotency { row: key, now: at },
                Op::PutJob { row },
                Op::Append { job, owner: 1, after: 0, events, at, ended },
            ];
            assert_eq!(
                store.commit_now(Batch { id: n, principal: "a".into(), ops }),
                Ok(Committed::default())
            );
            let trim = Trim { before: Timestamp::from_millis(0), bounds: Bounds::NONE, limit: 100 };
            store.trim_now(at, trim);
        }
        let state = store.lock();
        let jobs: usize = state.jobs.values().map(|job| cost(&job.row.body)).sum();
        let keys: usize = state.keys.values().map(key_cost).sum();
        let events = state.jobs.values().map(|job| usize::try_from(job.bytes).unwrap()).sum::<usize>();
        assert_eq!((state.jobs.len(), state.bytes), (8, jobs + keys + events), "all is counted");
    }

    #[test]
    fn a_bare_name_is_every_version_and_no_longer_name() {
        assert!(is_agent("echo@1.0.0", "echo"));
        assert!(is_agent("echo@1.0.0", "echo@1.0.0"));
        assert!(!is_agent("echo@1.0.0", "echo@1.0"));
        assert!(!is_agent("echoes@1.0.0", "echo"));
    }
}
