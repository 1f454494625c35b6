//! A client cancels a job, and the agent stops in an orderly way (§7.4).

use std::time::Duration;

use arcp_client::JobError;
use arcp_examples::{Done, connect, serve};
use arcp_tower::{Job, Level, Runtime, agent_fn};
use futures_util::StreamExt as _;

#[tokio::main]
async fn main() -> Done {
    let worker = agent_fn(|(): (), job: Job| async move {
        job.status("working").await?;
        tokio::select! {
            () = job.cancelled() => job.log(Level::Info, "tidied up").await?,
            () = tokio::time::sleep(Duration::from_secs(3600)) => {}
        }
        Ok(())
    });
    let url = serve(Runtime::builder().agent("worker", worker)).await?;

    let client = connect(&url).await?;
    let mut job = client.submit("worker").send().await?;
    // It runs.
    let first = job.next().await.ok_or("the job ended early")??;
    println!("first: {}", first.body.kind());
    job.cancel(Some("no longer needed")).await?;
    while let Some(event) = job.next().await {
        println!("then: {}", event?.body.kind());
    }
    match job.result().await {
        Err(JobError::Ended(failure)) => println!("ended: {}", failure.final_status),
        other => return Err(format!("it should have been cancelled: {other:?}").into()),
    }
    client.close().await;
    Ok(())
}
