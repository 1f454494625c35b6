//! Idempotency keys (§7.2).

use super::Bed;
use super::lab::{ADA, BOB, DONE, Lab, at, fenced, job, key, new_job};
use crate::store::{IdempotencyRow, JobRow, Op, OpResult};

fn claim(row: IdempotencyRow, now: i64) -> Op {
    Op::Idempotency { row, now: at(now) }
}

/// Neither what is before it in the batch, nor what is behind it.
pub async fn a_key_that_is_there_comes_back_and_nothing_else_happens(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![claim(key("k", 100), 0), new_job(1)]).await;
    assert_eq!(lab.store.idempotency(ADA, "k").await, Ok(Some(key("k", 100))));
    let other = IdempotencyRow { fingerprint: [8; 32], ..key("k", 300) };
    let came = lab.commit(vec![new_job(2), claim(other, 99), new_job(3)]).await.unwrap();
    assert_eq!(came.results, [OpResult::Existing(key("k", 100))]);
    assert_eq!((lab.job(2).await, lab.job(3).await), (None, None));
    assert_eq!(lab.store.idempotency(ADA, "k").await, Ok(Some(key("k", 100))));
    // What does not fit before the key is found to be there is still refused.
    let unfit = vec![super::lab::append(9, 0, 1, 0), claim(key("k", 300), 0)];
    assert_eq!(lab.commit(unfit).await, fenced(0));
}

/// Two principals may choose the same one.
pub async fn a_key_belongs_to_its_principal(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![claim(key("k", 100), 0)]).await;
    let row = JobRow { principal: BOB.into(), ..job(1) };
    let bobs = IdempotencyRow { fingerprint: [8; 32], ..key("k", 200) };
    let batch = lab.batch(BOB, vec![claim(bobs.clone(), 0), Op::PutJob { row }]);
    assert_eq!(lab.store.commit(batch).await, DONE);
    assert_eq!(lab.store.idempotency(BOB, "k").await, Ok(Some(bobs)));
    assert_eq!(lab.store.idempotency(ADA, "k").await, Ok(Some(key("k", 100))));
}

/// From the very time on at which it expires.
pub async fn an_expired_key_is_free(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![claim(key("k", 100), 0)]).await;
    let next = IdempotencyRow { fingerprint: [8; 32], ..key("k", 200) };
    assert_eq!(lab.commit(vec![claim(next.clone(), 100)]).await, DONE);
    assert_eq!(lab.store.idempotency(ADA, "k").await, Ok(Some(next)));
}

/// A failed acceptance frees its key.
pub async fn a_dropped_key_is_free(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![claim(key("k", 100), 0)]).await;
    lab.ok(vec![Op::DropIdempotency { key: "k".into() }]).await;
    assert_eq!(lab.store.idempotency(ADA, "k").await, Ok(None));
    lab.ok(vec![Op::DropIdempotency { key: "k".into() }, claim(key("k", 50), 0)]).await;
    assert_eq!(lab.store.idempotency(ADA, "k").await, Ok(Some(key("k", 50))));
}
