//! A client stops in the middle of a job, and another one goes on where the first one was: nothing is
//! missing, nothing comes twice, and the numbers go on. The server could have been restarted meanwhile:
//! it keeps everything in a file.

use std::sync::Arc;
use std::time::Duration;

use arcp_client::{Client, ResumePoint};
use arcp_store_sqlite::{SqliteConfig, SqliteStore};
use arcp_tower::{AuthLayer, BearerTokens, Job, Level, Runtime, agent_fn};
use axum::Router;
use futures_util::StreamExt as _;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count = agent_fn(|to: u64, job: Job| async move {
        for n in 1..=to {
            job.log(Level::Info, n.to_string()).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(to)
    });
    let dir = tempfile::tempdir()?;
    let store = SqliteStore::open(dir.path().join("arcp.db"), SqliteConfig::default())?;
    let runtime = Runtime::builder().agent("count", count).store(Arc::new(store)).open().await?;
    let runtime = runtime.layer(AuthLayer::new(BearerTokens::new([("secret", "me@example.com")])));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/arcp", listener.local_addr()?);
    let app = Router::new().route("/arcp", arcp_axum::handler(runtime));
    let served = tokio::spawn(async move { axum::serve(listener, app).await });

    let client = Client::builder(&url).token("secret").connect().await?;
    let mut job = client.submit("count").input(&10).send().await?;
    for _ in 0..3 {
        let event = job.next().await.ok_or("the job ended early")??;
        println!("first client: event {}", event.event_seq.unwrap_or_default());
    }
    // All that the next client needs, as text: it could be in a file of another process.
    let note = serde_json::to_string(&(client.resume_point(), job.id()))?;
    drop((job, client));

    let (point, job_id): (ResumePoint, _) = serde_json::from_str(&note)?;
    let client = Client::builder(&url).token("secret").resume_from(point).connect().await?;
    let mut job = client.attach(job_id).await?;
    while let Some(event) = job.next().await {
        println!("second client: event {}", event?.event_seq.unwrap_or_default());
    }
    println!("result: {}", job.result().await?.decode::<u64>()?);
    client.close().await;
    served.abort();
    Ok(())
}
