//! A client that does not know whether its submit arrived says it again: with the same key it is the
//! same job, which runs once (§7.2). The same key for something else is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arcp_client::RequestError;
use arcp_examples::{Done, connect, serve};
use arcp_tower::{Job, Runtime, agent_fn};

#[tokio::main]
async fn main() -> Done {
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let report = agent_fn(move |week: String, _: Job| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move { Ok(format!("report of {week}")) }
    });
    let url = serve(Runtime::builder().agent("weekly-report", report)).await?;

    let mut jobs = Vec::new();
    for _ in 0..2 {
        // A session each: as after a crash of the client.
        let client = connect(&url).await?;
        let submission = client.submit("weekly-report").input("2026-W19");
        let mut job = submission.idempotency_key("weekly-report-2026-W19").send().await?;
        println!("result: {}", job.result().await?.decode::<String>()?);
        jobs.push(job.id().clone());
        client.close().await;
    }
    println!("same job: {}", jobs[0] == jobs[1]);
    println!("runs: {}", runs.load(Ordering::Relaxed));

    let client = connect(&url).await?;
    let other = client.submit("weekly-report").input("2026-W20");
    match other.idempotency_key("weekly-report-2026-W19").send().await {
        Err(RequestError::Refused(error)) => println!("another week: {}", error.code()),
        other => return Err(format!("it should have been refused: {other:?}").into()),
    }
    client.close().await;
    Ok(())
}
