//! An agent has another one do part of the work, with less authority than it has itself, and a share of
//! its budget (§10). What the other does not spend comes back.

use arcp_examples::{Done, connect, serve};
use arcp_tower::core::lease::Namespace;
use arcp_tower::{Job, Runtime, agent_fn};

#[tokio::main]
async fn main() -> Done {
    let helper = agent_fn(|topic: String, job: Job| async move {
        job.metric("cost.search", 0.25, Some("USD")).await?;
        Ok(format!("three papers about {topic}"))
    });
    let writer = agent_fn(|topic: String, job: Job| async move {
        // Wider than its own lease: refused before any job is made.
        let wider = job.delegate("helper", &topic).grant(Namespace::ToolCall, "mail.*").send().await;
        let refused = wider.err().map(|error| error.code().to_string());

        let child = job.delegate("helper", &topic).grant(Namespace::ToolCall, "search.web");
        let child = child.budget("USD", "1.00").send().await?;
        let found: String = child.result().await?.decode()?;
        let left: Vec<_> = job.budget().into_iter().map(|(unit, left)| format!("{unit} {left}")).collect();
        Ok((refused, found, left))
    });
    let runtime = Runtime::builder().agent("helper", helper).agent("writer", writer);
    let url = serve(runtime).await?;

    let client = connect(&url).await?;
    let submission = client.submit("writer").input("tides");
    let submission = submission.lease("agent.delegate", ["helper"]).lease("tool.call", ["search.*"]);
    let mut job = submission.budget("USD", "3.00").send().await?;
    let (refused, found, left): (Option<String>, String, Vec<String>) = job.result().await?.decode()?;
    println!("wider: {}", refused.unwrap_or_default());
    println!("found: {found}");
    println!("left: {}", left.join(", "));
    client.close().await;
    Ok(())
}
