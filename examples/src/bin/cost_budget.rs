//! A budget that holds (§9.6): what tools cost is charged by the runtime, to the last cent, and with nothing
//! left no further call is made. What is expensive can be reserved first.

use arcp_client::EventBody;
use arcp_examples::{Done, connect, serve};
use arcp_tower::operation::Call;
use arcp_tower::{Job, Runtime, agent_fn, tool_fn};
use futures_util::StreamExt as _;

#[tokio::main]
async fn main() -> Done {
    let search = tool_fn(|query: String, call: Call| async move {
        call.charge("USD".parse()?, "0.40".parse()?).await?;
        Ok(query)
    });
    let spender = agent_fn(|(): (), job: Job| async move {
        let mut calls = 0;
        loop {
            match job.tool("search", "tides").await {
                Ok(_) => calls += 1,
                Err(error) => return Ok((calls, error.code().to_string())),
            }
        }
    });
    let careful = agent_fn(|(): (), job: Job| async move {
        // Nobody else can spend what is held, until it is committed or dropped.
        let held = job.reserve("USD", "0.75")?;
        let second = job.reserve("USD", "0.75").err().map(|error| error.code().to_string());
        held.commit("cost.training", "0.50".parse()?).await?;
        let left: Vec<_> = job.budget().values().map(ToString::to_string).collect();
        Ok((second, left))
    });
    let runtime = Runtime::builder().tool("search", search);
    let url = serve(runtime.agent("spender", spender).agent("careful", careful)).await?;

    let client = connect(&url).await?;
    let budget = |agent| client.submit(agent).lease("tool.call", ["search"]).budget("USD", "1.00");
    let mut job = budget("spender").send().await?;
    while let Some(event) = job.next().await {
        if let EventBody::Metric(metric) = event?.body {
            println!("{} {}", metric.name, metric.value.as_str());
        }
    }
    let (calls, ended): (u64, String) = job.result().await?.decode()?;
    println!("calls: {calls}, then {ended}");

    let result = budget("careful").send().await?.result().await?;
    let (second, left): (Option<String>, Vec<String>) = result.decode()?;
    println!("twice is too much: {}; left: {}", second.unwrap_or_default(), left.join(", "));
    client.close().await;
    Ok(())
}
