//! What a session was sent, by number (§6.3, §6.5, §8.3): cursors into job logs, and the runs that
//! were made of them.
//!
//! No event is kept here. A number is given when a frame is handed to the socket, so a session that
//! nobody reads costs nothing per event; what was numbered is remembered as *runs*: "numbers 41 to
//! 47 are events 12 to 18 of job J".

mod runs;

use std::collections::BTreeMap;

use crate::{Event, Features, JobId};
pub use runs::Run;
use runs::Runs;

/// A job that a session follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedId(u64);

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its number; `None` if the session did not negotiate what it needs, and so is not sent it.
    pub event_seq: Option<u64>,
    /// Whether it is an event of the session's own job.
    pub own: bool,
    /// Credits that are free again: until the first ack, sending is as good as acknowledging.
    pub credits: u64,
}

/// The peer acknowledged what it was never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must not be above the last event that was sent")]
pub struct AckAhead;

#[derive(Debug)]
struct Feed {
    job_id: JobId,
    next: u64,
    own: bool,
}

/// The durable half of a session: its numbers.
#[derive(Debug)]
pub struct Outbox {
    features: Features,
    feeds: BTreeMap<FeedId, Feed>,
    next_feed: u64,
    runs: Runs,
    max_runs: usize,
    head: u64,
    /// The highest number that the connection of now was sent.
    sent: u64,
    acked: u64,
    acking: bool,
    /// Own events up to this number have given their credit back.
    credited: u64,
}

impl Outbox {
    /// An outbox that has sent nothing, and remembers at most `max_runs` runs.
    pub fn new(features: Features, max_runs: usize) -> Self {
        Self {
            features,
            feeds: BTreeMap::new(),
            next_feed: 0,
            runs: Runs::default(),
            max_runs: max_runs.max(1),
            head: 0,
            sent: 0,
            acked: 0,
            acking: false,
            credited: 0,
        }
    }

    /// An outbox that a store remembers. It follows nothing yet; its runs are in order.
    pub fn restore(
        features: Features,
        max_runs: usize,
        head: u64,
        acked: u64,
        runs: impl IntoIterator<Item = Run>,
    ) -> Self {
        let mut outbox = Self { head, sent: head, acked, credited: head, ..Self::new(features, max_runs) };
        runs.into_iter().for_each(|run| outbox.runs.push(run));
        outbox
    }

    /// A connection begins that has everything up to `last_event_seq` (§6.3).
    pub fn attach(&mut self, last_event_seq: u64) {
        self.sent = last_event_seq;
        // A client that did not acknowledge before has another chance to say that it does not.
        self.acking = false;
        self.credited = self.head;
    }

    /// Frames up to `event_seq` were handed to the connection.
    pub fn handed(&mut self, event_seq: u64) {
        self.sent = self.sent.max(event_seq);
    }

    /// What was numbered above `after`, in order.
    pub fn replay(&self, after: u64) -> Vec<Run> {
        let clip = |run: &Run| {
            let skip = (after + 1).saturating_sub(run.first);
            Run { first: run.first + skip, len: run.len - skip, from: run.from + skip, ..run.clone() }
        };
        self.runs.above(after).map(clip).collect()
    }

    /// Follows `job_id` from event `next` of its log on. `own` if this session submitted it: only
    /// then do acks free credits.
    pub fn follow(&mut self, job_id: JobId, next: u64, own: bool) -> FeedId {
        let id = FeedId(self.next_feed);
        self.next_feed += 1;
        self.feeds.insert(id, Feed { job_id, next, own });
        id
    }

    /// Follows it no longer.
    pub fn unfollow(&mut self, feed: FeedId) {
        self.feeds.remove(&feed);
    }

    /// The feed of `job_id`, if it is followed.
    pub fn feed_of(&self, job_id: &JobId) -> Option<FeedId> {
        self.feeds.iter().find(|(_, feed)| feed.job_id == *job_id).map(|(id, _)| *id)
    }

    /// The next event of a feed, as its job numbers them; `None` if it is not followed (any more).
    pub fn cursor(&self, feed: FeedId) -> Option<u64> {
        self.feeds.get(&feed).map(|feed| feed.next)
    }

    /// Whether a feed is of a job that this session submitted.
    pub fn is_own(&self, feed: FeedId) -> bool {
        self.feeds.get(&feed).is_some_and(|feed| feed.own)
    }

    /// How many jobs are followed: those whose terminal message was not sent yet.
    pub fn feeds(&self) -> usize {
        self.feeds.len()
    }

    /// The highest number given, 0 if none.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// The highest number acknowledged, 0 if none.
    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// Numbers above this one can be traced back to events.
    pub fn floor(&self) -> u64 {
        self.runs.first().map_or(self.head, |run| run.first - 1)
    }

    /// Forgets what was numbered up to `through`: it can be resumed from no longer.
    pub fn forget(&mut self, through: u64) {
        while self.runs.first().is_some_and(|run| run.last() <= through) {
            self.runs.pop();
        }
    }

    /// What was numbered and is remembered, oldest first.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter()
    }

    /// The highest number that `job_id` has here, 0 if none is remembered.
    pub fn last_of(&self, job_id: &JobId) -> u64 {
        self.runs.last_of(job_id).unwrap_or(0)
    }

    /// The number of the first event of `job_id`'s log that came after number `event_seq` here. What has no
    /// number yet comes after every number. `None` if it cannot be told any more: what was numbered up to there
    /// was forgotten, and may have been the job's.
    pub fn job_seq_after(&self, job_id: &JobId, event_seq: u64) -> Option<u64> {
        if let Some(run) = self.runs.at(job_id, event_seq) {
            return Some(run.from + run.len.min(event_seq - run.first + 1));
        }
        if event_seq == 0 || self.floor() == 0 {
            // Nothing of it has a number up to there.
            return Some(1);
        }
        if event_seq < self.floor() {
            return None;
        }
        // What was forgotten is below, so that the first event that was not is the next one.
        let next = self.runs.iter().find(|run| run.job_id == *job_id).map(|run| run.from);
        next.or_else(|| self.cursor(self.feed_of(job_id)?))
    }

    /// Gives the event at a feed's cursor its number, and moves the cursor. Call it when the frame
    /// is handed to the socket.
    pub fn place(&mut self, feed: FeedId, event: &Event) -> Option<Placed> {
        let entry = self.feeds.get_mut(&feed)?;
        let (job_seq, own) = (entry.next, entry.own);
        entry.next += 1;
        let credits = u64::from(own && !self.acking);
        if event.needs.is_some_and(|feature| !self.features.has(feature)) {
            // It takes no number, and will not be acknowledged.
            return Some(Placed { event_seq: None, own, credits: u64::from(own) });
        }
        let job_id = entry.job_id.clone();
        let event_seq = Some(self.give(job_id, job_seq, own));
        if event.is_terminal() {
            self.feeds.remove(&feed);
        }
        Some(Placed { event_seq, own, credits })
    }

    /// Gives event `job_seq` of a job that is not followed any more a number all the same: one that was
    /// promised to it while it still was.
    pub fn place_unfollowed(&mut self, job_id: &JobId, job_seq: u64) -> Placed {
        Placed { event_seq: Some(self.give(job_id.clone(), job_seq, false)), own: false, credits: 0 }
    }

    /// The next number, for an event of a job.
    fn give(&mut self, job_id: JobId, job_seq: u64, own: bool) -> u64 {
        self.head += 1;
        let at = self.head;
        if !self.acking {
            self.credited = at;
        }
        match self.runs.newest() {
            // What a store remembers counts as somebody else's; acks of what follows free credits.
            Some(run)
                if run.job_id == job_id
                    && run.own == own
                    && run.from + run.len == job_seq
                    && run.last() + 1 == at =>
            {
                run.len += 1;
            }
            _ => self.runs.push(Run { first: at, len: 1, job_id, from: job_seq, own }),
        }
        if self.runs.len() > self.max_runs {
            self.runs.pop();
        }
        at
    }

    /// Records `last_processed_seq` (§6.5); returns how many credits are free again. An ack below
    /// an earlier one changes nothing.
    ///
    /// # Errors
    /// If it is above what was sent; nothing is changed.
    pub fn ack(&mut self, seq: u64) -> Result<u64, AckAhead> {
        if seq > self.sent {
            return Err(AckAhead);
        }
        self.acking = true;
        self.acked = self.acked.max(seq);
        let (from, to) = (self.credited + 1, self.acked + 1);
        let credited = |run: &Run| to.min(run.last() + 1).saturating_sub(from.max(run.first));
        let credits = self.runs.above(self.credited).filter(|run| run.own).map(credited).sum();
        self.credited = self.credited.max(self.acked);
        Ok(credits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Feature, Json, MessageType};
    use proptest::prelude::*;

    fn event(kind: &str) -> Event {
        Event::new(kind, JobId::from_bits(1), None, Json::empty_object())
    }

    fn terminal() -> Event {
        Event::terminal(MessageType::Result, JobId::from_bits(1), None, Json::empty_object())
    }

    #[test]
    fn numbers_are_contiguous_over_jobs_and_runs_tell_whose_they_are() {
        let mut outbox = Outbox::new(Features::NONE, 100);
        let a = outbox.follow(JobId::from_bits(1), 1, true);
        let b = outbox.follow(JobId::from_bits(2), 5, false);
        let seqs: Vec<_> =
            [a, a, b, a].map(|feed| outbox.place(feed, &event("log")).unwrap().event_seq.unwrap()).into();
        assert_eq!(seqs, [1, 2, 3, 4]);
        let runs: Vec<_> = outbox.runs().map(|r| (r.first, r.len, r.from)).collect();
        assert_eq!(runs, [(1, 2, 1), (3, 1, 5), (4, 1, 3)]);
        assert_eq!(outbox.last_of(&JobId::from_bits(1)), 4);
        for (after, next) in [(0, 1), (1, 2), (3, 3), (9, 4)] {
            assert_eq!(outbox.job_seq_after(&JobId::from_bits(1), after), Some(next), "{after}");
        }
        // Of a job that has no number here, everything is still to come.
        assert_eq!(outbox.job_seq_after(&JobId::from_bits(9), 9), Some(1));
    }

    #[test]
    fn what_came_after_a_number_that_was_forgotten_is_not_guessed() {
        let [one, other, third] = [1, 2, 3].map(JobId::from_bits);
        let mut outbox = Outbox::new(Features::NONE, 3);
        let a = outbox.follow(one.clone(), 1, true);
        let b = outbox.follow(other.clone(), 1, true);
        let c = outbox.follow(third.clone(), 1, true);
        // One of each, and then three more runs: those of before are forgotten.
        for feed in [a, b, c, a, b, a] {
            outbox.place(feed, &event("log")).unwrap();
        }
        assert_eq!(outbox.floor(), 3);
        let after = |job: &JobId| [0, 1, 2, 3, 4, 5, 6].map(|seq| outbox.job_seq_after(job, seq));
        assert_eq!(after(&one), [Some(1), None, None, Some(2), Some(3), Some(3), Some(4)]);
        assert_eq!(after(&other), [Some(1), None, None, Some(2), Some(2), Some(3), Some(3)]);
        // All of it was forgotten; it is followed, so what is to come is known.
        assert_eq!(after(&third), [Some(1), None, None, Some(2), Some(2), Some(2), Some(2)]);
        // One that is not followed may have had any number.
        assert_eq!(outbox.job_seq_after(&JobId::from_bits(4), 6), None);
    }

    #[test]
    fn a_job_that_goes_on_after_a_restart_gets_its_credits() {
        let job = JobId::from_bits(1);
        let mut outbox = Outbox::restore(Features::NONE, 100, 3, 0, [Run::new(1, 3, job.clone(), 1)]);
        let a = outbox.follow(job, 4, true);
        outbox.attach(3);
        assert_eq!(outbox.ack(3), Ok(0), "nobody waits for what was before");
        for _ in 0..4 {
            outbox.place(a, &event("log")).unwrap();
        }
        outbox.handed(7);
        assert_eq!((outbox.ack(6), outbox.ack(7)), (Ok(3), Ok(1)));
    }

    #[test]
    fn an_event_that_was_not_negotiated_takes_no_number() {
        let mut outbox = Outbox::new(Features::NONE, 100);
        let a = outbox.follow(JobId::from_bits(1), 1, true);
        assert_eq!(
            outbox.place(a, &event("progress")),
            Some(Placed { event_seq: None, own: true, credits: 1 })
        );
        assert_eq!(outbox.place(a, &event("log")).unwrap().event_seq, Some(1));
        let mut able = Outbox::new(Features::of(&[Feature::Progress]), 100);
        let a = able.follow(JobId::from_bits(1), 1, true);
        assert_eq!(able.place(a, &event("progress")).unwrap().event_seq, Some(1));
    }

    #[test]
    fn a_feed_ends_with_its_terminal() {
        let mut outbox = Outbox::new(Features::NONE, 100);
        let a = outbox.follow(JobId::from_bits(1), 1, true);
        outbox.place(a, &terminal()).unwrap();
        assert_eq!((outbox.cursor(a), outbox.place(a, &event("log"))), (None, None));
    }

    #[test]
    fn t46_an_ack_ahead_of_what_was_sent_changes_nothing() {
        let mut outbox = Outbox::new(Features::NONE, 100);
        let a = outbox.follow(JobId::from_bits(1), 1, true);
        outbox.place(a, &event("log"));
        assert_eq!(outbox.ack(2), Err(AckAhead));
        assert_eq!((outbox.acked(), outbox.floor()), (0, 0));
        assert_eq!(outbox.place(a, &event("log")).unwrap().credits, 1, "gating has not begun");
    }

    proptest! {
        /// Whatever a client acknowledges, and in whatever order: each event of its own jobs gives
        /// its credit back once, and never those of jobs that it only watches.
        #[test]
        fn every_credit_comes_back_exactly_once(
            steps in prop::collection::vec((0usize..3, 0u64..30), 1..60),
        ) {
            let mut outbox = Outbox::new(Features::NONE, 1000);
            let own = outbox.follow(JobId::from_bits(1), 1, true);
            let watched = outbox.follow(JobId::from_bits(2), 1, false);
            let (mut spent, mut credited) = (0, 0);
            for (what, seq) in steps {
                match what {
                    0 => {
                        spent += 1;
                        credited += outbox.place(own, &event("log")).unwrap().credits;
                        outbox.handed(outbox.head());
                    }
                    1 => {
                        credited += outbox.place(watched, &event("log")).unwrap().credits;
                        outbox.handed(outbox.head());
                    }
                    _ => credited += outbox.ack(seq).unwrap_or(0),
                }
                prop_assert!(credited <= spent);
            }
            credited += outbox.ack(outbox.head()).unwrap();
            prop_assert_eq!(credited, spent);
        }
    }
}
