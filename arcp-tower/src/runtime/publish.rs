//! From an agent's event to the sessions that follow the job.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use arcp_core::log::{BelowFloor, Caps, Ended, JobLog};
use arcp_core::session::FeedId;
use arcp_core::{Code, Error, Event, JobId};
use smallvec::SmallVec;
use tower_service::Service;

use crate::service::{Emit, SessionCtx};

/// A job's log and those who follow it. Each event is in it once, however many do.
pub(crate) struct JobStream {
    job_id: JobId,
    state: Mutex<State>,
}

struct State {
    log: JobLog,
    watchers: Vec<Option<Watcher>>,
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

impl JobStream {
    pub(crate) fn new(job_id: JobId, caps: Caps) -> Self {
        Self { job_id, state: Mutex::new(State { log: JobLog::new(caps), watchers: Vec::new() }) }
    }

    pub(crate) fn job_id(&self) -> &JobId {
        &self.job_id
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an event, and tells those who follow.
    pub(crate) fn append(&self, event: Event) -> Result<u64, Ended> {
        let event = Arc::new(event);
        let mut untold: SmallVec<[(SessionCtx, FeedId); 2]> = SmallVec::new();
        let mut state = self.state();
        let job_seq = state.log.append(event)?;
        for watcher in state.watchers.iter_mut().flatten().filter(|watcher| !watcher.told) {
            watcher.told = true;
            untold.push((watcher.session.clone(), watcher.feed));
        }
        drop(state);
        for (session, feed) in untold {
            session.tell(feed);
        }
        Ok(job_seq)
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
        state.log.read(from, most, into)?;
        let more = from + (into.len() - before) as u64 <= state.log.head();
        if !more && let Some(Some(watcher)) = state.watchers.get_mut(slot.0) {
            watcher.told = false;
        }
        Ok(more)
    }

    /// The number of the newest event, of the oldest that is kept, and whether the job has ended.
    pub(crate) fn extent(&self) -> (u64, u64, bool) {
        let state = self.state();
        (state.log.head(), state.log.floor() + 1, state.log.is_ended())
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
    pub(super) session: SessionCtx,
}

impl Service<Emit> for Publish {
    type Response = ();
    type Error = Error;
    type Future = Ready<Result<(), Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.session.has_room(cx) { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, Emit(event): Emit) -> Self::Future {
        // Before the append: once the event is there, it may be sent at any moment.
        self.session.spent(event.payload.as_str().len());
        let appended = self.log.append(event).map(drop);
        ready(appended.map_err(|Ended| Error::new(Code::Cancelled, "the job has ended")))
    }
}
