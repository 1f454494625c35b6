//! From an agent's event to the sessions that follow the job.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use arcp_core::job::Status;
use arcp_core::log::{BelowFloor, Caps, Ended, JobLog};
use arcp_core::session::FeedId;
use arcp_core::store::StoredEvent;
use arcp_core::{Code, Error, Event, JobId, SessionId, TraceId};
use smallvec::SmallVec;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::authority::JobAuthority;
use super::journal::{Journal, Portion};
use crate::auth::Principal;
use crate::service::{Emit, SessionCtx};
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

    pub(crate) fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// What is left of the job's budget is to be written beside its events.
    pub(super) fn note(&self, authority: Arc<JobAuthority>) {
        let _ = self.noted.set(authority);
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
        let pushed = self.push(&mut state, terminal);
        let head = state.log.head();
        state.counted.reach(head);
        pushed.inspect(|_| self.announce(state))
    }

    /// Whether an agent may go on; if not, `cx` is woken when it may. What is not written yet is
    /// only here.
    fn has_room(&self, most: usize, cx: &Context<'_>) -> bool {
        let mut state = self.state();
        let unwritten = usize::try_from(state.log.head() - state.visible).unwrap_or(usize::MAX);
        if unwritten < most || self.broken.is_cancelled() {
            return true;
        }
        state.writers.push(cx.waker().clone());
        false
    }

    fn push(&self, state: &mut State, event: Event) -> Result<u64, Ended> {
        let job_seq = state.log.append(Arc::new(event))?;
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

    /// The next events to be written.
    pub(super) fn unwritten(&self, most: usize, bytes: usize) -> Portion {
        let state = self.state();
        let mut events = VecDeque::new();
        // What is not written is never dropped from the log: the submitter's credits bound it.
        let _ = state.log.read(state.visible + 1, most, &mut events);
        let mut room = bytes;
        let fits = |event: &Arc<Event>| {
            let fits = room > 0;
            room = room.saturating_sub(event.payload.as_str().len());
            fits
        };
        let events: Vec<Arc<Event>> = events.into_iter().take_while(fits).collect();
        let ended = state.ended.filter(|_| events.last().is_some_and(|last| last.is_terminal()));
        let events = events.iter().map(|event| StoredEvent::of(event)).collect();
        let note = self.noted.get().and_then(|authority| authority.note(state.note));
        Portion { after: state.visible, events, ended, note }
    }

    /// A portion is on its way to the store: those who follow may have numbers written behind it.
    pub(super) fn offer(&self, portion: &Portion) {
        let mut state = self.state();
        state.offered = state.offered.max(portion.after + portion.events.len() as u64);
        let untold = state.untold();
        drop(state);
        tell(untold);
    }

    /// Events from `from` on that are on their way to the store; none if there are more than `most`, or
    /// the first of them has arrived.
    pub(crate) fn offered(&self, from: u64, most: u64) -> VecDeque<Arc<Event>> {
        let (state, mut events) = (self.state(), VecDeque::new());
        let many = (state.offered + 1).saturating_sub(from);
        if from > state.visible && (1..=most).contains(&many) {
            let _ = state.log.read(from, usize::try_from(many).unwrap_or(usize::MAX), &mut events);
        }
        events
    }

    /// Whether event `job_seq`, which was on its way to the store, is there; `None` is not known yet.
    pub(crate) fn arrived(&self, job_seq: u64) -> Option<bool> {
        self.state().arrived(job_seq)
    }

    /// Waits until that is known.
    pub(crate) async fn arrives(&self, job_seq: u64) -> bool {
        std::future::poll_fn(|cx| {
            let mut state = self.state();
            if let Some(arrived) = state.arrived(job_seq) {
                return Poll::Ready(arrived);
            }
            state.writers.push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// A portion was written: those who follow may see it. `true` if there is more.
    pub(super) fn written(&self, portion: &Portion) -> bool {
        let mut state = self.state();
        state.visible = state.visible.max(portion.after + portion.events.len() as u64);
        state.note = portion.note.as_ref().map_or(state.note, |(newest, _)| *newest);
        let more = state.log.head() > state.visible;
        state.queued = more;
        let head = state.log.head();
        state.counted.reach(head);
        if state.is_over() {
            // Its end was sent before the store had said that it has it.
            state.log.forget();
        }
        let (untold, writers) = (state.untold(), std::mem::take(&mut state.writers));
        drop(state);
        writers.into_iter().for_each(Waker::wake);
        tell(untold);
        more
    }

    /// What is not written cannot be: it is taken back, except the end of the job. `true` if that is
    /// there and still to be written.
    pub(super) fn break_off(&self) -> bool {
        let mut state = self.state();
        let visible = state.visible;
        let end = if state.log.is_ended() { state.log.last() } else { None };
        state.log.take_back(visible);
        (state.offered, state.broken_at) = (visible, Some(visible));
        let again = end.and_then(|end| state.log.append(end).ok()).is_some();
        state.queued = again;
        let writers = std::mem::take(&mut state.writers);
        drop(state);
        self.broken.cancel();
        writers.into_iter().for_each(Waker::wake);
        again
    }

    /// Bytes that its events hold in memory.
    pub(super) fn bytes(&self) -> usize {
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

    /// The sessions with a connection that are sent its events.
    pub(super) fn followers(&self) -> Vec<SessionId> {
        let state = self.state();
        let attached = state.watchers.iter().flatten().filter(|watcher| watcher.session.is_attached());
        attached.map(|watcher| watcher.session.id().clone()).collect()
    }

    /// Adds a follower. It counts as told, so nothing reaches it before its session is told in its
    /// own time.
    pub(crate) fn watch(&self, session: &SessionCtx, feed: FeedId) -> Slot {
        let watcher = Some(Watcher { session: session.clone(), feed, told: true });
        let mut state = self.state();
        if let Some(free) = state.watchers.iter().position(Option::is_none) {
            state.watchers[free] = watcher;
            return Slot(free);
        }
        state.watchers.push(watcher);
        Slot(state.watchers.len() - 1)
    }

    pub(crate) fn unwatch(&self, slot: Slot) {
        let mut state = self.state();
        if let Some(watcher) = state.watchers.get_mut(slot.0) {
            *watcher = None;
        }
        if (self.journal.is_some() || state.forgotten) && state.is_over() {
            // Everybody was sent everything, and the store has it, or there was no room for it.
            state.log.forget();
        }
    }

    /// Reads on for a follower. `true` if there is more.
    pub(crate) fn read(
        &self,
        slot: Slot,
        from: u64,
        most: usize,
        into: &mut VecDeque<Arc<Event>>,
    ) -> Result<bool, BelowFloor> {
        let mut state = self.state();
        let before = into.len();
        let visible = usize::try_from((state.visible + 1).saturating_sub(from)).unwrap_or(usize::MAX);
        if visible > 0 {
            state.log.read(from, most.min(visible), into)?;
        }
        let more = from + ((into.len() - before) as u64) <= state.visible;
        if !more {
            let head = state.log.head();
            state.counted.reach(head);
            if let Some(Some(watcher)) = state.watchers.get_mut(slot.0) {
                watcher.told = false;
            }
        }
        Ok(more)
    }

    /// Events for a replay, as far as they are in memory.
    pub(crate) fn peek(&self, from: u64, most: usize) -> Result<VecDeque<Arc<Event>>, BelowFloor> {
        let mut events = VecDeque::new();
        let state = self.state();
        state.log.read(from, most, &mut events)?;
        if events.is_empty() { Err(BelowFloor) } else { Ok(events) }
    }

    /// Whether event `from` can still be read, here or in the store.
    pub(crate) fn reaches(&self, from: u64) -> bool {
        self.journal.is_some() || self.state().log.floor() < from
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

/// The innermost event service of a job: appends to its log. It is ready while the submitting
/// session has room for what waits to be sent.
#[derive(Debug, Clone)]
pub struct Publish {
    pub(super) log: Arc<JobStream>,
    /// The session that submitted the job, if that is sent its events.
    pub(super) session: Option<SessionCtx>,
    /// Events that may wait to be written.
    pub(super) max_unwritten: usize,
}

impl Service<Emit> for Publish {
    type Response = ();
    type Error = Error;
    type Future = Ready<Result<(), Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let room = self.log.has_room(self.max_unwritten, cx)
            && self.session.as_ref().is_none_or(|session| session.has_room(cx));
        if room { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, Emit(event): Emit) -> Self::Future {
        // Before the append: once the event is there, it may be sent at any moment.
        if let Some(session) = &self.session {
            session.spent(event.payload.as_str().len());
        }
        let appended = self.log.append(event).map(drop);
        ready(appended.map_err(|Ended| {
            if self.log.broken.is_cancelled() {
                Error::new(Code::InternalError, "the job's events cannot be kept")
                    .with_detail("reason", "store")
            } else {
                Error::new(Code::Cancelled, "the job has ended")
            }
        }))
    }
}
