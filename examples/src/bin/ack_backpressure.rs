//! An agent is faster than its client (§6.5): when it is too far ahead of what the client has processed, it
//! waits, and a `status` event says so. Nothing is lost, and nothing grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arcp_client::EventBody;
use arcp_examples::{Done, connect, serve_with};
use arcp_tower::{Config, Job, Level, Runtime, agent_fn};
use futures_util::StreamExt as _;

const EVENTS: u64 = 1_000;
const WINDOW: usize = 100;

#[tokio::main]
async fn main() -> Done {
    let emitted = Arc::new(AtomicU64::new(0));
    let counter = emitted.clone();
    let chatty = agent_fn(move |(): (), job: Job| {
        let counter = counter.clone();
        async move {
            for n in 1..=EVENTS {
                job.log(Level::Info, n.to_string()).await?;
                counter.store(n, Ordering::Relaxed);
            }
            Ok(())
        }
    });
    let config = Config::default().with(|config| config.window = WINDOW);
    let url = serve_with(Runtime::builder().agent("chatty", chatty), config).await?;

    // An event counts as processed when it is dropped; only then is it acknowledged.
    let client = connect(&url).await?;
    let mut job = client.submit("chatty").send().await?;
    let (mut taken, mut told) = (0, 0);
    while let Some(event) = job.next().await {
        match event?.body {
            EventBody::Log(_) => taken += 1,
            EventBody::Status(status) => told += u64::from(status.phase == "back_pressure"),
            _ => {}
        }
        if taken == 1 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let ahead = emitted.load(Ordering::Relaxed);
            println!("while the client slept the agent waited: {}", ahead <= WINDOW as u64 + 1);
        }
    }
    job.result().await?;
    println!("events: {taken}");
    println!("it was told: {}", told > 0);
    client.close().await;
    Ok(())
}
