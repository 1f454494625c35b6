use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

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

#[test]
fn who_has_room_again_has_the_driver_look_whatever_waits_before() {
    #[derive(Default)]
    struct Woken(AtomicUsize);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (one, other) = (JobId::from_bits(1), JobId::from_bits(2));
    let (ledger, woken) = (Arc::new(Ledger::default()), Arc::new(Woken::default()));
    let mut jobs = Jobs::new(8, 100);
    let (_first, mut feed) = (jobs.follow(&one), jobs.follow(&other));
    jobs.event(&one, event(1), 1, Some(ledger.mark(1))).unwrap();
    for seq in 2..=6 {
        jobs.event(&other, event(seq), 1, Some(ledger.mark(seq))).unwrap();
    }
    assert!(jobs.is_half_full() && ledger.waiting() == 6);
    ledger.register(&woken.clone().into());
    let mut take = || drop(feed.items.try_recv().unwrap());
    take();
    assert_eq!((jobs.is_half_full(), woken.0.load(Ordering::Relaxed)), (true, 0));
    take();
    assert_eq!((jobs.is_half_full(), woken.0.load(Ordering::Relaxed)), (false, 1));
    assert_eq!(ledger.processed(), 0);
}
