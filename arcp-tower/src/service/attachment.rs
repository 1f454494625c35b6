//! The right to be a session's connection.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::task::Context;

use arcp_core::event::EventId;
use arcp_core::session::{FeedId, Placed, Run};
use arcp_core::{Envelope, Event, Feature, JobId};

use super::SessionCtx;
use crate::lock::lock;
use crate::runtime::{Credentials, JobStream};

/// The right to be a session's connection. Only its holder numbers events, and only until another
/// connection takes the session over.
pub(crate) struct Attachment {
    pub(crate) cx: SessionCtx,
    epoch: u64,
    /// The epoch that this connection's writes to a store name, so that they are refused once
    /// another one has taken over, whatever the session's own is by then.
    pub(crate) stored_epoch: u64,
    /// What was numbered for connections before this one, and did not arrive.
    pub(crate) replay: VecDeque<Run>,
    pub(crate) logs: HashMap<JobId, Arc<JobStream>>,
    /// Fills in what may be known to this session only.
    pub(crate) credentials: Option<Arc<Credentials>>,
}

/// Events of one feed that were read ahead. They have no numbers yet.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    pub(crate) feed: Option<FeedId>,
    pub(crate) events: VecDeque<Arc<Event>>,
}

/// What there is to number.
pub(crate) enum Next {
    /// An event got its number.
    Frame(Numbered),
    /// An event takes no number: the session did not negotiate it.
    Skipped(JobId, u64),
    /// Nothing.
    Nothing,
    /// The next event is not in memory any more: read the job's log from here on.
    Behind(Arc<JobStream>, FeedId, u64),
    /// The next events are on their way to the store.
    Early(Early),
}

/// Events that are on their way to a store, and the numbers that they will have: nothing was given yet.
#[derive(Debug)]
pub(crate) struct Early {
    pub(crate) log: Arc<JobStream>,
    pub(crate) feed: FeedId,
    pub(crate) run: Run,
    pub(crate) events: VecDeque<Arc<Event>>,
}

/// An event with its number.
#[derive(Debug)]
pub(crate) struct Numbered {
    pub(crate) event_seq: u64,
    pub(crate) job_id: JobId,
    pub(crate) job_seq: u64,
    pub(crate) terminal: bool,
    pub(crate) frame: String,
    pub(crate) credits: u64,
}

enum Stage {
    Ready,
    Nothing,
    Behind(Arc<JobStream>, FeedId, u64),
    Early(Early),
}

impl Attachment {
    pub(super) fn new(
        cx: SessionCtx,
        (epoch, stored_epoch): (u64, u64),
        replay: VecDeque<Run>,
        logs: HashMap<JobId, Arc<JobStream>>,
    ) -> Self {
        Self { cx, epoch, stored_epoch, replay, logs, credentials: None }
    }

    pub(crate) fn is_current(&self) -> bool {
        lock(&self.cx.0.state).epoch == self.epoch
    }

    /// Wakes this connection when there is something to send. A connection that lost the session
    /// must not take the place of the one that has it: that one would never be woken.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        let state = lock(&self.cx.0.state);
        if state.epoch == self.epoch {
            self.cx.0.window.register(cx);
        }
    }

    /// A message arrived: see [`SessionCtx::confirm_token`].
    pub(crate) fn confirm_token(&self) -> bool {
        self.cx.confirm_token(self.epoch)
    }

    /// Renders an event under its number.
    pub(crate) fn encode(&self, event: &Event, event_seq: u64) -> String {
        let shared = &*self.cx.0;
        let id: EventId = shared.ids.id(event_seq);
        let rewritten = match (event.needs, &self.credentials) {
            _ if event.is_terminal() => shared.profile.terminal(event),
            (Some(Feature::ProvisionedCredentials), Some(credentials)) => credentials.reveal(event, &self.cx),
            _ => None,
        };
        rewritten.as_ref().unwrap_or(event).encode(self.cx.id(), &id, event_seq)
    }

    /// Events of a feed were read from a store; it may have more.
    pub(crate) fn again(&self, feed: FeedId) {
        self.cx.0.window.again(feed);
    }

    /// Whether everything there is was read.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.replay.is_empty() && self.cx.0.window.is_stale()
    }

    /// Frames that answer no command, for whoever has the session now.
    pub(crate) fn notices(&self) -> VecDeque<Envelope> {
        let shared = &*self.cx.0;
        // A lock for nothing would be one for each frame.
        if !shared.window.has_notices() {
            return VecDeque::new();
        }
        let state = lock(&shared.state);
        if state.epoch == self.epoch { shared.window.notices() } else { VecDeque::new() }
    }

    /// Frames up to `event_seq` were handed to the transport.
    pub(crate) fn handed(&self, event_seq: u64) {
        let mut state = lock(&self.cx.0.state);
        if state.epoch == self.epoch {
            state.outbox.handed(event_seq);
        }
    }

    /// Numbers the next event. Numbers are given under the lock that a take-over needs, so a
    /// connection that lost the session cannot number anything.
    pub(crate) fn number(&self, staged: &mut Staged) -> Next {
        let shared = &*self.cx.0;
        loop {
            if staged.events.is_empty() {
                match self.stage(staged) {
                    Stage::Ready => {}
                    Stage::Nothing => return Next::Nothing,
                    Stage::Behind(log, feed, next) => return Next::Behind(log, feed, next),
                    Stage::Early(early) => return Next::Early(early),
                }
            }
            let mut state = lock(&shared.state);
            let (Some(feed), Some(event)) = (staged.feed, staged.events.pop_front()) else { continue };
            let job_seq = state.outbox.cursor(feed).unwrap_or_default();
            let placed = if state.epoch == self.epoch { state.outbox.place(feed, &event) } else { None };
            let Some(Placed { event_seq, own, credits }) = placed else {
                // No longer followed, or no longer ours to send.
                staged.events.clear();
                continue;
            };
            if event.is_terminal()
                && let Some((stream, slot)) = state.streams.remove(&feed)
            {
                stream.unwatch(slot);
            }
            drop(state);
            if own {
                shared.window.sent(event.payload.as_str().len());
            }
            let Some(event_seq) = event_seq else {
                self.cx.credit(credits);
                return Next::Skipped(event.job_id.clone(), job_seq);
            };
            return Next::Frame(self.numbered(&event, job_seq, event_seq, credits));
        }
    }

    fn numbered(&self, event: &Event, job_seq: u64, event_seq: u64, credits: u64) -> Numbered {
        let (job_id, terminal) = (event.job_id.clone(), event.is_terminal());
        Numbered { event_seq, job_id, job_seq, terminal, frame: self.encode(event, event_seq), credits }
    }

    /// Gives the numbers that were foreseen, which are written by now: also to events of a job that was
    /// unsubscribed meanwhile, or a number would be missing. `None` if another connection has the session.
    pub(crate) fn settle(&self, early: &Early) -> Option<Vec<Numbered>> {
        let shared = &*self.cx.0;
        let mut state = lock(&shared.state);
        if state.epoch != self.epoch || state.outbox.head() + 1 != early.run.first {
            return None;
        }
        let mut places = Vec::with_capacity(early.events.len());
        for (event, job_seq) in early.events.iter().zip(early.run.from..) {
            let placed = state.outbox.place(early.feed, event);
            places.push(placed.unwrap_or_else(|| state.outbox.place_unfollowed(&event.job_id, job_seq)));
            if event.is_terminal()
                && let Some((stream, slot)) = state.streams.remove(&early.feed)
            {
                stream.unwatch(slot);
            }
        }
        drop(state);
        let numbered = |((event, job_seq), placed): ((&Arc<Event>, u64), Placed)| {
            if placed.own {
                shared.window.sent(event.payload.as_str().len());
            }
            Some(self.numbered(event, job_seq, placed.event_seq?, placed.credits))
        };
        early.events.iter().zip(early.run.from..).zip(places).map(numbered).collect()
    }

    /// Reads ahead in the next feed with something new.
    fn stage(&self, staged: &mut Staged) -> Stage {
        const BATCH: usize = 64;
        // More are worth a commit of their own, once they have arrived.
        const EARLY: u64 = 64;
        let shared = &*self.cx.0;
        loop {
            let state = lock(&shared.state);
            // Whoever has the session now is to be the one who finds what is new.
            if state.epoch != self.epoch {
                return Stage::Nothing;
            }
            let Some(feed) = shared.window.next_fresh() else { return Stage::Nothing };
            let (Some(next), Some((stream, slot))) = (state.outbox.cursor(feed), state.streams.get(&feed))
            else {
                continue;
            };
            let Ok(more) = stream.read(*slot, next, BATCH, &mut staged.events) else {
                return Stage::Behind(stream.clone(), feed, next);
            };
            if more {
                shared.window.again(feed);
            }
            if !staged.events.is_empty() {
                staged.feed = Some(feed);
                return Stage::Ready;
            }
            let events = stream.offered(next, EARLY);
            let numbered = |event: &Arc<Event>| event.needs.is_none_or(|needs| self.cx.features().has(needs));
            if !events.is_empty() && events.iter().all(numbered) && state.epoch == self.epoch {
                let (first, len) = (state.outbox.head() + 1, events.len() as u64);
                let run = Run::new(first, len, stream.job_id().clone(), next);
                return Stage::Early(Early { log: stream.clone(), feed, run, events });
            }
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let mut state = lock(&self.cx.0.state);
        // A connection that was taken over must not touch the session that it lost.
        if state.epoch != self.epoch {
            return;
        }
        state.epoch += 1;
        state.attached = false;
        let epoch = state.epoch;
        // Jobs go on (§6.4), and the session can be resumed for a while.
        self.cx.0.window.detach();
        drop(state);
        if let Some(home) = self.cx.home() {
            home.detached(&self.cx, epoch, self.stored_epoch);
        }
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment").field("cx", &self.cx).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
