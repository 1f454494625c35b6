//! Listing jobs (§6.6).

use arcp_client::{Client, JobsFilter, RequestError};
use arcp_core::job::Status;
use arcp_core::wire::session::JobEntry;
use arcp_core::{Code, Feature, Timestamp};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::fake::{Fake, opened};

async fn page(fake: &mut Fake, wanted: Value, jobs: &[u32], next: Option<&str>) {
    let query = fake.next().await;
    assert_eq!((&query["type"], &query["payload"]), (&json!("session.list_jobs"), &wanted));
    let jobs: Vec<Value> = jobs
        .iter()
        // Without lease, times and numbers, as some runtimes list them.
        .map(|n| json!({"job_id": format!("job_{n}"), "agent": "echo@1.0.0", "status": "running"}))
        .collect();
    let payload = json!({"request_id": query["id"], "jobs": jobs, "next_cursor": next});
    fake.send("session.jobs", json!({}), payload).await;
}

async fn list(client: &Client, filter: JobsFilter) -> Vec<Result<JobEntry, RequestError>> {
    client.list_jobs(filter).collect().await
}

#[tokio::test(start_paused = true)]
async fn a_listing_goes_over_all_pages_and_asks_for_one_when_it_is_needed() {
    let (client, mut fake) = opened(&["list_jobs"]).await;
    let filter = JobsFilter::new()
        .status([Status::Running, Status::Pending])
        .agent("echo")
        .created_after(Timestamp::from_millis(0))
        .page(2);
    let mut query = json!({
        "filter": {"status": ["running", "pending"], "agent": "echo", "created_after": "1970-01-01T00:00:00.000Z"},
        "limit": 2,
    });
    let mut jobs = client.list_jobs(filter);
    let (first, ()) = tokio::join!(jobs.next(), page(&mut fake, query.clone(), &[1, 2], Some("a")));
    assert_eq!(first.unwrap().unwrap().job_id.as_str(), "job_1");
    assert_eq!(jobs.next().await.unwrap().unwrap().job_id.as_str(), "job_2");
    query["cursor"] = json!("a");
    let mut last = query.clone();
    last["cursor"] = json!("b");
    let pages = async {
        // A page may be empty without being the last.
        page(&mut fake, query, &[], Some("b")).await;
        page(&mut fake, last, &[3], None).await;
    };
    let (rest, ()) = tokio::join!(jobs.collect::<Vec<_>>(), pages);
    let ids: Vec<String> = rest.into_iter().map(|job| job.unwrap().job_id.to_string()).collect();
    assert_eq!(ids, ["job_3"]);
}

#[tokio::test(start_paused = true)]
async fn a_listing_of_everything_says_nothing_of_filters() {
    let (client, mut fake) = opened(&["list_jobs"]).await;
    let (jobs, ()) = tokio::join!(list(&client, JobsFilter::new()), page(&mut fake, json!({}), &[7], None));
    assert_eq!(jobs.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_the_last_item() {
    let (client, mut fake) = opened(&["list_jobs"]).await;
    let refuse = async {
        page(&mut fake, json!({}), &[1], Some("a")).await;
        let query = fake.next().await;
        let payload = json!({"code": "INVALID_REQUEST", "message": "x", "request_id": query["id"]});
        fake.send("session.error", json!({}), payload).await;
    };
    let (jobs, ()) = tokio::join!(list(&client, JobsFilter::new()), refuse);
    assert_eq!(jobs.len(), 2);
    assert!(matches!(&jobs[1], Err(RequestError::Refused(e)) if e.code() == Code::InvalidRequest));

    let stuck = async {
        page(&mut fake, json!({}), &[1], Some("a")).await;
        page(&mut fake, json!({"cursor": "a"}), &[1], Some("a")).await;
    };
    let (jobs, ()) = tokio::join!(list(&client, JobsFilter::new()), stuck);
    assert!(matches!(jobs[..], [Ok(_), Err(RequestError::Unreadable(_))]), "it does not go round for ever");

    assert_eq!(list(&client, JobsFilter::new()).await, [Err(RequestError::TimedOut)]);
    let (client, _fake) = opened(&[]).await;
    let refused = RequestError::NotNegotiated(Feature::ListJobs);
    assert_eq!(list(&client, JobsFilter::new()).await, [Err(refused)]);
}
