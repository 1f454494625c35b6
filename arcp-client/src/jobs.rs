//! The jobs of a session, and who follows their events.

mod feed;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use arcp_core::JobId;
pub use feed::JobEvent;
pub(crate) use feed::{Feed, FeedId, Item, Overrun};

use crate::ledger::Mark;
use crate::outcome::Terminal;
use feed::{Listener, Room};

/// How this session stands to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It follows the job.
    Live,
    /// It did, and the job has ended, or nobody listens any more.
    Past,
    /// It never heard of the job.
    Unknown,
}

#[derive(Debug, Default)]
struct Route {
    listeners: Vec<Listener>,
    cancelled: bool,
}

/// A job that is not followed any more.
#[derive(Debug)]
struct Past {
    job: JobId,
    /// Whether nobody listened any more, so that the runtime may still tell of it.
    unheard: bool,
}

/// The jobs of a session, and who follows them.
#[derive(Debug)]
pub(crate) struct Jobs {
    live: HashMap<JobId, Route>,
    past: VecDeque<Past>,
    /// Whether events of jobs that this session never heard of are kept until someone asks for them.
    pub(crate) keep_unknown: bool,
    unclaimed: HashMap<JobId, Feed>,
    next_feed: u64,
    sweep_at: usize,
    room: Room,
    own: VecDeque<JobId>,
    /// Jobs that are watched no longer, and until when what comes of them was under way. They stay after
    /// that: a lost connection may have kept it from the runtime.
    muted: VecDeque<(JobId, Instant)>,
}

/// Past jobs that are remembered, so that late words about them are not taken for refusals.
const PAST: usize = 1024;
/// Jobs whose events are kept until someone asks for them.
const UNCLAIMED: usize = 1024;
const SWEEP: usize = 64;

impl Jobs {
    /// At most `events` events and `bytes` bytes may wait in each feed.
    pub(crate) fn new(events: usize, bytes: usize) -> Self {
        Self {
            live: HashMap::new(),
            past: VecDeque::new(),
            keep_unknown: false,
            unclaimed: HashMap::new(),
            next_feed: 0,
            sweep_at: SWEEP,
            room: Room { events: events.clamp(1, 1 << 24), bytes },
            own: VecDeque::new(),
            muted: VecDeque::new(),
        }
    }

    /// Begins to follow a job; several may follow the same one. The first gets what was kept.
    pub(crate) fn follow(&mut self, job: &JobId) -> Feed {
        if let Some(feed) = self.unclaimed.remove(job) {
            return feed;
        }
        self.sweep();
        self.past.retain(|past| past.job != *job);
        self.next_feed += 1;
        let (listener, feed) = Listener::new(FeedId(self.next_feed), self.room);
        self.live.entry(job.clone()).or_default().listeners.push(listener);
        feed
    }

    /// Begins to follow a job of this session, whatever was said of it before.
    pub(crate) fn submitted(&mut self, job: &JobId) -> Feed {
        self.unmute(job);
        let feed = self.follow(job);
        self.own(job);
        feed
    }

    /// A job of this session is followed as long as it runs, whoever listens. Of very many, the first are
    /// forgotten.
    fn own(&mut self, job: &JobId) {
        if self.own.len() >= PAST {
            self.own.pop_front();
        }
        self.own.push_back(job.clone());
    }

    pub(crate) fn is_own(&self, job: &JobId) -> bool {
        self.own.contains(job)
    }

    /// Ends one feed. `true` if it was the last one of a job that was followed until now.
    pub(crate) fn unfollow(&mut self, job: &JobId, feed: FeedId) -> bool {
        let Some(route) = self.live.get_mut(job) else {
            // An event may have come before, and found that nobody listens.
            let past = self.past.iter_mut().find(|past| past.job == *job);
            return past.is_some_and(|past| std::mem::take(&mut past.unheard));
        };
        route.listeners.retain(|listener| listener.id != feed && !listener.items.is_closed());
        let last = route.listeners.is_empty();
        if last {
            self.live.remove(job);
            self.remember(job.clone());
        }
        last
    }

    /// The runtime is told that a job is watched no longer, and does not answer: until `until`, or until it
    /// answers the next subscription, what it says of the job belongs to the last one.
    pub(crate) fn mute(&mut self, job: JobId, until: Instant) {
        self.unmute(&job);
        if self.muted.len() >= PAST {
            self.muted.pop_front();
        }
        self.muted.push_back((job, until));
    }

    pub(crate) fn unmute(&mut self, job: &JobId) {
        self.muted.retain(|(muted, _)| muted != job);
    }

    pub(crate) fn is_muted(&self, job: &JobId, now: Instant) -> bool {
        self.muted.iter().any(|(muted, until)| muted == job && now < *until)
    }

    /// Whether the runtime was told that a job is watched no longer, and nobody has followed it since.
    pub(crate) fn is_unwatched(&self, job: &JobId) -> bool {
        !self.live.contains_key(job) && self.muted.iter().any(|(muted, _)| muted == job)
    }

    /// The jobs of which the runtime was told that they are watched no longer, in that order. One that is
    /// asked for again is among them until that is answered.
    pub(crate) fn unwatched(&self) -> Vec<JobId> {
        self.muted.iter().map(|(job, _)| job.clone()).collect()
    }

    /// Whether somebody waits for what comes of a job.
    pub(crate) fn is_starved(&self) -> bool {
        self.live.values().any(|route| route.listeners.iter().any(Listener::is_starved))
    }

    /// Whether events are kept that nobody asked for yet.
    pub(crate) fn has_unclaimed(&self) -> bool {
        !self.unclaimed.is_empty()
    }

    /// Whether somebody is far behind with what it was handed.
    pub(crate) fn is_half_full(&self) -> bool {
        self.live.values().any(|route| route.listeners.iter().any(Listener::is_half_full))
    }

    /// Something came of `job`: if nobody can know of it yet, it is kept.
    ///
    /// # Errors
    /// If too many jobs are kept.
    pub(crate) fn keep(&mut self, job: &JobId) -> Result<(), Overrun> {
        if !self.keep_unknown || self.standing(job) != Standing::Unknown {
            return Ok(());
        }
        if self.unclaimed.len() >= UNCLAIMED {
            return Err(Overrun);
        }
        let feed = self.follow(job);
        self.unclaimed.insert(job.clone(), feed);
        Ok(())
    }

    /// Whoever could have asked for what was kept has not.
    pub(crate) fn forget_unknown(&mut self) {
        self.keep_unknown = false;
        for (job, feed) in std::mem::take(&mut self.unclaimed) {
            self.unfollow(&job, feed.id);
        }
    }

    /// A job that this session knows of, without following it.
    pub(crate) fn remember(&mut self, job: JobId) {
        self.passed(job, false);
    }

    fn passed(&mut self, job: JobId, unheard: bool) {
        if self.knows(&job) {
            return;
        }
        if self.past.len() >= PAST {
            self.past.pop_front();
        }
        self.past.push_back(Past { job, unheard });
    }

    fn knows(&self, job: &JobId) -> bool {
        self.past.iter().any(|past| past.job == *job)
    }

    pub(crate) fn standing(&self, job: &JobId) -> Standing {
        if self.live.contains_key(job) {
            Standing::Live
        } else if self.knows(job) {
            Standing::Past
        } else {
            Standing::Unknown
        }
    }

    /// The runtime said that it will cancel the job.
    pub(crate) fn cancelled(&mut self, job: &JobId) {
        if let Some(route) = self.live.get_mut(job) {
            route.cancelled = true;
        }
    }

    /// Whether [`Jobs::cancelled`] was called for it.
    pub(crate) fn is_cancelled(&self, job: &JobId) -> bool {
        self.live.get(job).is_some_and(|route| route.cancelled)
    }

    /// Hands an event of `size` bytes to everyone who follows the job.
    ///
    /// # Errors
    /// If one of them does not keep up.
    pub(crate) fn event(
        &mut self,
        job: &JobId,
        event: JobEvent,
        size: usize,
        mark: Option<Mark>,
    ) -> Result<(), Overrun> {
        let Some(route) = self.live.get_mut(job) else { return Ok(()) };
        route.listeners.retain(|listener| !listener.items.is_closed());
        let mark = mark.map(Arc::new);
        let Some((last, others)) = route.listeners.split_last() else {
            self.live.remove(job);
            self.passed(job.clone(), true);
            return Ok(());
        };
        for listener in others {
            listener.event(event.clone(), size, mark.clone())?;
        }
        last.event(event, size, mark)
    }

    /// Hands the end of the job to everyone who follows it.
    pub(crate) fn end(&mut self, job: &JobId, terminal: &Terminal, mark: Option<Mark>) {
        let Some(route) = self.live.remove(job) else { return };
        let mark = mark.map(Arc::new);
        for listener in route.listeners {
            // It always fits; it fails if nobody listens.
            let _ = listener.items.try_send(Item::End(terminal.clone(), listener.hold(0, mark.clone())));
        }
        self.remember(job.clone());
    }

    /// Ends every feed: the connection is gone.
    pub(crate) fn clear(&mut self) {
        self.live.clear();
        self.unclaimed.clear();
    }

    /// Forgets the feeds that nobody reads, now and then: not each of them gets another event.
    fn sweep(&mut self) {
        if self.live.len() < self.sweep_at {
            return;
        }
        let read = |route: &Route| route.listeners.iter().any(|l| !l.items.is_closed());
        let unread: Vec<JobId> =
            self.live.iter().filter(|(_, route)| !read(route)).map(|(job, _)| job.clone()).collect();
        for job in unread {
            self.live.remove(&job);
            self.passed(job, true);
        }
        self.sweep_at = SWEEP.max(self.live.len() * 2);
    }
}
