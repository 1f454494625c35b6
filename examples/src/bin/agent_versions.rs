//! Two versions of one agent, side by side (§7.5): a name alone is the one registered last, and a client
//! that depends on the other one says so.

use arcp_client::RequestError;
use arcp_examples::{Done, connect, serve};
use arcp_tower::{Job, Runtime, agent_fn};

#[tokio::main]
async fn main() -> Done {
    let old = agent_fn(|name: String, _: Job| async move { Ok(format!("hello {name}")) });
    let new = agent_fn(|name: String, _: Job| async move { Ok(format!("good day, {name}")) });
    let runtime = Runtime::builder().agent("greet@1.0.0", old).agent("greet@2.0.0", new);
    let url = serve(runtime).await?;

    let client = connect(&url).await?;
    for agent in &client.session().welcome.capabilities.agents {
        println!("{}: {}", agent.name, agent.versions.join(", "));
    }
    for agent in ["greet", "greet@1.0.0"] {
        let mut job = client.submit(agent).input("Ada").send().await?;
        let resolved = job.accepted().agent.clone().unwrap_or_default();
        println!("{agent} is {resolved}: {}", job.result().await?.decode::<String>()?);
    }
    match client.submit("greet@3.0.0").input("Ada").send().await {
        Err(RequestError::Refused(error)) => println!("greet@3.0.0: {}", error.code()),
        other => return Err(format!("it should have been refused: {other:?}").into()),
    }
    client.close().await;
    Ok(())
}
