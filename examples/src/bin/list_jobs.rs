//! Which jobs are there (§6.6): of one's own principal, by status and agent, page by page, from any session.

use arcp_client::JobStatus;
use arcp_client::JobsFilter;
use arcp_examples::{Done, connect, serve};
use arcp_tower::{Job, Runtime, agent_fn};
use futures_util::{StreamExt as _, TryStreamExt as _};

#[tokio::main]
async fn main() -> Done {
    let quick = agent_fn(|n: u64, _: Job| async move { Ok(n) });
    let slow = agent_fn(|(): (), job: Job| async move {
        job.cancelled().await;
        Ok(())
    });
    let url = serve(Runtime::builder().agent("quick", quick).agent("slow", slow)).await?;

    let client = connect(&url).await?;
    for n in 0..25 {
        client.submit("quick").input(&n).send().await?.result().await?;
    }
    let running = client.submit("slow").send().await?;

    let dashboard = connect(&url).await?;
    let mut jobs = dashboard.list_jobs(JobsFilter::new().status([JobStatus::Running]));
    while let Some(job) = jobs.next().await {
        let job = job?;
        println!("running: {} {}", job.agent, job.job_id == *running.id());
    }
    // Pages are fetched as they are needed.
    let ended: Vec<_> = dashboard.list_jobs(JobsFilter::new().agent("quick").page(10)).try_collect().await?;
    println!("quick: {}", ended.len());
    running.cancel(None).await?;
    dashboard.close().await;
    client.close().await;
    Ok(())
}
