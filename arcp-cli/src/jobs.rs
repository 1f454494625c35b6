//! `arcp jobs`.

use arcp_client::JobsFilter;
use arcp_tower::core::job::Status;
use futures_util::StreamExt as _;

use crate::args::Jobs;
use crate::output;
use crate::plain::plain;
use crate::remote::{connect, refused};

/// Lists jobs, newest first.
pub(crate) async fn run(args: Jobs) -> anyhow::Result<()> {
    let client = connect(&args.remote).await?;
    let mut filter = JobsFilter::new();
    if !args.all {
        filter = filter.status([Status::Pending, Status::Running]);
    }
    if let Some(agent) = args.agent {
        filter = filter.agent(agent);
    }
    let mut jobs = client.list_jobs(filter);
    while let Some(job) = jobs.next().await {
        let job = job.map_err(refused)?;
        if args.json {
            output::json(&serde_json::to_string(&job)?)?;
            continue;
        }
        let created = job.created_at.map_or_else(String::new, |at| at.to_string());
        output::line(&plain(&format!("{}  {:10} {created}  {}", job.job_id, job.status, job.agent)))?;
    }
    client.close().await;
    Ok(())
}
