//! Events that wait to be written to a store are nowhere else yet.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::MemoryStore;
use arcp_tests::sessions::FEATURES;
use arcp_tests::{ALICE, Memories, tokens};
use arcp_tower::{AgentError, AuthLayer, Config, Job, Level, Runtime, agent_fn};
use serde_json::{Value, json};
use tokio::time::sleep;

/// Says more at once than a log holds, when its client is gone.
async fn heavy(count: usize, job: Job) -> Result<usize, AgentError> {
    sleep(Duration::from_secs(1)).await;
    let words = "x".repeat(512 << 10);
    for _ in 0..count {
        job.log(Level::Info, words.clone()).await?;
    }
    Ok(count)
}

#[tokio::test(start_paused = true)]
async fn p1_what_a_job_says_while_nobody_is_there_is_kept_however_much_it_is_at_once() {
    let config = Config::default();
    let count = 3 * config.log_bytes / (512 << 10);
    let builder = Runtime::builder().config(config.clone()).agent("heavy", agent_fn(heavy));
    let runtime = builder.store(Arc::new(MemoryStore::default())).open().await.unwrap();
    let server = Memories::of(runtime.layer(AuthLayer::new(tokens())), &config);
    let mut owner = server.open(ALICE, &FEATURES).await;
    let job = owner.submit("heavy", json!(count)).await;
    drop(owner);
    sleep(Duration::from_secs(60)).await;

    let mut watcher = server.open(ALICE, &FEATURES).await;
    let id = watcher.send("job.subscribe", json!({ "job_id": job, "history": true })).await;
    let subscribed = watcher.reply(&id).await;
    assert_eq!(subscribed["payload"]["current_status"], "success", "{subscribed}");
    let mut frames = watcher.job(&job).await;
    assert_eq!(frames.pop().unwrap()["payload"]["result"], json!(count));
    let logs = frames.iter().filter(|frame: &&Value| frame["payload"]["kind"] == "log");
    assert_eq!(logs.count(), count);
}
