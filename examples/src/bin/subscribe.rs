//! A job is watched from elsewhere (§7.6): first what was, then what is, with nothing missing and nothing
//! twice between the two. Whoever watches can neither cancel the job nor slow it down.

use std::sync::Arc;

use arcp_client::RequestError;
use arcp_examples::{Done, connect, serve};
use arcp_tower::{Job, Level, Runtime, agent_fn};
use futures_util::StreamExt as _;
use tokio::sync::Notify;

#[tokio::main]
async fn main() -> Done {
    let (half, on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (reached, gate) = (half.clone(), on.clone());
    let count = agent_fn(move |to: u64, job: Job| {
        let (reached, gate) = (reached.clone(), gate.clone());
        async move {
            for n in 1..=to {
                job.log(Level::Info, n.to_string()).await?;
                if n == to / 2 {
                    reached.notify_one();
                    gate.notified().await;
                }
            }
            Ok(to)
        }
    });
    let url = serve(Runtime::builder().agent("count", count)).await?;

    let client = connect(&url).await?;
    let job = client.submit("count").input(&10).send().await?;
    half.notified().await;

    let observer = connect(&url).await?;
    let mut watched = observer.subscribe(job.id().clone(), true).await?;
    println!("agent: {}", watched.subscribed().agent);
    on.notify_one();
    let mut seen = 0;
    while let Some(event) = watched.next().await {
        event?;
        seen += 1;
    }
    println!("events: {seen}");
    println!("result: {}", watched.result().await?.decode::<u64>()?);
    match observer.attach(job.id().clone()).await?.cancel(None).await {
        Err(RequestError::Refused(error)) => println!("cancel: {}", error.code()),
        other => return Err(format!("it should have been refused: {other:?}").into()),
    }
    observer.close().await;
    client.close().await;
    Ok(())
}
