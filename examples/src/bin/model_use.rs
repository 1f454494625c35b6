//! Models that a lease names (§9.7): the runtime hands on what the agent asks of a model that the lease
//! covers, charges what it cost, and refuses every other.

use arcp_examples::{Done, connect, serve};
use arcp_tower::operation::{Operation, Output};
use arcp_tower::{BoxError, Job, Runtime, agent_fn};

#[tokio::main]
async fn main() -> Done {
    // In place of a gateway of models; what is not covered never gets here.
    let gateway = tower::service_fn(|asked: Operation| async move {
        let answer = Output::of(&format!("{} was asked", asked.target()))?;
        Ok::<_, BoxError>(answer.cost("USD".parse()?, "0.02".parse()?))
    });
    let writer = agent_fn(|(): (), job: Job| async move {
        let answer: String = job.model("tier-fast/small", "a title, please").await?.decode()?;
        let refused = job.model("tier-slow/large", "a title, please").await.err();
        let left: Vec<_> = job.budget().values().map(ToString::to_string).collect();
        Ok((answer, refused.map(|error| error.code().to_string()), left.join("")))
    });
    let url = serve(Runtime::builder().models(gateway).agent("writer", writer)).await?;

    let client = connect(&url).await?;
    let submit = client.submit("writer").lease("model.use", ["tier-fast/*"]);
    let mut job = submit.budget("USD", "1.00").send().await?;
    let (answer, refused, left): (String, Option<String>, String) = job.result().await?.decode()?;
    println!("{answer}");
    println!("another: {}", refused.unwrap_or_default());
    println!("left: USD {left}");
    client.close().await;
    Ok(())
}
