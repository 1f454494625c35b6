//! What a store that outlives its process keeps. One that does not passes by default.

use super::Bed;
use super::lab::{
    ADA, DONE, Lab, ack, append, at, end, fenced, follow, key, lapse, new_job, new_session, number, run,
    session,
};
use crate::store::{JobQuery, Op, SessionRow};

fn some_of_everything() -> Vec<Op> {
    vec![
        new_session(1),
        follow(1, 1, 3),
        new_job(1),
        append(1, 0, 3, 1),
        new_job(2),
        append(2, 0, 1, 1),
        end(2, 1, 2),
        number(1, 0, vec![run(1, 2, 1, 1), run(3, 2, 2, 1)]),
        ack(1, 2),
        Op::Idempotency { row: key("k", 100), now: at(0) },
    ]
}

/// To the byte.
pub async fn everything_is_there_after_reopening(bed: &dyn Bed) {
    let lab = Lab::with(bed, some_of_everything()).await;
    let (sessions, jobs) = (lab.session(1).await, (lab.job(1).await, lab.job(2).await));
    let logs = (lab.events(1, 0).await, lab.events(2, 0).await);
    let (feeds, runs) = (lab.feeds(1).await, lab.runs(1).await);
    let Some(lab) = lab.reopened(bed).await else { return };
    assert_eq!(lab.session(1).await, sessions);
    assert_eq!((lab.job(1).await, lab.job(2).await), jobs);
    assert_eq!((lab.events(1, 0).await, lab.events(2, 0).await), logs);
    assert_eq!((lab.feeds(1).await, lab.runs(1).await), (feeds, runs));
    assert_eq!(lab.store.idempotency(ADA, "k").await, Ok(Some(key("k", 100))));
    assert_eq!(lab.store.session_by_token([1; 32]).await, Ok(sessions));
    assert_eq!(lab.list(JobQuery { limit: 9, ..JobQuery::default() }).await.items.len(), 2);
    lab.ok(vec![append(1, 3, 1, 3), number(1, 4, vec![run(5, 1, 1, 3)])]).await;
}

/// The process that got no answer may be another one than the process that asks again.
pub async fn a_repeat_after_reopening_has_no_effect(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_job(1)]).await;
    let batch = lab.batch(ADA, vec![append(1, 0, 2, 1)]);
    assert_eq!(lab.store.commit(batch.clone()).await, DONE);
    let Some(lab) = lab.reopened(bed).await else { return };
    assert_eq!(lab.store.commit(batch).await, DONE);
    assert_eq!(lab.job(1).await.unwrap().head, 2);
}

/// A process that comes back is not who it was.
pub async fn fences_and_owners_hold_after_reopening(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_session(1), new_job(1)]).await;
    let owner = lab.store.join(lapse(100), [7; 32]).await.unwrap().owner;
    lab.ok(vec![Op::PutSession { row: SessionRow { epoch: 2, ..session(1) }, expect: 1 }]).await;
    let Some(lab) = lab.reopened(bed).await else { return };
    assert_eq!(lab.commit(vec![ack(1, 0)]).await, fenced(2));
    assert!(lab.store.join(lapse(100), [8; 32]).await.unwrap().owner > owner);
    assert_eq!(lab.store.orphans(owner + 1, 9).await.unwrap().len(), 1);
}
