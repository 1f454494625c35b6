//! What is kept at the most (§6.5): beyond it the oldest goes, and it can be seen that it did.

use super::Bed;
use super::lab::{
    Lab, ack, append, at, event, fenced, follow, job, job_id, new_job, new_session, number, run, session_id,
};
use crate::store::{Bounds, JobRow, Op};

/// A store with sessions 1 and 2, and jobs 1, 2 and 3 with ten events of some 4,000 bytes each, written
/// in turn; job 3 is of session 2.
async fn crowded(bed: &dyn Bed) -> Lab {
    let of_2 = JobRow { session: session_id(2), ..job(3) };
    let ops = vec![new_session(1), new_session(2), new_job(1), new_job(2), Op::PutJob { row: of_2 }];
    let lab = Lab::with(bed, ops).await;
    for n in 0..10 {
        for id in 1..=3 {
            let (events, at) = (vec![event(&"x".repeat(4000))], at(i64::try_from(n * 3 + id).unwrap_or(0)));
            let job = job_id(id.into());
            lab.ok(vec![Op::Append { job, owner: 1, after: n, events, at, ended: None }]).await;
        }
    }
    lab
}

async fn floors(lab: &Lab) -> [u64; 3] {
    [lab.events(1, 0).await.floor, lab.events(2, 0).await.floor, lab.events(3, 0).await.floor]
}

/// Room for so many of the events above.
fn room(events: u64) -> u64 {
    events * 4200
}

/// However young they are; oldest first, whichever job they are of.
pub async fn what_is_beyond_the_bytes_goes_oldest_first(bed: &dyn Bed) {
    let lab = crowded(bed).await;
    lab.trim_to(0, Bounds { session_bytes: room(20), ..Bounds::NONE }).await;
    assert_eq!(floors(&lab).await, [0, 0, 0], "neither session has more");
    lab.trim_to(0, Bounds { session_bytes: room(10), ..Bounds::NONE }).await;
    assert_eq!(floors(&lab).await, [5, 5, 0], "of a session");
    lab.trim_to(0, Bounds { principal_bytes: room(15), ..Bounds::NONE }).await;
    assert_eq!(floors(&lab).await, [5, 5, 5], "of a principal");
    lab.trim_to(0, Bounds { bytes: room(9), ..Bounds::NONE }).await;
    assert_eq!(floors(&lab).await, [7, 7, 7], "in all");
    assert_eq!(lab.events(1, 7).await.items.len(), 3);
    lab.ok(vec![append(1, 10, 1, 40)]).await;
}

/// No more goes than has to: what a session lost, its principal and the store have not any more.
pub async fn what_went_for_one_bound_counts_for_the_next(bed: &dyn Bed) {
    let lab = crowded(bed).await;
    let bounds =
        Bounds { session_bytes: room(10), principal_bytes: room(20), bytes: room(20), ..Bounds::NONE };
    lab.trim_to(0, bounds).await;
    assert_eq!(floors(&lab).await, [5, 5, 0]);
}

/// A session that acknowledges does not pay for one that does not.
pub async fn what_nobody_needs_goes_before_what_was_not_acknowledged(bed: &dyn Bed) {
    let lab = crowded(bed).await;
    let runs = vec![run(1, 10, 1, 1), run(11, 10, 2, 1)];
    lab.ok(vec![number(1, 0, runs.clone()), number(2, 0, runs), ack(1, 20), ack(2, 2)]).await;
    lab.trim_to(0, Bounds { bytes: room(19), ..Bounds::NONE }).await;
    assert_eq!(floors(&lab).await, [2, 0, 9], "session 2 has job 1 up to its second event");
    assert_eq!(lab.runs(2).await.len(), 20);
}

/// Those that a resume asks for are there, or it can be seen that they are not.
pub async fn what_is_forced_out_lifts_the_floor_of_who_was_sent_it(bed: &dyn Bed) {
    let lab = crowded(bed).await;
    // Job 2 in between, so that what is lost of a job takes along what was numbered before it.
    let runs = vec![run(1, 1, 2, 1), run(2, 6, 1, 1), run(8, 4, 2, 2), run(12, 4, 1, 7)];
    lab.ok(vec![number(1, 0, runs), ack(1, 1)]).await;
    lab.ok(vec![number(2, 0, vec![run(1, 3, 3, 8)]), follow(2, 3, 11)]).await;
    let bounds = Bounds { session_bytes: room(14), ..Bounds::NONE };
    lab.trim_to(0, bounds).await;
    assert_eq!(floors(&lab).await, [3, 3, 0]);
    let page = lab.store.runs(&session_id(1), 0, 100).await.unwrap();
    assert_eq!(page.floor, 9, "number 9 is event 3 of job 2");
    assert_eq!(page.items.iter().map(|run| run.len).sum::<u64>(), 6);
    assert_eq!((page.items[0].first, page.items[0].from), (10, 4));
    assert_eq!((lab.session(1).await.unwrap().head, lab.runs(2).await.len()), (15, 3));
    lab.trim_to(0, Bounds { session_bytes: 0, ..Bounds::NONE }).await;
    assert_eq!(lab.store.runs(&session_id(1), 0, 100).await.unwrap().floor, 15);
    assert_eq!(lab.store.runs(&session_id(2), 0, 100).await.unwrap().floor, 3);
    lab.ok(vec![append(1, 10, 1, 0), number(1, 15, vec![run(16, 1, 1, 11)])]).await;
    assert_eq!(lab.store.runs(&session_id(1), 15, 100).await.unwrap().floor, 15);
}

/// It could not be continued without a gap.
pub async fn a_session_that_has_yet_to_be_sent_what_is_forced_out_goes(bed: &dyn Bed) {
    let lab = crowded(bed).await;
    lab.ok(vec![follow(1, 1, 5), follow(1, 2, 10), follow(2, 2, 5)]).await;
    lab.trim_to(0, Bounds { session_bytes: room(13), ..Bounds::NONE }).await;
    assert_eq!(floors(&lab).await, [4, 3, 0]);
    assert!(lab.session(1).await.is_some() && lab.session(2).await.is_some());
    lab.trim_to(0, Bounds { session_bytes: room(11), ..Bounds::NONE }).await;
    assert_eq!((lab.session(1).await, lab.feeds(1).await), (None, vec![]));
    assert!(lab.session(2).await.is_some(), "its next event is there");
    assert_eq!(lab.commit(vec![ack(1, 0)]).await, fenced(0));
}

/// A client that takes turns with its jobs and never acknowledges makes one with each event.
pub async fn a_session_has_so_many_runs_at_the_most(bed: &dyn Bed) {
    let lab = crowded(bed).await;
    let turns = (0..20).map(|n| run(n + 1, 1, u128::from(n % 2 + 1), n / 2 + 1)).collect();
    lab.ok(vec![number(1, 0, turns), number(2, 0, vec![run(1, 5, 3, 1)])]).await;
    lab.trim_to(0, Bounds { session_runs: 8, ..Bounds::NONE }).await;
    let page = lab.store.runs(&session_id(1), 0, 100).await.unwrap();
    assert_eq!((page.floor, page.items.len()), (12, 8));
    assert_eq!(lab.runs(2).await.len(), 5);
}
