//! The jobs of a session, and who follows their events.

mod feed;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use arcp_core::JobId;
use tokio::sync::mpsc;

pub use feed::JobEvent;
pub(crate) use feed::{Feed, FeedId, Item, Overrun};

use crate::ledger::Mark;
use crate::outcome::Terminal;
use feed::Listener;

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

/// The jobs of a session, and who follows them.
#[derive(Debug)]
pub(crate) struct Jobs {
    live: HashMap<JobId, Route>,
    past: VecDeque<JobId>,
    /// Whether events of jobs that this session never heard of are kept until someone asks for them.
    pub(crate) keep_unknown: bool,
    unclaimed: HashMap<JobId, Feed>,
    next_feed: u64,
    sweep_at: usize,
    events: usize,
    bytes: usize,
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
            events: events.clamp(1, 1 << 24),
            bytes,
        }
    }

    /// Begins to follow a job; several may follow the same one. The first gets what was kept.
    pub(crate) fn follow(&mut self, job: &JobId) -> Feed {
        if let Some(feed) = self.unclaimed.remove(job) {
            return feed;
        }
        self.sweep();
        self.past.retain(|past| past != job);
        self.next_feed += 1;
        let id = FeedId(self.next_feed);
        // One more than the bound, so that the end always fits.
        let (tx, items) = mpsc::channel(self.events + 1);
        let route = self.live.entry(job.clone()).or_default();
        route.listeners.push(Listener { id, items: tx, held: Arc::default() });
        Feed { id, items }
    }

    /// Ends one feed.
    pub(crate) fn unfollow(&mut self, job: &JobId, feed: FeedId) {
        let Some(route) = self.live.get_mut(job) else { return };
        route.listeners.retain(|listener| listener.id != feed);
        if route.listeners.is_empty() {
            self.live.remove(job);
            self.remember(job.clone());
        }
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
        if self.past.contains(&job) {
            return;
        }
        if self.past.len() >= PAST {
            self.past.pop_front();
        }
        self.past.push_back(job);
    }

    pub(crate) fn standing(&self, job: &JobId) -> Standing {
        if self.live.contains_key(job) {
            Standing::Live
        } else if self.past.contains(job) {
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
            self.remember(job.clone());
            return Ok(());
        };
        for listener in others {
            listener.event(event.clone(), size, mark.clone(), self.bytes)?;
        }
        last.event(event, size, mark, self.bytes)
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
            self.remember(job);
        }
        self.sweep_at = SWEEP.max(self.live.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;
    use arcp_core::Json;
    use arcp_core::wire::event::{EventBody, Thought};

    fn event(seq: u64) -> JobEvent {
        let body = EventBody::Thought(Thought { text: "x".to_owned() });
        JobEvent { event_seq: Some(seq), ts: None, body, payload: Json::null() }
    }

    #[test]
    fn a_feed_is_bounded_by_count_and_by_bytes() {
        let job = JobId::from_bits(1);
        let mut jobs = Jobs::new(2, 100);
        let mut feed = jobs.follow(&job);
        assert!(jobs.event(&job, event(1), 60, None).is_ok());
        assert!(jobs.event(&job, event(2), 60, None).is_err(), "too many bytes");
        assert!(jobs.event(&job, event(2), 40, None).is_ok());
        assert!(jobs.event(&job, event(3), 0, None).is_err(), "too many events");
        assert!(matches!(feed.items.try_recv(), Ok(Item::Event(..))));
        assert!(jobs.event(&job, event(3), 60, None).is_ok());
    }

    #[test]
    fn what_nobody_listens_to_is_processed_and_the_job_is_remembered() {
        let (job, ledger) = (JobId::from_bits(1), Arc::new(Ledger::default()));
        let mut jobs = Jobs::new(8, 100);
        let feed = jobs.follow(&job);
        jobs.event(&job, event(1), 1, Some(ledger.mark(1))).unwrap();
        assert_eq!(ledger.processed(), 0);
        drop(feed);
        assert_eq!(ledger.processed(), 1);
        jobs.event(&job, event(2), 1, Some(ledger.mark(2))).unwrap();
        assert_eq!((ledger.processed(), jobs.standing(&job)), (2, Standing::Past));
    }

    #[test]
    fn what_nobody_can_know_of_yet_is_kept_for_the_first_who_asks() {
        let (job, ledger) = (JobId::from_bits(1), Arc::new(Ledger::default()));
        let mut jobs = Jobs::new(8, 100);
        jobs.keep(&job).unwrap();
        jobs.event(&job, event(1), 1, Some(ledger.mark(1))).unwrap();
        assert_eq!(ledger.processed(), 1, "only when it is wanted");
        jobs.keep_unknown = true;
        for seq in 2..=3 {
            jobs.keep(&job).unwrap();
            jobs.event(&job, event(seq), 1, Some(ledger.mark(seq))).unwrap();
        }
        assert_eq!(ledger.processed(), 1);
        let mut feed = jobs.follow(&job);
        assert!(matches!(feed.items.try_recv(), Ok(Item::Event(event, _)) if event.event_seq == Some(2)));
        for n in 2..2 + UNCLAIMED as u128 {
            jobs.keep(&JobId::from_bits(n)).unwrap();
        }
        assert!(jobs.keep(&JobId::from_bits(1 << 90)).is_err(), "it is bounded");
        jobs.forget_unknown();
        assert!(jobs.unclaimed.is_empty() && jobs.live.len() == 1);
    }

    #[test]
    fn what_is_dropped_after_the_end_was_not_processed_and_what_is_taken_was() {
        let (job, ledger) = (JobId::from_bits(1), Arc::new(Ledger::default()));
        let mut jobs = Jobs::new(8, 100);
        let mut feed = jobs.follow(&job);
        for seq in 1..=2 {
            jobs.event(&job, event(seq), 1, Some(ledger.mark(seq))).unwrap();
        }
        ledger.end();
        jobs.clear();
        let Ok(Item::Event(_, held)) = feed.items.try_recv() else { panic!("there are two") };
        held.taken();
        drop(feed);
        assert_eq!(ledger.processed(), 1);
    }

    #[test]
    fn several_may_follow_one_job() {
        let (job, ledger) = (JobId::from_bits(1), Arc::new(Ledger::default()));
        let mut jobs = Jobs::new(8, 100);
        let (mut a, mut b) = (jobs.follow(&job), jobs.follow(&job));
        jobs.event(&job, event(1), 1, Some(ledger.mark(1))).unwrap();
        drop(a.items.try_recv());
        assert_eq!(ledger.processed(), 0, "the other has not taken it");
        drop(b.items.try_recv());
        assert_eq!(ledger.processed(), 1);
        jobs.unfollow(&job, a.id);
        assert_eq!(jobs.standing(&job), Standing::Live);
        jobs.unfollow(&job, b.id);
        assert_eq!(jobs.standing(&job), Standing::Past);
    }

    #[test]
    fn feeds_that_nobody_reads_do_not_pile_up() {
        let mut jobs = Jobs::new(8, 100);
        for n in 0..10_000 {
            drop(jobs.follow(&JobId::from_bits(n)));
        }
        assert!(jobs.live.len() <= SWEEP && jobs.past.len() <= PAST);
    }
}
