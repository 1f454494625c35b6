//! A result that no frame could hold (§8.4): the agent writes it piece by piece, and the client has it whole,
//! or not at all.

use arcp_client::arcp_core::wire::event::Encoding;
use arcp_examples::{Done, connect, serve};
use arcp_tower::{Job, Runtime, agent_fn};

#[tokio::main]
async fn main() -> Done {
    let export = agent_fn(|rows: u64, job: Job| async move {
        let mut result = job.result_stream(Encoding::Utf8)?;
        for row in 1..=rows {
            result.write(format!("{row},{}\n", row * row)).await?;
        }
        result.summary(format!("{rows} rows"));
        result.finish().await?;
        Ok(())
    });
    let url = serve(Runtime::builder().agent("export", export)).await?;

    let client = connect(&url).await?;
    let mut job = client.submit("export").input(&200_000).send().await?;
    let outcome = job.result().await?;
    let table = std::str::from_utf8(outcome.streamed().ok_or("it was not streamed")?)?;
    println!("summary: {}", outcome.summary.as_deref().unwrap_or_default());
    println!("as long as the runtime says: {}", outcome.result_size == Some(table.len() as u64));
    println!("last row: {}", table.lines().last().unwrap_or_default());
    client.close().await;
    Ok(())
}
