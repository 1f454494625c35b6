//! Batches as such.

use super::Bed;
use super::lab::{ADA, DONE, Lab, append, at, conflict, event, fenced, job_id, lapse, new_job, new_session};
use super::lab::{key, number, run, session};
use crate::store::{Op, OpResult};

/// One operation that does not fit undoes those before it, and stops those behind it.
pub async fn a_batch_happens_as_a_whole_or_not_at_all(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_session(1), new_job(1), append(1, 0, 2, 0)]).await;
    let bad = append(1, 9, 1, 0);
    let moved = Op::PutSession { row: crate::store::SessionRow { epoch: 2, ..session(1) }, expect: 1 };
    let ops = vec![
        new_job(2),
        append(1, 2, 3, 0),
        number(1, 0, vec![run(1, 2, 1, 1)]),
        Op::Idempotency { row: key("k", 100), now: at(0) },
        moved,
        bad,
        new_job(3),
    ];
    assert_eq!(lab.commit(ops).await, conflict(5));
    assert_eq!((lab.job(2).await, lab.job(3).await), (None, None));
    assert_eq!(lab.job(1).await.unwrap().head, 2);
    assert_eq!(lab.events(1, 0).await.items.len(), 2);
    assert_eq!(lab.session(1).await.unwrap(), session(1));
    assert_eq!(lab.runs(1).await, []);
    assert_eq!(lab.store.idempotency(ADA, "k").await.unwrap(), None);
}

/// A job may be put and written in one batch, and a session too.
pub async fn operations_of_a_batch_see_those_before_them(bed: &dyn Bed) {
    let ops = vec![
        new_session(1),
        new_job(1),
        append(1, 0, 2, 0),
        append(1, 2, 1, 0),
        number(1, 0, vec![run(1, 2, 1, 1)]),
        number(1, 2, vec![run(3, 1, 1, 3)]),
    ];
    let lab = Lab::with(bed, ops).await;
    assert_eq!(lab.session(1).await.unwrap().head, 3);
    assert_eq!(lab.job(1).await.unwrap().head, 3);
    assert_eq!(lab.commit(vec![new_job(2), new_job(2)]).await, conflict(1));
}

/// The second time is `Ok` and nothing else.
pub async fn a_batch_has_an_effect_once_however_often_it_is_repeated(bed: &dyn Bed) {
    let lab = Lab::new(bed).await;
    let keyed = Op::Idempotency { row: key("k", 100), now: at(0) };
    let batch = lab.batch(ADA, vec![keyed, new_job(1), append(1, 0, 2, 0)]);
    for _ in 0..3 {
        assert_eq!(lab.store.commit(batch.clone()).await, DONE);
    }
    assert_eq!(lab.events(1, 0).await.items.len(), 2);
    lab.ok(vec![append(1, 2, 1, 0)]).await;
    assert_eq!(lab.store.commit(batch).await, DONE);
    assert_eq!(lab.job(1).await.unwrap().head, 3);
}

/// A refusal is no effect: the same batch may fit later.
pub async fn a_batch_that_was_refused_may_be_repeated(bed: &dyn Bed) {
    let lab = Lab::new(bed).await;
    let batch = lab.batch(ADA, vec![append(1, 0, 1, 0)]);
    assert_eq!(lab.store.commit(batch.clone()).await, fenced(0));
    lab.ok(vec![new_job(1), Op::Idempotency { row: key("k", 100), now: at(0) }]).await;
    assert_eq!(lab.store.commit(batch).await, DONE);
    let held = lab.batch(ADA, vec![Op::Idempotency { row: key("k", 200), now: at(0) }, new_job(2)]);
    let existing = lab.store.commit(held.clone()).await.unwrap();
    assert_eq!(existing.results, [OpResult::Existing(key("k", 100))]);
    lab.ok(vec![Op::DropIdempotency { key: "k".into() }]).await;
    assert_eq!(lab.store.commit(held).await, DONE);
    assert!(lab.job(2).await.is_some());
}

/// What is too much is refused as a whole, and names the first operation that is.
pub async fn a_batch_beyond_the_caps_is_refused(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_job(1)]).await;
    let caps = lab.store.caps().clone();
    let drop = Op::DropIdempotency { key: "k".into() };
    assert_eq!(lab.commit(vec![drop; caps.max_ops + 1]).await, conflict(caps.max_ops));
    let large = event(&"x".repeat(caps.max_bytes));
    let ops = vec![
        append(1, 0, 1, 0),
        Op::Append { job: job_id(1), owner: 1, after: 1, events: vec![large], at: at(0), ended: None },
    ];
    assert_eq!(lab.commit(ops).await, conflict(1));
    assert_eq!(lab.job(1).await.unwrap().head, 0);
}

/// Every process that joins is newer than those before it.
pub async fn an_owner_is_newer_than_any_before(bed: &dyn Bed) {
    let lab = Lab::new(bed).await;
    let first = lab.store.join(lapse(100), [7; 32]).await.unwrap();
    let second = lab.store.join(lapse(100), [8; 32]).await.unwrap();
    assert!(0 < first.owner && first.owner < second.owner);
}

/// Every process that joins gets the same secret: the first that any of them brought.
pub async fn all_that_join_share_a_secret(bed: &dyn Bed) {
    let lab = Lab::new(bed).await;
    let first = lab.store.join(lapse(100), [7; 32]).await.unwrap();
    let second = lab.store.join(lapse(100), [8; 32]).await.unwrap();
    assert_eq!((first.secret, second.secret), ([7; 32], [7; 32]));
    let Some(lab) = lab.reopened(bed).await else { return };
    assert_eq!(lab.store.join(lapse(100), [9; 32]).await.unwrap().secret, [7; 32]);
}
