//! Budgets of jobs that run again after a kill (§9.6): what a client saw spent stays spent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arcp_core::store::Store;
use arcp_tests::sessions::{Stack, resumed};
use arcp_tests::stores::kept;
use arcp_tests::{ALICE, Memories, Process, timed, tokens};
use arcp_tower::{AgentError, AuthLayer, Config, Job, Runtime, agent_fn};
use serde_json::{Value, json};
use tokio::time::sleep;

/// Spends 0.1 each 100 ms; from its second run on it only says what is left.
async fn spends(runs: Arc<AtomicUsize>, (): (), job: Job) -> Result<Value, AgentError> {
    if runs.fetch_add(1, Ordering::SeqCst) > 0 {
        return Ok(serde_json::to_value(job.budget())?);
    }
    let _reserved = job.reserve("EUR", "3")?;
    loop {
        job.metric("cost.x", 0.1, Some("USD")).await?;
        sleep(Duration::from_millis(100)).await;
    }
}

async fn process(
    store: &Arc<dyn Store>,
    runs: &Arc<AtomicUsize>,
    config: &Config,
) -> (Arc<Process>, Memories<Stack>) {
    let process = Arc::new(Process::of(store.clone()));
    let runs = runs.clone();
    let agent = agent_fn(move |input: (), job: Job| spends(runs.clone(), input, job));
    let delegates = agent_fn(|(): (), job: Job| async move {
        job.delegate("spends", &()).send().await?.result().await?;
        Ok(())
    });
    let builder = Runtime::builder().config(config.clone()).store(process.clone());
    let builder = builder.restartable_agent("spends", agent).agent("delegates", delegates);
    let runtime = builder.open().await.unwrap();
    (process, Memories::of(runtime.layer(AuthLayer::new(tokens())), config))
}

#[tokio::test(start_paused = true)]
async fn p14_s38_after_a_kill_no_more_is_left_than_a_client_was_told() {
    for store in kept() {
        for events in [1, 2, 7, 12] {
            let (runs, config) = (Arc::default(), timed(|_| {}));
            let (first, server) = process(&store, &runs, &config).await;
            let mut peer = server.connect();
            let welcome = peer.hello(ALICE, &["ack", "subscribe", "list_jobs", "cost.budget"]).await;
            let lease = json!({ "cost.budget": ["USD:5", "EUR:4"] });
            let job = peer.submit_with(json!({ "agent": "spends", "lease_request": lease })).await;
            let mut spent = 0u64;
            for _ in 0..events {
                let event = peer.kind("job.event").await;
                spent += u64::from(event["payload"]["body"]["name"] == "cost.x");
            }
            first.kill();
            drop((peer, server));
            let (_second, server) = process(&store, &runs, &config).await;
            let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
            let end = peer.job(&job).await.pop().unwrap();
            let left = &end["payload"]["result"];
            let usd = left["USD"].as_f64().unwrap();
            #[allow(clippy::cast_precision_loss, reason = "small numbers")]
            let told = 5.0 - spent as f64 / 10.0;
            assert!(usd <= told + 1e-9 && usd > 3.0, "{usd} left, {told} told");
            assert_eq!(left["EUR"], 1, "what was reserved may have been spent");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_job_delegated_ends_with_the_process_and_is_not_run_again() {
    for store in kept() {
        let (runs, config) = (Arc::default(), timed(|_| {}));
        let (first, server) = process(&store, &runs, &config).await;
        let mut peer = server.connect();
        let features = ["ack", "subscribe", "list_jobs", "cost.budget"];
        let welcome = peer.hello(ALICE, &features).await;
        let lease = json!({ "agent.delegate": ["*"], "cost.budget": ["USD:5", "EUR:4"] });
        let job = peer.submit_with(json!({ "agent": "delegates", "lease_request": lease })).await;
        let delegated = peer.kind("job.event").await;
        let child = delegated["payload"]["body"]["child_job_id"].as_str().unwrap().to_owned();
        sleep(Duration::from_secs(1)).await;
        first.kill();
        drop((peer, server));
        let (_second, server) = process(&store, &runs, &config).await;
        let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
        assert_eq!(peer.job(&job).await.pop().unwrap()["payload"]["details"]["reason"], "runtime_restarted");
        let id = peer.send("job.subscribe", json!({ "job_id": child, "history": true })).await;
        assert_eq!(peer.reply(&id).await["payload"]["parent_job_id"], json!(job));
        let end = peer.job(&child).await.pop().unwrap();
        assert_eq!(end["payload"]["details"]["reason"], "runtime_restarted");
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }
}

/// Spends without a word in its own log, as it is told; from its second run on it only says what is left.
async fn silently(
    (runs, costs): (Arc<AtomicUsize>, Arc<AtomicUsize>),
    what: String,
    job: Job,
) -> Result<Value, AgentError> {
    if runs.fetch_add(1, Ordering::SeqCst) > 0 {
        return Ok(serde_json::to_value(job.budget())?);
    }
    match what.as_str() {
        "child" => drop(job.delegate("child", &()).send().await?.result().await?),
        "reservation" => {
            let reserved = job.reserve("USD", "0.4")?;
            sleep(Duration::from_secs(3600)).await;
            drop(reserved);
        }
        _ => loop {
            // Nobody acknowledges, so the last of them is not said before the end.
            costs.fetch_add(1, Ordering::SeqCst);
            job.metric("cost.x", 0.1, Some("USD")).await?;
        },
    }
    Ok(Value::Null)
}

#[tokio::test(start_paused = true)]
async fn p14_s38_after_a_kill_what_was_spent_without_an_event_of_its_own_is_spent() {
    for store in kept() {
        for (what, spent) in [("child", 0.9), ("reservation", 0.4), ("waiting", 0.0)] {
            let (runs, costs, config) =
                (Arc::<AtomicUsize>::default(), Arc::default(), timed(|c| c.window = 2));
            let start = async || {
                let (process, runs) =
                    (Arc::new(Process::of(store.clone())), (runs.clone(), Arc::clone(&costs)));
                let agent = agent_fn(move |what, job| silently(runs.clone(), what, job));
                let child = agent_fn(|(): (), job: Job| async move {
                    job.metric("cost.x", 0.9, Some("USD")).await?;
                    sleep(Duration::from_secs(3600)).await;
                    Ok(())
                });
                let builder = Runtime::builder().config(config.clone()).store(process.clone());
                let builder = builder.restartable_agent("silently", agent).agent("child", child);
                let runtime = builder.open().await.unwrap();
                (process, Memories::of(runtime.layer(AuthLayer::new(tokens())), &config))
            };
            let (first, server) = start().await;
            let mut peer = server.connect();
            let welcome = peer.hello(ALICE, &["ack", "subscribe", "cost.budget"]).await;
            let lease = json!({ "cost.budget": ["USD:1"], "agent.delegate": ["child"] });
            let submit = json!({ "agent": "silently", "input": what, "lease_request": lease });
            let job = peer.submit_with(submit).await;
            sleep(Duration::from_secs(2)).await;
            first.kill();
            let costs = costs.load(Ordering::SeqCst);
            drop((peer, server));
            let (_second, server) = start().await;
            let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
            let end = peer.job(&job).await.pop().unwrap();
            assert_eq!(runs.load(Ordering::SeqCst), 2);
            let usd = end["payload"]["result"]["USD"].as_f64().unwrap();
            #[allow(clippy::cast_precision_loss, reason = "small numbers")]
            let spent = spent + costs as f64 / 10.0;
            assert!((1.0 - usd - spent).abs() < 1e-9, "{what}: {usd} left of 1, and {spent} was spent");
        }
    }
}
