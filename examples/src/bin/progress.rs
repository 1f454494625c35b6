//! How far a job is (§8.2.1): of a known amount, and of an unknown one.

use arcp_client::EventBody;
use arcp_examples::{Done, connect, serve};
use arcp_tower::{Job, Runtime, agent_fn};
use futures_util::StreamExt as _;

#[tokio::main]
async fn main() -> Done {
    let mover = agent_fn(|files: Vec<String>, job: Job| async move {
        job.progress(0.7).units("GB").message("looking around").send().await?;
        for (n, file) in (1..).zip(&files) {
            job.progress(n).total(files.len()).units("files").message(file).send().await?;
        }
        Ok(files.len())
    });
    let url = serve(Runtime::builder().agent("mover", mover)).await?;

    let client = connect(&url).await?;
    let mut job = client.submit("mover").input(&["a.txt", "b.txt", "c.txt"]).send().await?;
    while let Some(event) = job.next().await {
        if let EventBody::Progress(progress) = event?.body {
            let total = progress.total.map_or("?".to_owned(), |total| total.to_string());
            let (units, message) = (progress.units.unwrap_or_default(), progress.message.unwrap_or_default());
            println!("{}/{total} {units}: {message}", progress.current);
        }
    }
    println!("result: {}", job.result().await?.decode::<usize>()?);
    client.close().await;
    Ok(())
}
