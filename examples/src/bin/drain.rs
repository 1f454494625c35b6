//! A server stops while jobs run, and another one takes its place on the same store: the client is told,
//! comes back by itself, and misses nothing. A job that can begin again does, and one that cannot ends
//! with an error that says so.

use std::sync::Arc;
use std::time::Duration;

use arcp_client::{Client, JobError};
use arcp_store_sqlite::{SqliteConfig, SqliteStore};
use arcp_tower::core::store::Store;
use arcp_tower::{AuthLayer, BearerTokens, Config, Handle, Job, Runtime, agent_fn};
use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Serves in an axum app until its runtime is drained, which cancels the configuration's `shutdown`.
async fn serve(
    store: Arc<dyn Store>,
    listener: TcpListener,
) -> Result<(Handle, JoinHandle<std::io::Result<()>>), Box<dyn std::error::Error>> {
    let quick = agent_fn(|(): (), _: Job| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok("in time")
    });
    let long = agent_fn(|seconds: u64, job: Job| async move {
        job.status("working").await?;
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        Ok("at last")
    });
    let config = Config::default();
    let builder = Runtime::builder().agent("quick", quick).agent("long", long.clone());
    let runtime = builder.restartable_agent("again", long).config(config.clone()).store(store).open().await?;
    let handle = runtime.handle();
    let runtime = runtime.layer(AuthLayer::new(BearerTokens::new([("secret", "me@example.com")])));
    let app = Router::new().route("/arcp", arcp_axum::handler_with(runtime, config.clone()));
    let host = axum::serve(listener, app).with_graceful_shutdown(config.shutdown.cancelled_owned());
    Ok((handle, tokio::spawn(host.into_future())))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(dir.path().join("arcp.db"), SqliteConfig::default())?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?;
    let (handle, host) = serve(store.clone(), listener).await?;
    let client = Client::builder(format!("ws://{at}/arcp")).token("secret").connect().await?;
    let mut quick = client.submit("quick").input(&()).send().await?;
    let mut long = client.submit("long").input(&60).send().await?;
    let mut again = client.submit("again").input(&4).send().await?;

    // Where a signal is caught in an app: drain first, then let the host end.
    let drained = handle.drain(Duration::from_secs(4)).await;
    host.await??;
    let (finished, stopped, left) = (drained.jobs_finished, drained.jobs_stopped, drained.jobs_left);
    println!("finished: {finished}, stopped: {stopped}, left: {left}, in time: {}", drained.is_whole());
    // The next process.
    let (_handle, _host) = serve(store, TcpListener::bind(at).await?).await?;
    println!("quick: {}", quick.result().await?.decode::<String>()?);
    match long.result().await {
        Err(JobError::Ended(failure)) => println!("long: {}", failure.error.message()),
        other => return Err(format!("it should have been stopped: {other:?}").into()),
    }
    println!("again: {}", again.result().await?.decode::<String>()?);
    Ok(())
}
