//! Sessions, their numbers and their feeds.

use super::Bed;
use super::lab::{
    BOB, DONE, Lab, ack, append, at, conflict, fenced, follow, hash, job_id, lapse, new_job, new_session,
    number, run, session, session_id, spelt_out,
};
use crate::store::{JobQuery, Op, SessionRow};

/// A new session is what was put, and nobody else can take its id.
pub async fn a_new_session_is_there_and_a_second_one_of_its_name_is_fenced(bed: &dyn Bed) {
    let lab = Lab::new(bed).await;
    assert_eq!(lab.session(1).await, None);
    let row = SessionRow { head: 5, acked: 3, previous_token: Some(hash(9)), ..session(1) };
    lab.ok(vec![Op::PutSession { row: row.clone(), expect: 0 }]).await;
    assert_eq!(lab.session(1).await, Some(row));
    assert_eq!(lab.commit(vec![new_session(1)]).await, fenced(1));
    let ahead = SessionRow { epoch: 4, ..session(2) };
    assert_eq!(lab.commit(vec![Op::PutSession { row: ahead, expect: 3 }]).await, fenced(0));
    let nothing = SessionRow { epoch: 0, ..session(2) };
    assert_eq!(lab.commit(vec![Op::PutSession { row: nothing, expect: 0 }]).await, conflict(0));
}

/// Who was taken over is refused, with the epoch that took over.
pub async fn an_older_epoch_writes_nothing(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_session(1), follow(1, 1, 1)]).await;
    let taken = SessionRow { epoch: 2, ..session(1) };
    lab.ok(vec![Op::PutSession { row: taken.clone(), expect: 1 }]).await;
    let drop = Op::DropFeed { session: session_id(1), epoch: 1, job: job_id(1) };
    let put = Op::PutSession { row: SessionRow { token: hash(8), ..taken.clone() }, expect: 1 };
    for op in [number(1, 0, vec![run(1, 1, 1, 1)]), ack(1, 0), follow(1, 2, 1), drop, put] {
        assert_eq!(lab.commit(vec![op.clone()]).await, fenced(2), "{op:?}");
    }
    assert_eq!(lab.session(1).await, Some(taken));
    assert_eq!(lab.feeds(1).await, [(job_id(1), 1, true)]);
    assert_eq!(lab.commit(vec![ack(7, 0)]).await, fenced(0), "a session that is not there");
}

/// Its id is no way in.
pub async fn a_session_of_another_principal_cannot_be_written(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_session(1)]).await;
    let bobs = |op: Op| lab.store.commit(lab.batch(BOB, vec![op]));
    assert_eq!(bobs(follow(1, 1, 1)).await, fenced(0));
    assert_eq!(bobs(new_session(2)).await, conflict(0), "a row of somebody else");
    let row = SessionRow { principal: BOB.into(), epoch: 2, ..session(1) };
    assert_eq!(bobs(Op::PutSession { row, expect: 1 }).await, conflict(0));
    assert_eq!(lab.session(1).await, Some(session(1)));
}

/// A row that is written again brings no numbers along.
pub async fn taking_a_session_over_leaves_its_numbers_alone(bed: &dyn Bed) {
    let first = vec![new_session(1), follow(1, 1, 1), number(1, 0, vec![run(1, 4, 1, 1)]), ack(1, 2)];
    let lab = Lab::with(bed, first).await;
    let row = SessionRow { epoch: 2, head: 9, acked: 9, token: hash(2), ..session(1) };
    lab.ok(vec![Op::PutSession { row: row.clone(), expect: 1 }]).await;
    assert_eq!(lab.session(1).await, Some(SessionRow { head: 4, acked: 2, ..row }));
    assert_eq!(lab.feeds(1).await, [(job_id(1), 1, true)]);
    assert_eq!(lab.runs(1).await.last(), Some(&(4, job_id(1), 4)));
}

/// And by no older one.
pub async fn a_session_is_found_by_its_current_and_its_previous_token(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_session(1), new_session(2)]).await;
    let rotated = SessionRow { token: hash(10), previous_token: Some(hash(1)), ..session(1) };
    lab.ok(vec![Op::PutSession { row: rotated.clone(), expect: 1 }]).await;
    for token in [hash(10), hash(1)] {
        assert_eq!(lab.store.session_by_token(token).await.unwrap(), Some(rotated.clone()));
    }
    let confirmed = SessionRow { token: hash(10), previous_token: None, ..session(1) };
    lab.ok(vec![Op::PutSession { row: confirmed.clone(), expect: 1 }]).await;
    assert_eq!(lab.store.session_by_token(hash(10)).await.unwrap(), Some(confirmed));
    assert_eq!(lab.store.session_by_token(hash(1)).await.unwrap(), None);
    assert_eq!(lab.store.session_by_token(hash(2)).await.unwrap(), Some(session(2)));
}

/// A gap, an overlap and a wrong head are conflicts.
pub async fn numbers_are_contiguous_and_begin_at_the_head(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_session(1)]).await;
    lab.ok(vec![number(1, 0, vec![run(1, 2, 1, 1), run(3, 1, 2, 5), run(4, 2, 1, 3)])]).await;
    lab.ok(vec![number(1, 5, vec![run(6, 3, 1, 5)]), number(1, 8, vec![])]).await;
    assert_eq!(lab.session(1).await.unwrap().head, 8);
    let all: Vec<_> = [(1, 1), (1, 2), (2, 5), (1, 3), (1, 4), (1, 5), (1, 6), (1, 7)].into();
    let all: Vec<_> = (1..).zip(all).map(|(seq, (job, event))| (seq, job_id(job), event)).collect();
    assert_eq!(lab.runs(1).await, all);
    let bad = [
        number(1, 7, vec![run(8, 1, 1, 8)]),
        number(1, 9, vec![run(10, 1, 1, 8)]),
        number(1, 8, vec![run(10, 1, 1, 8)]),
        number(1, 8, vec![run(9, 2, 1, 8), run(10, 1, 1, 10)]),
        number(1, 8, vec![run(9, 0, 1, 8)]),
        number(1, 8, vec![run(9, u64::MAX, 1, 8)]),
    ];
    for op in bad {
        assert_eq!(lab.commit(vec![op.clone()]).await, conflict(0), "{op:?}");
    }
    assert_eq!(lab.runs(1).await, all);
}

/// A number stands for an event that is there: whoever numbers events while their append is under way
/// must not be told that it is done if the append was not.
pub async fn a_run_beyond_the_last_event_of_its_job_is_a_conflict(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_session(1), new_job(1), append(1, 0, 2, 0)]).await;
    let beyond = number(1, 0, vec![run(1, 3, 1, 1)]);
    assert_eq!(lab.commit(vec![beyond.clone()]).await, conflict(0));
    assert_eq!(lab.commit(vec![number(1, 0, vec![run(1, 1, 1, 3)])]).await, conflict(0));
    assert_eq!(lab.session(1).await.unwrap().head, 0);
    lab.ok(vec![append(1, 2, 1, 0), beyond]).await;
    assert_eq!(lab.runs(1).await.len(), 3);
}

/// Above the number that was asked for, oldest first.
pub async fn runs_come_in_pages_that_say_whether_there_is_more(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_session(1)]).await;
    let runs = (0..5).map(|i| run(1 + 2 * i, 2, 1 + u128::from(i % 2), 10 * i + 1)).collect();
    lab.ok(vec![number(1, 0, runs)]).await;
    let page = lab.store.runs(&session_id(1), 0, 2).await.unwrap();
    assert_eq!((page.items.len(), page.more, page.floor), (2, true, 0));
    assert_eq!(spelt_out(&page.items).last().unwrap().0, 4);
    let page = lab.store.runs(&session_id(1), 4, 3).await.unwrap();
    assert_eq!((page.items.len(), page.more), (3, false));
    let middle = lab.store.runs(&session_id(1), 5, 1).await.unwrap();
    assert_eq!(middle.items, [run(5, 2, 1, 21)], "the run that number 6 is in");
    let none = lab.store.runs(&session_id(1), 10, 3).await.unwrap();
    assert_eq!((none.items, none.more), (vec![], false));
}

/// An old ack changes nothing, and one ahead is a conflict.
pub async fn an_ack_moves_forward_only_and_never_past_the_head(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_session(1), number(1, 0, vec![run(1, 5, 1, 1)])]).await;
    for (seq, acked) in [(3, 3), (2, 3), (0, 3), (4, 4)] {
        lab.ok(vec![ack(1, seq)]).await;
        assert_eq!(lab.session(1).await.unwrap().acked, acked);
    }
    assert_eq!(lab.commit(vec![ack(1, 6)]).await, conflict(0));
    assert_eq!(lab.session(1).await.unwrap().acked, 4);
    assert_eq!(lab.runs(1).await.last(), Some(&(5, job_id(1), 5)));
}

/// What is above the floor can be traced back, whatever was acknowledged.
pub async fn runs_that_were_acknowledged_are_below_the_floor(bed: &dyn Bed) {
    let runs = vec![run(1, 2, 1, 1), run(3, 2, 2, 1), run(5, 2, 1, 3)];
    let lab = Lab::with(bed, vec![new_session(1), number(1, 0, runs)]).await;
    for (seq, at_most) in [(3, 2), (4, 4), (6, 6)] {
        lab.ok(vec![ack(1, seq)]).await;
        let page = lab.store.runs(&session_id(1), seq, 10).await.unwrap();
        assert!(page.floor <= at_most, "{} after an ack of {seq}", page.floor);
        let kept: Vec<_> = spelt_out(&page.items).into_iter().map(|(seq, ..)| seq).collect();
        assert_eq!(kept.iter().filter(|n| **n > seq).count() as u64, 6 - seq);
    }
    lab.ok(vec![number(1, 6, vec![run(7, 1, 1, 5)])]).await;
    assert_eq!(lab.runs(1).await.last(), Some(&(7, job_id(1), 5)));
}

/// In every read of a job, acknowledged or not, and whatever other sessions saw of it.
pub async fn a_job_tells_its_last_number_in_the_session_that_submitted_it(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_session(1), new_session(2), new_job(1), new_job(2)]).await;
    lab.ok(vec![append(1, 0, 9, 0), append(2, 0, 3, 0)]).await;
    lab.ok(vec![number(1, 0, vec![run(1, 2, 1, 1), run(3, 1, 2, 1), run(4, 3, 1, 3), run(7, 2, 2, 2)])])
        .await;
    lab.ok(vec![number(2, 0, vec![run(1, 9, 1, 1)]), ack(1, 8)]).await;
    let all = JobQuery { limit: 9, ..JobQuery::default() };
    let listed = lab.list(all).await.items;
    let orphans = lab.store.orphans(2, 9).await.unwrap();
    for (n, last) in [(1, 6), (2, 8)] {
        assert_eq!(lab.job(n).await.unwrap().last_event_seq, last);
        for rows in [&listed, &orphans] {
            let row = rows.iter().find(|row| row.id == job_id(n));
            assert_eq!(row.unwrap().last_event_seq, last);
        }
    }
}

/// Putting one again replaces it; one that is not there neither moves nor fails.
pub async fn a_feed_is_put_moves_and_is_dropped(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_session(1), follow(1, 1, 1), follow(1, 2, 4)]).await;
    let feeds = vec![(job_id(1), 3), (job_id(9), 3)];
    let moved = Op::Number { session: session_id(1), epoch: 1, after: 0, runs: vec![run(1, 2, 1, 1)], feeds };
    lab.ok(vec![moved]).await;
    assert_eq!(lab.feeds(1).await, [(job_id(1), 3, true), (job_id(2), 4, true)]);
    let skipped =
        Op::Number { session: session_id(1), epoch: 1, after: 2, runs: vec![], feeds: vec![(job_id(2), 6)] };
    lab.ok(vec![skipped]).await;
    lab.ok(vec![follow(1, 1, 2), Op::DropFeed { session: session_id(1), epoch: 1, job: job_id(2) }]).await;
    assert_eq!(lab.feeds(1).await, [(job_id(1), 2, true)]);
    let again = Op::DropFeed { session: session_id(1), epoch: 1, job: job_id(2) };
    assert_eq!(lab.commit(vec![again]).await, DONE);
    assert_eq!(lab.feeds(2).await, []);
}

/// Those that have something to acknowledge, or to be sent, later than others. One that lapses already
/// keeps its time.
pub async fn sessions_of_a_process_that_is_gone_lapse(bed: &dyn Bed) {
    let lapsing = SessionRow { expires_at: Some(at(7)), ..session(4) };
    let ops =
        vec![new_session(1), new_session(2), new_session(3), Op::PutSession { row: lapsing, expect: 0 }];
    let lab = Lab::with(bed, ops).await;
    let sent = |n| number(n, 0, vec![run(1, 3, 1, 1)]);
    lab.ok(vec![sent(1), ack(1, 3), sent(2), ack(2, 2), sent(3), ack(3, 3), follow(3, 1, 4), sent(4)]).await;
    lab.store.join(lapse(100), hash(1)).await.unwrap();
    let mut times = Vec::new();
    for n in 1..=4 {
        times.push(lab.session(n).await.unwrap().expires_at.unwrap());
    }
    assert_eq!(times, [at(100), at(200), at(200), at(7)]);
}
