//! A job's events on their way to the store.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use arcp_core::job::{FinalStatus, Status};
use arcp_core::store::StoredEvent;
use arcp_core::wire::job::JobError;
use arcp_core::{Code, Error, Event, Json, MessageType};

use super::{JobStream, State, tell};
use crate::runtime::journal::Portion;

impl JobStream {
    /// Whether an agent may go on; if not, `cx` is woken when it may. What is not written yet is
    /// only here: it may be so many events, and as many bytes as a log may hold.
    pub(in crate::runtime) fn has_room(&self, most: usize, cx: &Context<'_>) -> bool {
        let mut state = self.state();
        let unwritten = usize::try_from(state.log.head() - state.visible).unwrap_or(usize::MAX);
        let fits = unwritten == 0 || (unwritten < most && !state.log.exceeds_caps());
        if fits || self.broken.is_cancelled() {
            return true;
        }
        state.writers.push(cx.waker().clone());
        false
    }

    /// The next events to be written.
    pub(in crate::runtime) fn unwritten(&self, most: usize, bytes: usize) -> Portion {
        let state = self.state();
        let mut events = VecDeque::new();
        // What is not written is never dropped from the log.
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
    pub(in crate::runtime) fn offer(&self, portion: &Portion) {
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
        // What is left of a log that broke off is written in its own time, and told then.
        if state.broken_at.is_some() {
            return events;
        }
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
    pub(in crate::runtime) fn written(&self, portion: &Portion) -> bool {
        let mut state = self.state();
        state.visible = state.visible.max(portion.after + portion.events.len() as u64);
        state.note = portion.note.as_ref().map_or(state.note, |(newest, _)| *newest);
        let noted = self.noted.get().is_none_or(|authority| !authority.is_newer(state.note));
        let more = state.log.head() > state.visible || !(noted || state.log.is_ended());
        state.queued = more;
        let head = state.log.head();
        state.counted.reach(head);
        if state.is_over() {
            // Its end was sent before the store had said that it has it.
            state.log.forget();
        } else {
            let visible = state.visible;
            state.log.fit(visible);
        }
        let (untold, writers) = (state.untold(), std::mem::take(&mut state.writers));
        drop(state);
        writers.into_iter().for_each(Waker::wake);
        tell(untold);
        more
    }

    /// What is not written cannot be: it is taken back, except the end of the job. `true` if that is
    /// there and still to be written.
    pub(in crate::runtime) fn break_off(&self) -> bool {
        let mut state = self.state();
        let visible = state.visible;
        let mut end = if state.log.is_ended() { state.log.last() } else { None };
        // More than the end.
        let lost = state.log.head() > visible + 1;
        let taken = state.log.take_back(visible);
        let followers = state.followers();
        (state.offered, state.broken_at) = (visible, Some(visible));
        if lost && let Some(unkept) = self.unkept(&mut state) {
            end = Some(Arc::new(unkept));
        }
        let again = end.and_then(|end| state.log.append_holding(end, visible).ok()).is_some();
        state.queued = again;
        let writers = std::mem::take(&mut state.writers);
        drop(state);
        self.broken.cancel();
        writers.into_iter().for_each(Waker::wake);
        // Who would have acknowledged them waits for none of them now. The end takes no credit.
        let spent = taken.iter().filter(|event| !event.is_terminal());
        let (events, bytes) =
            spent.fold((0, 0), |(events, bytes), event| (events + 1, bytes + event.payload.as_str().len()));
        for (session, feed) in followers {
            session.never_sent(feed, events, bytes);
        }
        again
    }

    /// The end of a job that succeeded and of which events were lost: it is no success, or whoever follows
    /// it would take what is left for all there was. `None` if it is the agent's own end that holds.
    pub(super) fn unkept(&self, state: &mut State) -> Option<Event> {
        let journal = self.journal.as_ref().filter(|_| state.ended == Some(Status::Success))?;
        let error = Error::new(Code::InternalError, "the job's events could not be kept");
        let error = JobError::new(FinalStatus::Error, &error.with_detail("reason", "store"), journal.now());
        let payload = Json::of(&error).ok()?;
        state.ended = Some(Status::Error);
        Some(Event::terminal(MessageType::JobError, self.job_id.clone(), Some(self.trace_id), payload))
    }
}
