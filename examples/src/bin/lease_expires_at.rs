//! A lease that ends (§9.5): what is begun later fails, and the job ends with that, however long the agent
//! would have gone on. A second of grace is for clocks that differ.

use std::time::{Duration, SystemTime};

use arcp_client::JobError;
use arcp_client::Timestamp;
use arcp_examples::{Done, connect, serve};
use arcp_tower::operation::Call;
use arcp_tower::{Job, Runtime, agent_fn, tool_fn};

#[tokio::main]
async fn main() -> Done {
    let search = tool_fn(|query: String, _: Call| async move { Ok(query.len()) });
    let patient = agent_fn(|(): (), job: Job| async move {
        loop {
            if let Err(error) = job.tool("search", "tides").await {
                println!("the tool: {}", error.code());
                return Err::<(), _>(error.into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let url = serve(Runtime::builder().tool("search", search).agent("patient", patient)).await?;

    let client = connect(&url).await?;
    let soon = Timestamp::from(SystemTime::now()).plus(Duration::from_millis(500));
    let submission = client.submit("patient").lease("tool.call", ["search"]).expires_at(soon);
    let mut job = submission.send().await?;
    let bounds = job.accepted().lease_constraints.clone();
    println!(
        "accepted until it expires: {}",
        bounds.is_some_and(|bounds| bounds.expires_at == Some(soon.to_string()))
    );
    match job.result().await {
        Err(JobError::Ended(failure)) => println!("the job: {}", failure.error.code()),
        other => return Err(format!("it should have expired: {other:?}").into()),
    }
    client.close().await;
    Ok(())
}
