//! What is forgotten, and what is not (§6.3, §6.5).

use super::Bed;
use super::lab::{
    ADA, DONE, Lab, ack, append, at, conflict, end, follow, hash, job_id, key, new_job, new_session, number,
    run, session, session_id, spelt_out,
};
use crate::store::{BATCH_IDS_KEPT, Bounds, Op, SessionRow, StoredEvent, Trim};

/// The session, its feeds, its runs and its tokens.
pub async fn expired_sessions_go_with_all_they_have(bed: &dyn Bed) {
    let expiring = SessionRow { expires_at: Some(at(10)), previous_token: Some(hash(9)), ..session(1) };
    let later = SessionRow { expires_at: Some(at(11)), ..session(2) };
    let ops = vec![
        Op::PutSession { row: expiring, expect: 0 },
        Op::PutSession { row: later.clone(), expect: 0 },
        new_session(3),
        follow(1, 1, 1),
        follow(2, 1, 1),
        number(1, 0, vec![run(1, 2, 1, 1)]),
    ];
    let lab = Lab::with(bed, ops).await;
    lab.trim(9).await;
    assert!(lab.session(1).await.is_some());
    lab.trim(10).await;
    assert_eq!((lab.session(1).await, lab.feeds(1).await, lab.runs(1).await), (None, vec![], vec![]));
    for token in [hash(1), hash(9)] {
        assert_eq!(lab.store.session_by_token(token).await, Ok(None));
    }
    assert_eq!(lab.session(2).await, Some(later));
    assert_eq!(lab.feeds(2).await.len(), 1);
    assert_eq!(lab.session(3).await, Some(session(3)), "a connection has it");
    lab.ok(vec![new_session(1)]).await;
}

/// From the very time on at which they expire.
pub async fn expired_keys_go(bed: &dyn Bed) {
    let claim = |name, expires| Op::Idempotency { row: key(name, expires), now: at(0) };
    let lab = Lab::with(bed, vec![claim("a", 10), claim("b", 11)]).await;
    lab.trim(10).await;
    assert_eq!(lab.store.idempotency(ADA, "a").await, Ok(None));
    assert_eq!(lab.store.idempotency(ADA, "b").await, Ok(Some(key("b", 11))));
}

/// However old they are.
pub async fn ended_jobs_go_and_running_ones_stay(bed: &dyn Bed) {
    let ops = vec![new_job(1), new_job(2), new_job(3), append(1, 0, 2, 1), end(1, 2, 10), end(2, 0, 11)];
    let lab = Lab::with(bed, ops).await;
    lab.ok(vec![append(3, 0, 1, 1)]).await;
    lab.trim(11).await;
    assert_eq!(lab.job(1).await, None);
    assert_eq!(lab.events(1, 0).await.items, []);
    assert!(lab.job(2).await.is_some(), "it ended just now");
    assert_eq!(lab.job(3).await.unwrap().head, 1);
    assert_eq!(lab.list(crate::store::JobQuery { limit: 9, ..Default::default() }).await.items.len(), 2);
    lab.ok(vec![append(3, 1, 1, 12)]).await;
    lab.ok(vec![new_job(1)]).await;
}

/// What comes next has its own number, and is found under it.
pub async fn a_run_does_not_go_on_across_one_that_was_forgotten(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_session(1), new_job(1), new_job(2), append(1, 0, 5, 1)]).await;
    lab.ok(vec![end(2, 0, 1), number(1, 0, vec![run(1, 5, 1, 1), run(6, 1, 2, 1)]), ack(1, 6)]).await;
    lab.trim(10).await;
    assert_eq!(lab.job(2).await, None);
    lab.ok(vec![append(1, 5, 2, 11), number(1, 6, vec![run(7, 1, 1, 6)])]).await;
    lab.ok(vec![number(1, 7, vec![run(8, 1, 1, 7)])]).await;
    let page = lab.store.runs(&session_id(1), 6, 10).await.unwrap();
    assert_eq!(spelt_out(&page.items), [(7, job_id(1), 6), (8, job_id(1), 7)]);
    assert_eq!(lab.job(1).await.unwrap().last_event_seq, 8);
}

/// Numbers go on where they were, and a page says from where on it is whole.
pub async fn acknowledged_events_go_and_the_floor_says_so(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_session(1), new_job(1), follow(1, 1, 1)]).await;
    lab.ok(vec![append(1, 0, 5, 1)]).await;
    lab.ok(vec![append(1, 5, 5, 2)]).await;
    let feeds = vec![(job_id(1), 11)];
    let sent = Op::Number { session: session_id(1), epoch: 1, after: 0, runs: vec![run(1, 10, 1, 1)], feeds };
    lab.ok(vec![sent, ack(1, 5)]).await;
    lab.trim(20).await;
    let page = lab.events(1, 0).await;
    assert_eq!((page.floor, page.items.len()), (5, 5));
    assert_eq!(page.items, lab.events(1, 5).await.items);
    lab.ok(vec![ack(1, 10)]).await;
    lab.trim(20).await;
    let page = lab.events(1, 0).await;
    assert_eq!((page.floor, page.items, page.more), (10, vec![], false));
    lab.ok(vec![append(1, 10, 1, 30)]).await;
    let page = lab.events(1, 10).await;
    assert_eq!((page.floor, page.items.len()), (10, 1));
    lab.trim(30).await;
    assert_eq!(lab.events(1, 10).await.items.len(), 1, "younger than what may go");
}

/// However old they are, and whether their job has ended or not.
pub async fn events_that_a_session_has_not_acknowledged_stay(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_session(1), new_job(1), append(1, 0, 4, 1)]).await;
    lab.ok(vec![append(1, 4, 4, 1), end(1, 8, 2)]).await;
    lab.ok(vec![number(1, 0, vec![run(1, 9, 1, 1)]), ack(1, 6)]).await;
    lab.trim(100).await;
    let page = lab.events(1, 6).await;
    assert!(page.floor <= 6, "{}", page.floor);
    assert_eq!(page.items.len(), 3);
    assert!(lab.job(1).await.is_some());
    lab.ok(vec![ack(1, 9)]).await;
    lab.trim(100).await;
    assert_eq!(lab.job(1).await, None);
}

/// A feed holds back what it has not come to.
pub async fn events_that_a_session_has_yet_to_be_sent_stay(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_session(1), new_session(2), new_job(1), append(1, 0, 4, 1)]).await;
    lab.ok(vec![append(1, 4, 4, 1), end(1, 8, 2), follow(1, 1, 7), follow(2, 1, 9)]).await;
    lab.trim(100).await;
    let page = lab.events(1, 6).await;
    assert!(page.floor <= 6, "{}", page.floor);
    assert_eq!(page.items.len(), 3);
    let drop = |n| Op::DropFeed { session: session_id(n), epoch: 1, job: job_id(1) };
    lab.ok(vec![drop(1)]).await;
    lab.trim(100).await;
    assert_eq!(lab.events(1, 8).await.items.iter().filter(|e| is_terminal(e)).count(), 1);
    lab.ok(vec![drop(2)]).await;
    lab.trim(100).await;
    assert_eq!(lab.job(1).await, None);
}

fn is_terminal(event: &StoredEvent) -> bool {
    event.kind != crate::MessageType::Event
}

/// What only it needed goes with it.
pub async fn an_expired_session_holds_nothing_back(bed: &dyn Bed) {
    let expiring = SessionRow { expires_at: Some(at(50)), ..session(1) };
    let lab = Lab::with(bed, vec![Op::PutSession { row: expiring, expect: 0 }, new_job(1)]).await;
    lab.ok(vec![append(1, 0, 4, 1), end(1, 4, 2), follow(1, 1, 3)]).await;
    lab.ok(vec![number(1, 0, vec![run(1, 2, 1, 1)])]).await;
    lab.trim(49).await;
    assert_eq!(lab.events(1, 0).await.items.len(), 5);
    lab.trim(50).await;
    assert_eq!(lab.job(1).await, None);
}

/// So that it never stops other writes for long.
pub async fn a_trim_keeps_to_its_limit_and_gets_done_in_the_end(bed: &dyn Bed) {
    let lab = Lab::new(bed).await;
    for n in 1..=20 {
        lab.ok(vec![new_job(n), append(n, 0, 3, 1), end(n, 3, 2)]).await;
    }
    let trim = Trim { before: at(10), bounds: Bounds::NONE, limit: 4 };
    assert!(lab.store.trim(at(10), trim).await.unwrap() > 0);
    let left = lab.list(crate::store::JobQuery { limit: 99, ..Default::default() }).await.items.len();
    assert!((10..=20).contains(&left), "{left} jobs are left");
    while lab.store.trim(at(10), trim).await.unwrap() > 0 {}
    assert_eq!(lab.list(crate::store::JobQuery { limit: 99, ..Default::default() }).await.items, []);
    assert_eq!(lab.store.trim(at(10), trim).await, Ok(0));
}

/// They are remembered for a while after a trim saw them, and then they are not.
pub async fn ids_of_batches_are_forgotten_in_time(bed: &dyn Bed) {
    let lab = Lab::new(bed).await;
    let batch = lab.batch(ADA, vec![new_job(1)]);
    assert_eq!(lab.store.commit(batch.clone()).await, DONE);
    let kept = i64::try_from(BATCH_IDS_KEPT.as_secs()).unwrap();
    lab.trim(-2 * kept).await;
    lab.trim(-kept - 1).await;
    assert_eq!(lab.store.commit(batch.clone()).await, DONE, "it is known");
    lab.trim(-kept).await;
    assert_eq!(lab.store.commit(batch).await, conflict(0), "it is a new one");
}
