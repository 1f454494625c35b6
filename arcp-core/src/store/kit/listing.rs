//! Listings of jobs (§6.6).

use super::Bed;
use super::lab::{ADA, BOB, DONE, Lab, append, at, end, job, job_id};
use crate::JobId;
use crate::job::Status;
use crate::store::{JobQuery, JobRow, Op, Position};

fn created(n: u128, seconds: i64) -> Op {
    Op::PutJob { row: JobRow { created_at: at(seconds), ..job(n) } }
}

fn all() -> JobQuery {
    JobQuery { limit: 100, ..JobQuery::default() }
}

fn ids(rows: Vec<JobRow>) -> Vec<JobId> {
    rows.into_iter().map(|row| row.id).collect()
}

/// Jobs of the same time have an order too, so that no page can repeat one or leave one out.
pub async fn jobs_are_listed_newest_first_and_pages_do_not_overlap(bed: &dyn Bed) {
    let times = [(1, 5), (2, 5), (3, 5), (4, 5), (5, 9), (6, 1), (7, 5)];
    let lab = Lab::with(bed, times.map(|(n, seconds)| created(n, seconds)).into()).await;
    let expected: Vec<_> = [5, 7, 4, 3, 2, 1, 6].map(job_id).into();
    assert_eq!(ids(lab.list(all()).await.items), expected);
    for limit in 1..=8 {
        let (mut seen, mut after, mut more) = (Vec::new(), None, true);
        while more {
            let page = lab.list(JobQuery { limit, after: after.clone(), ..JobQuery::default() }).await;
            assert!(page.items.len() == limit || !page.more);
            more = page.more;
            let last = page.items.last();
            after = last.map(|row| Position { created_at: row.created_at, job: row.id.clone() });
            seen.extend(ids(page.items));
        }
        assert_eq!(seen, expected, "in pages of {limit}");
    }
    let gone = Position { created_at: at(5), job: job_id(100) };
    let page = lab.list(JobQuery { after: Some(gone), ..all() }).await;
    assert_eq!(ids(page.items), expected[1..], "behind a job that is not there");
}

/// A bare name is every version, and is no prefix of other names.
pub async fn a_listing_is_filtered_by_agent_status_and_time(bed: &dyn Bed) {
    let agent = |n, agent: &str, seconds| Op::PutJob {
        row: JobRow { agent: agent.into(), created_at: at(seconds), ..job(n) },
    };
    let ops = vec![
        agent(1, "echo@1.0.0", 1),
        agent(2, "echo@1.0.1", 2),
        agent(3, "echoes@1.0.0", 3),
        agent(4, "ech_@1.0.0", 4),
        append(2, 0, 1, 5),
        end(3, 0, 6),
    ];
    let lab = Lab::with(bed, ops).await;
    let by_agent = |wanted: &str| JobQuery { agent: Some(wanted.into()), ..all() };
    let by_status = |status: &[Status]| JobQuery { status: status.to_vec(), ..all() };
    let since = |seconds| JobQuery { created_after: Some(at(seconds)), ..all() };
    let expected: [(JobQuery, &[u128]); 13] = [
        (by_agent("echo"), &[2, 1]),
        (by_agent("echo@1.0.0"), &[1]),
        (by_agent("echo@1.0"), &[]),
        (by_agent("ech_"), &[4]),
        (by_agent("%"), &[]),
        (by_status(&[Status::Pending]), &[4, 1]),
        (by_status(&[Status::Running, Status::Success]), &[3, 2]),
        (by_status(&[Status::Cancelled]), &[]),
        (since(2), &[4, 3, 2]),
        (since(4), &[4]),
        (since(5), &[]),
        (JobQuery { agent: Some("echo".into()), ..by_status(&[Status::Running]) }, &[2]),
        (JobQuery { limit: 1, ..by_agent("echo") }, &[2]),
    ];
    for (query, expected) in expected {
        let page = lab.list(query.clone()).await;
        assert_eq!(page.more, query.limit == 1, "{query:?}");
        assert_eq!(ids(page.items), expected.iter().map(|n| job_id(*n)).collect::<Vec<_>>(), "{query:?}");
    }
    let rest = JobQuery {
        after: Some(Position { created_at: at(2), job: job_id(2) }),
        limit: 1,
        ..by_agent("echo")
    };
    let page = lab.list(rest).await;
    assert_eq!((ids(page.items), page.more), (vec![job_id(1)], false));
}

/// Not even by the place of one.
pub async fn a_listing_shows_nobody_elses_jobs(bed: &dyn Bed) {
    let lab = Lab::with(bed, vec![created(1, 1), created(3, 3)]).await;
    for (principal, n) in [(BOB, 2), ("ada2", 4), ("ad", 5), ("", 6)] {
        let row = JobRow { principal: principal.into(), created_at: at(2), ..job(n) };
        let batch = lab.batch(principal, vec![Op::PutJob { row }]);
        assert_eq!(lab.store.commit(batch).await, DONE);
    }
    assert_eq!(ids(lab.list(all()).await.items), [job_id(3), job_id(1)]);
    let after = Some(Position { created_at: at(9), job: job_id(3) });
    let page = lab.store.list_jobs(BOB, JobQuery { after, ..all() }).await.unwrap();
    assert_eq!(ids(page.items), [job_id(2)]);
    assert_eq!(lab.store.list_jobs("nobody", all()).await.unwrap().items, []);
    assert_eq!(lab.store.job(ADA, &job_id(2)).await, Ok(None));
}
