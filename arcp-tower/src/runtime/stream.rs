//! A job's log, and those who follow it.

mod watched;
mod written;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

use arcp_core::job::Status;
use arcp_core::log::{Caps, Ended, JobLog};
use arcp_core::session::FeedId;
use arcp_core::{Event, JobId, TraceId};
use smallvec::SmallVec;
use tokio_util::sync::CancellationToken;

use super::authority::JobAuthority;
use super::journal::Journal;
use crate::auth::Principal;
use crate::service::SessionCtx;
use crate::telemetry;

/// A job's log and those who follow it. Each event is in it once, however many do.
pub(crate) struct JobStream {
    job_id: JobId,
    trace_id: TraceId,
    principal: Principal,
    /// Where it is written to, if it is.
    journal: Option<Arc<Journal>>,
    /// What is noted beside its events, if anything is.
    noted: OnceLock<Arc<JobAuthority>>,
    state: Mutex<State>,
    broken: CancellationToken,
}

struct State {
    log: JobLog,
    /// Events up to this number may be seen: all of them, or those that were written.
    visible: u64,
    /// How many events were counted.
    counted: telemetry::Tally,
    /// Events up to this number were handed to the store, which answers in its own time.
    offered: u64,
    /// Where the log broke off: what was behind it never was.
    broken_at: Option<u64>,
    /// How new the note is that was written.
    note: u64,
    /// Whether the journal knows that there is something to write.
    queued: bool,
    /// How the job ended, with its terminal.
    ended: Option<Status>,
    /// Whether its events are to be held no longer than somebody follows it.
    forgotten: bool,
    watchers: Vec<Option<Watcher>>,
    /// Agents that wait until more was written.
    writers: Vec<Waker>,
}

struct Watcher {
    session: SessionCtx,
    feed: FeedId,
    /// Whether the session knows that there is something new: it is told once, and reads until
    /// there is no more.
    told: bool,
}

/// The place of a watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(usize);

type Untold = SmallVec<[(SessionCtx, FeedId); 2]>;

impl State {
    fn arrived(&self, job_seq: u64) -> Option<bool> {
        match self.broken_at {
            Some(last) => Some(job_seq <= last),
            None => (self.visible >= job_seq).then_some(true),
        }
    }

    /// Whether the job has ended, and nobody is to be told of it any more.
    fn is_over(&self) -> bool {
        let ended = self.log.is_ended() && self.visible == self.log.head();
        ended && self.watchers.iter().all(Option::is_none)
    }

    fn followers(&self) -> Untold {
        let followers = self.watchers.iter().flatten();
        followers.map(|watcher| (watcher.session.clone(), watcher.feed)).collect()
    }

    fn untold(&mut self) -> Untold {
        let mut untold = Untold::new();
        for watcher in self.watchers.iter_mut().flatten().filter(|watcher| !watcher.told) {
            watcher.told = true;
            untold.push((watcher.session.clone(), watcher.feed));
        }
        untold
    }
}

fn tell(untold: Untold) {
    for (session, feed) in untold {
        session.tell(feed);
    }
}

impl JobStream {
    /// The log of a new job.
    pub(crate) fn new(
        job_id: JobId,
        trace_id: TraceId,
        principal: Principal,
        caps: Caps,
        journal: Option<Arc<Journal>>,
    ) -> Self {
        Self::with(job_id, trace_id, principal, JobLog::new(caps), journal)
    }

    /// The log of a job whose events up to `head` are in the store.
    pub(crate) fn restore(
        job_id: JobId,
        trace_id: TraceId,
        principal: Principal,
        log: JobLog,
        journal: Arc<Journal>,
    ) -> Self {
        Self::with(job_id, trace_id, principal, log, Some(journal))
    }

    fn with(
        job_id: JobId,
        trace_id: TraceId,
        principal: Principal,
        log: JobLog,
        journal: Option<Arc<Journal>>,
    ) -> Self {
        let visible = log.head();
        let (watchers, writers) = (Vec::new(), Vec::new());
        let state = State {
            log,
            visible,
            counted: telemetry::Tally::from(visible),
            offered: visible,
            broken_at: None,
            note: 0,
            queued: false,
            ended: None,
            forgotten: false,
            watchers,
            writers,
        };
        let broken = CancellationToken::new();
        let (noted, state) = (OnceLock::new(), Mutex::new(state));
        Self { job_id, trace_id, principal, journal, noted, state, broken }
    }

    pub(crate) fn job_id(&self) -> &JobId {
        &self.job_id
    }

    /// Whose job it is.
    pub(crate) fn principal(&self) -> &Principal {
        &self.principal
    }

    pub(crate) fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// What is left of the job's budget is to be written beside its events.
    pub(super) fn note(self: &Arc<Self>, authority: Arc<JobAuthority>) {
        authority.note_beside(Arc::downgrade(self));
        let _ = self.noted.set(authority);
    }

    /// What is left of the budget is other than was written: it is written now, with or without events.
    pub(super) fn noted_anew(self: &Arc<Self>) {
        let state = self.state();
        if self.journal.is_some() && !state.log.is_ended() && !self.broken.is_cancelled() {
            self.announce(state);
        }
    }

    /// Cancelled when its events can no longer be kept.
    pub(crate) fn broken(&self) -> &CancellationToken {
        &self.broken
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an event, and sees that it is written or told.
    pub(crate) fn append(self: &Arc<Self>, event: Event) -> Result<u64, Ended> {
        if self.broken.is_cancelled() {
            return Err(Ended);
        }
        let mut state = self.state();
        self.push(&mut state, event).inspect(|_| self.announce(state))
    }

    /// Appends the end of the job. It may be all that can still be written of it.
    pub(crate) fn end(self: &Arc<Self>, terminal: Event, status: Status) -> Result<u64, Ended> {
        let mut state = self.state();
        state.ended = Some(status);
        let lost = state.broken_at.is_some();
        let terminal = if lost { self.unkept(&mut state).unwrap_or(terminal) } else { terminal };
        let pushed = self.push(&mut state, terminal);
        let head = state.log.head();
        state.counted.reach(head);
        pushed.inspect(|_| self.announce(state))
    }

    /// How the job ended, if it has.
    pub(super) fn ended(&self) -> Option<Status> {
        self.state().ended
    }

    fn push(&self, state: &mut State, event: Event) -> Result<u64, Ended> {
        let kept = if self.journal.is_none() { u64::MAX } else { state.visible };
        let job_seq = state.log.append_holding(Arc::new(event), kept)?;
        if self.journal.is_none() {
            state.visible = job_seq;
            state.counted.pass(job_seq);
        }
        Ok(job_seq)
    }

    fn announce(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let Some(journal) = &self.journal else {
            let untold = state.untold();
            drop(state);
            return tell(untold);
        };
        let known = std::mem::replace(&mut state.queued, true);
        drop(state);
        if !known {
            journal.enqueue(&self.principal, self.clone());
        }
    }

    /// Bytes that its events hold in memory.
    pub(in crate::runtime) fn bytes(&self) -> usize {
        self.state().log.bytes()
    }

    /// Holds its events in memory no longer. Where there is a store they are read from it, and
    /// otherwise they are gone; but what is still sent to somebody stays for as long. A session
    /// without a connection that had yet to be sent them cannot be resumed.
    pub(super) fn forget(&self) {
        let mut state = self.state();
        state.forgotten = true;
        let sent_to = |watcher: &Watcher| watcher.session.is_attached();
        if state.visible == state.log.head() && !state.watchers.iter().flatten().any(sent_to) {
            state.log.forget();
        }
    }

    /// The number of the newest event that may be seen, of the oldest that is kept in memory, and
    /// whether the job has ended for those who watch.
    pub(crate) fn extent(&self) -> (u64, u64, bool) {
        let state = self.state();
        let ended = state.log.is_ended() && state.visible == state.log.head();
        (state.visible, state.log.floor() + 1, ended)
    }
}

impl fmt::Debug for JobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobStream").field("job_id", &self.job_id).finish_non_exhaustive()
    }
}
