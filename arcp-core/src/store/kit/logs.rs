//! Jobs and their logs.

use super::Bed;
use super::lab::{
    ADA, BOB, DONE, Lab, append, at, conflict, end, event, fenced, job, job_id, new_job, terminal,
};
use crate::job::Status;
use crate::store::{JobRow, Op, Page, StoredEvent};
use crate::{Feature, Json, MessageType};

/// As it was put.
pub async fn a_job_is_put_once(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_job(1)]).await;
    assert_eq!(lab.job(1).await, Some(job(1)));
    assert_eq!(lab.commit(vec![new_job(1)]).await, conflict(0));
    let numbered = Op::PutJob { row: JobRow { head: 1, ..job(2) } };
    assert_eq!(lab.commit(vec![numbered]).await, conflict(0));
    let bobs = Op::PutJob { row: JobRow { principal: BOB.into(), ..job(2) } };
    assert_eq!(lab.commit(vec![bobs]).await, conflict(0), "a row of somebody else");
}

/// The same answer as for one that is not there.
pub async fn a_job_of_another_principal_is_not_found(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_job(1)]).await;
    assert_eq!(lab.store.job(BOB, &job_id(1)).await, Ok(None));
    assert_eq!(lab.store.job(ADA, &job_id(2)).await, Ok(None));
    let take = Op::TakeJob { job: job_id(1), from: 1, to: 2 };
    for op in [append(1, 0, 1, 0), take] {
        assert_eq!(lab.store.commit(lab.batch(BOB, vec![op])).await, fenced(0));
    }
    assert_eq!(lab.job(1).await, Some(job(1)));
}

/// Anybody else is fenced, and any other place is a conflict.
pub async fn events_are_appended_at_the_head_by_the_owner_only(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_job(1), append(1, 0, 2, 1)]).await;
    assert_eq!(lab.job(1).await.unwrap(), JobRow { head: 2, status: Status::Running, ..job(1) });
    for after in [0, 1, 3] {
        assert_eq!(lab.commit(vec![append(1, after, 1, 0)]).await, conflict(0));
    }
    let other = |owner| Op::Append {
        job: job_id(1),
        owner,
        after: 2,
        events: vec![event("x")],
        at: at(0),
        ended: None,
    };
    assert_eq!(lab.commit(vec![other(2)]).await, fenced(1));
    assert_eq!(lab.commit(vec![other(0)]).await, fenced(1));
    assert_eq!(lab.commit(vec![append(2, 0, 1, 0)]).await, fenced(0), "a job that is not there");
    lab.ok(vec![append(1, 2, 1, 1), append(1, 3, 0, 1)]).await;
    assert_eq!(lab.events(1, 0).await.items.len(), 3);
}

/// Its end and its state are in the row, and nothing follows.
pub async fn the_terminal_closes_the_log(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_job(1), append(1, 0, 1, 0)]).await;
    let with = |events: Vec<StoredEvent>, ended| {
        vec![Op::Append { job: job_id(1), owner: 1, after: 1, events, at: at(5), ended }]
    };
    let error = Some(Status::Error);
    assert_eq!(lab.commit(with(vec![terminal(), event("x")], error)).await, conflict(0));
    assert_eq!(lab.commit(with(vec![terminal()], None)).await, conflict(0));
    assert_eq!(lab.commit(with(vec![event("x")], error)).await, conflict(0));
    assert_eq!(lab.commit(with(vec![terminal()], Some(Status::Running))).await, conflict(0));
    assert_eq!(lab.commit(with(vec![event("x"), terminal()], error)).await, DONE);
    let ended = JobRow { status: Status::Error, ended_at: Some(at(5)), head: 3, ..job(1) };
    assert_eq!(lab.job(1).await, Some(ended));
    assert_eq!(lab.commit(vec![append(1, 3, 1, 9)]).await, conflict(0));
    assert_eq!(lab.commit(vec![Op::TakeJob { job: job_id(1), from: 1, to: 2 }]).await, conflict(0));
}

/// Every kind, what it needs, and the payload to the byte.
pub async fn events_come_back_as_they_were(bed: &dyn Bed) {
    let payload = |text: &str| Json::parse(text.to_owned()).unwrap();
    let event = |kind, needs, text| StoredEvent { kind, needs, payload: payload(text) };
    let mut events: Vec<_> = Feature::ALL
        .iter()
        .map(|feature| event(MessageType::Event, Some(*feature), r#"{ "a" : [1, 2.50, "\u00e9é"]}"#))
        .collect();
    events.push(event(MessageType::Event, None, "{}"));
    events.push(event(MessageType::JobError, None, r#"{"code":"TIMEOUT"}"#));
    let ended = Some(Status::TimedOut);
    let all = Op::Append { job: job_id(1), owner: 1, after: 0, events: events.clone(), at: at(0), ended };
    let lab = Lab::with(bed, vec![new_job(1), all]).await;
    assert_eq!(lab.events(1, 0).await, Page { items: events.clone(), floor: 0, more: false });
    assert_eq!(lab.events(1, 3).await.items, events[3..]);
    assert_eq!(lab.events(1, 99).await.items, []);
    assert_eq!(lab.events(2, 0).await, Page { items: vec![], floor: 0, more: false });
}

/// Pages join without a gap wherever the log was cut when it was written.
pub async fn events_come_in_pages_by_bytes_with_at_least_one(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_job(1), append(1, 0, 1, 0)]).await;
    lab.ok(vec![append(1, 1, 7, 0), append(1, 8, 1, 0)]).await;
    lab.ok(vec![append(1, 9, 1, 0)]).await;
    let all = lab.events(1, 0).await.items;
    assert_eq!(all.len(), 10);
    // Each payload is "event n" in quotes: 9 bytes, and 10 for the last.
    for (max, per_page) in [(0, 1), (1, 1), (9, 1), (18, 2), (26, 2), (27, 3), (91, 10)] {
        let (mut read, mut more) = (Vec::new(), true);
        while more {
            let page = lab.store.job_events(&job_id(1), read.len() as u64, max).await.unwrap();
            assert!(page.more || read.len() + page.items.len() == all.len());
            assert!(page.items.len() == per_page || !page.more || read.len() + page.items.len() == 9);
            assert_eq!(page.floor, 0);
            more = page.more;
            read.extend(page.items);
        }
        assert_eq!(read, all, "in pages of {max} bytes");
    }
}

/// Who owned it before is fenced from then on.
pub async fn a_job_is_taken_over_from_the_owner_that_is_gone(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_job(1), append(1, 0, 1, 0)]).await;
    let take = |from, to| vec![Op::TakeJob { job: job_id(1), from, to }];
    assert_eq!(lab.commit(take(3, 4)).await, fenced(1));
    lab.ok(take(1, 2)).await;
    assert_eq!(lab.commit(take(1, 3)).await, fenced(2));
    assert_eq!(lab.commit(vec![append(1, 1, 1, 0)]).await, fenced(2));
    let next =
        Op::Append { job: job_id(1), owner: 2, after: 1, events: vec![event("x")], at: at(0), ended: None };
    lab.ok(vec![next]).await;
    let row = lab.job(1).await.unwrap();
    assert_eq!((row.owner, row.head), (2, 2));
}

/// It is there for the owner that comes after, and an end is as final as before.
pub async fn that_a_job_will_be_cancelled_is_kept(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_job(1), append(1, 0, 1, 0), new_job(2), end(2, 0, 1)]).await;
    let cancel = |n, owner| vec![Op::CancelJob { job: job_id(n), owner }];
    assert!(!lab.job(1).await.unwrap().cancelling);
    assert_eq!(lab.commit(cancel(1, 2)).await, fenced(1));
    assert_eq!(lab.commit(cancel(3, 1)).await, fenced(0));
    assert_eq!(lab.commit(cancel(2, 1)).await, conflict(0));
    assert_eq!(lab.store.commit(lab.batch(BOB, cancel(1, 1))).await, fenced(0));
    lab.ok(cancel(1, 1)).await;
    lab.ok(cancel(1, 1)).await;
    let cancelling = JobRow { cancelling: true, status: Status::Running, head: 1, ..job(1) };
    assert_eq!(lab.job(1).await, Some(cancelling.clone()));
    assert_eq!(lab.store.orphans(2, 9).await, Ok(vec![cancelling]));
    lab.ok(vec![append(1, 1, 1, 0), end(1, 2, 1)]).await;
    assert!(lab.job(1).await.unwrap().status.is_terminal());
    let ended = JobRow { cancelling: true, ..job(3) };
    assert_eq!(lab.commit(vec![Op::PutJob { row: ended }]).await, conflict(0), "nothing was asked yet");
}

/// The newest note counts, and whoever takes the job over finds it.
pub async fn what_was_noted_of_a_job_is_kept(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![new_job(1), new_job(2), end(2, 0, 1)]).await;
    let note = |n, owner, text: &str| Op::NoteJob { job: job_id(n), owner, note: Json::of(text).unwrap() };
    assert_eq!(lab.job(1).await.unwrap().note, None);
    assert_eq!(lab.commit(vec![note(1, 2, "x")]).await, fenced(1));
    assert_eq!(lab.commit(vec![note(3, 1, "x")]).await, fenced(0));
    assert_eq!(lab.commit(vec![note(2, 1, "x")]).await, conflict(0));
    assert_eq!(lab.store.commit(lab.batch(BOB, vec![note(1, 1, "x")])).await, fenced(0));
    lab.ok(vec![note(1, 1, "old"), append(1, 0, 1, 0), note(1, 1, "new")]).await;
    assert_eq!(lab.job(1).await.unwrap().note, Some(Json::of("new").unwrap()));
    let orphans = lab.store.orphans(2, 9).await.unwrap();
    assert_eq!(orphans[0].note, Some(Json::of("new").unwrap()));
    let noted = JobRow { note: Some(Json::null()), ..job(4) };
    assert_eq!(lab.commit(vec![Op::PutJob { row: noted }]).await, conflict(0), "nothing was noted yet");
}

/// Whoever's they are.
pub async fn orphans_are_jobs_of_older_owners_that_have_not_ended(bed: &dyn Bed) {
    let owned = |n, owner| Op::PutJob { row: JobRow { owner, ..job(n) } };
    let lab = Lab::with(bed, vec![owned(1, 1), owned(2, 1), end(2, 0, 1), owned(3, 2), owned(4, 3)]).await;
    let bobs = JobRow { principal: BOB.into(), ..job(5) };
    let bobs = lab.batch(BOB, vec![Op::PutJob { row: bobs }]);
    assert_eq!(lab.store.commit(bobs).await, DONE);
    let mut orphans: Vec<_> = lab.store.orphans(3, 10).await.unwrap().into_iter().map(|row| row.id).collect();
    orphans.sort();
    assert_eq!(orphans, [job_id(1), job_id(3), job_id(5)]);
    assert_eq!(lab.store.orphans(3, 2).await.unwrap().len(), 2);
    assert_eq!(lab.store.orphans(1, 2).await.unwrap(), []);
}
