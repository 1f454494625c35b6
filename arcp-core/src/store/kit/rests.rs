//! What ended jobs were accepted with is bounded, too (§6.5): they go as a whole, the oldest first.

use super::Bed;
use super::lab::{
    ADA, BOB, DONE, Lab, ack, append, at, end, follow, hash, job, job_id, key, new_job, new_session, number,
    run, session_id,
};
use crate::Json;
use crate::store::{Bounds, IdempotencyRow, JobRow, Op, StoreError};

fn large() -> Json {
    Json::of(&"x".repeat(4000)).unwrap()
}

/// Room for so many of the jobs below, with half of another one.
fn room(jobs: u64) -> u64 {
    jobs * 8300 + 4000
}

fn name(n: u128) -> String {
    format!("key {n}")
}

/// Job `n`, with a body of 4,000 bytes and a key whose acceptance is as large, after one event.
fn accepted(n: u128) -> Vec<Op> {
    let key = IdempotencyRow { key: name(n), job: job_id(n), accepted: large(), ..key("", 1000) };
    let row = JobRow { body: large(), ..job(n) };
    vec![Op::Idempotency { row: key, now: at(0) }, Op::PutJob { row }, append(n, 0, 1, 1)]
}

/// Jobs 1 to 5 of Ada, of which the first one runs and the others have ended in turn, and one of Bob's.
async fn crowded(bed: &dyn Bed) -> Lab {
    let lab = Lab::with(bed, vec![new_session(1), new_session(2)]).await;
    for n in 1..=5 {
        lab.ok(accepted(n)).await;
    }
    let row = JobRow { principal: BOB.into(), session: session_id(9), body: large(), ..job(6) };
    let bobs = lab.batch(BOB, vec![Op::PutJob { row }, end(6, 0, 1)]);
    assert_eq!(lab.store.commit(bobs).await, DONE);
    for n in 2..=5 {
        lab.ok(vec![end(n, 1, i64::try_from(n).unwrap())]).await;
    }
    lab
}

async fn there(lab: &Lab) -> Vec<u128> {
    let mut there = Vec::new();
    for n in 1..=5 {
        let (row, key) = (lab.job(n).await, lab.store.idempotency(ADA, &name(n)).await.unwrap());
        assert_eq!(row.is_some(), key.is_some(), "job {n} and its key");
        there.extend(row.map(|_| n));
    }
    there
}

async fn bobs(lab: &Lab) -> bool {
    lab.store.job(BOB, &job_id(6)).await.unwrap().is_some()
}

/// With the keys that stand for them, oldest first; one that runs never does.
pub async fn ended_jobs_beyond_the_bytes_go_whole_and_running_ones_never(bed: &dyn Bed) {
    let lab = crowded(bed).await;
    lab.trim_to(0, Bounds { session_bytes: 4000, ..Bounds::NONE }).await;
    assert_eq!(there(&lab).await, [1, 2, 3, 4, 5], "a session counts events only");
    lab.trim_to(0, Bounds { principal_bytes: room(4), bytes: room(5), ..Bounds::NONE }).await;
    assert_eq!(there(&lab).await, [1, 2, 3, 4, 5], "there is room");
    lab.trim_to(0, Bounds { principal_bytes: room(2), ..Bounds::NONE }).await;
    assert_eq!((there(&lab).await, bobs(&lab).await), (vec![1, 4, 5], true), "of a principal");
    lab.trim_to(0, Bounds { bytes: room(3), ..Bounds::NONE }).await;
    assert_eq!((there(&lab).await, bobs(&lab).await), (vec![1, 4, 5], true), "there is room");
    lab.trim_to(0, Bounds { bytes: room(2) - 1600, ..Bounds::NONE }).await;
    assert_eq!((there(&lab).await, bobs(&lab).await), (vec![1, 4, 5], false), "his ended first");
    lab.trim_to(0, Bounds { bytes: room(1), ..Bounds::NONE }).await;
    assert_eq!((there(&lab).await, bobs(&lab).await), (vec![1, 5], false), "in all");
    lab.trim_to(0, Bounds { principal_bytes: 0, bytes: 0, ..Bounds::NONE }).await;
    assert_eq!(there(&lab).await, [1]);
    assert_eq!(lab.job(1).await.unwrap().body, large());
    lab.ok(vec![append(1, 1, 1, 9)]).await;
    lab.ok(accepted(2)).await;
}

/// Whatever a running job was accepted with.
pub async fn what_runs_drives_nothing_out(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_job(9), append(9, 0, 1, 1), end(9, 1, 1)]).await;
    for n in 1..=5 {
        lab.ok(accepted(n)).await;
    }
    lab.trim_to(0, Bounds { principal_bytes: 4000, bytes: 4000, ..Bounds::NONE }).await;
    assert_eq!((there(&lab).await, lab.events(9, 0).await.items.len()), (vec![1, 2, 3, 4, 5], 2));
}

/// As long as there are others.
pub async fn an_ended_job_that_a_session_needs_goes_after_those_that_none_does(bed: &dyn Bed) {
    let lab = crowded(bed).await;
    lab.ok(vec![number(1, 0, vec![run(1, 2, 2, 1)]), follow(2, 3, 2)]).await;
    lab.trim_to(0, Bounds { principal_bytes: room(2), ..Bounds::NONE }).await;
    assert_eq!(there(&lab).await, [1, 2, 3]);
    assert_eq!((lab.runs(1).await.len(), lab.feeds(2).await.len()), (2, 1));
}

/// A resume never gets less than it asks for.
pub async fn an_ended_job_that_is_forced_out_lifts_the_floor_of_who_was_sent_it(bed: &dyn Bed) {
    let lab = crowded(bed).await;
    let runs = vec![run(1, 1, 1, 1), run(2, 2, 2, 1), run(4, 2, 5, 1)];
    lab.ok(vec![number(1, 0, runs), ack(1, 1), follow(2, 2, 2)]).await;
    lab.trim_to(0, Bounds { principal_bytes: room(1), ..Bounds::NONE }).await;
    assert_eq!(there(&lab).await, [1, 5]);
    let page = lab.store.runs(&session_id(1), 0, 100).await.unwrap();
    assert_eq!((page.floor, page.items), (4, vec![run(5, 1, 5, 2)]), "the event of job 5 is older");
    assert_eq!(lab.session(2).await, None, "it had yet to be sent the end of job 2");
    lab.trim_to(0, Bounds { principal_bytes: 0, ..Bounds::NONE }).await;
    assert_eq!(there(&lab).await, [1]);
    let page = lab.store.runs(&session_id(1), 0, 100).await.unwrap();
    assert_eq!((page.floor, page.items), (5, vec![]));
    assert_eq!(lab.store.session_by_token(hash(1)).await.unwrap().unwrap().head, 5);
}

/// They have nothing that anybody could be sent.
pub async fn ended_jobs_without_events_go_before_any_event(bed: &dyn Bed) {
    let lab = crowded(bed).await;
    lab.ok(vec![follow(1, 1, 1), follow(1, 2, 1), follow(1, 3, 1), follow(1, 5, 1)]).await;
    // The log of job 4 is old, and the job is not.
    lab.ok(vec![append(1, 1, 40, 1)]).await;
    lab.trim_to(4, Bounds::NONE).await;
    assert_eq!(there(&lab).await, [1, 2, 3, 4, 5]);
    lab.trim_to(0, Bounds { session_bytes: 0, ..Bounds::NONE }).await;
    let floors = [lab.events(1, 0).await.floor, lab.events(4, 0).await.floor];
    assert_eq!((floors, there(&lab).await), ([41, 2], vec![1, 2, 3, 4, 5]));
    lab.ok(vec![append(1, 41, 10, 1)]).await;
    lab.trim_to(0, Bounds { principal_bytes: room(3), ..Bounds::NONE }).await;
    assert_eq!((lab.events(1, 0).await.floor, there(&lab).await), (41, vec![1, 3, 4, 5]));
}

/// However much is submitted, one after the other, within the time that ended jobs are kept for.
pub async fn what_was_accepted_and_is_over_fills_no_store(bed: &dyn Bed) {
    let lab = Lab::new(bed).await;
    for n in 1..=50 {
        let mut ops = accepted(n);
        ops.push(end(n, 1, i64::try_from(n).unwrap()));
        assert_ne!(lab.commit(ops).await, Err(StoreError::Full));
        lab.trim_to(0, Bounds { principal_bytes: room(3), ..Bounds::NONE }).await;
        let listed = lab.list(crate::store::JobQuery { limit: 99, ..Default::default() }).await.items.len();
        assert_eq!(listed, usize::try_from(n.min(3)).unwrap());
    }
}
