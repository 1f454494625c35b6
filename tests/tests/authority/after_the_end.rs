//! What an agent leaves running when it says that it is done: it begins nothing, and what it costs is paid.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arcp_tests::{ALICE, Memories, tokens};
use arcp_tower::operation::{Operation, Output};
use arcp_tower::{AgentError, AuthLayer, BoxError, Config, Job, Runtime, agent_fn};
use serde_json::{Value, json};
use tokio::time::sleep;
use tower::service_fn;

const SECOND: Duration = Duration::from_secs(1);

/// Leaves something running, as it is told, and says that it is done.
async fn leaves(what: String, job: Job) -> Result<(), AgentError> {
    tokio::spawn(async move {
        match what.as_str() {
            "operation" => drop(job.tool("slow", &json!(null)).await),
            "reservation" => {
                let held = job.reserve("USD", "0.4").unwrap();
                sleep(2 * SECOND).await;
                drop(held.commit("cost.late", "0.1".parse().unwrap()).await);
            }
            "dropped" => {
                let held = job.reserve("USD", "0.4").unwrap();
                sleep(2 * SECOND).await;
                drop(held);
            }
            "later" => {
                sleep(2 * SECOND).await;
                let refused = job.tool("slow", &json!(null)).await.unwrap_err();
                assert_eq!(refused.code().as_str(), "CANCELLED");
            }
            other => panic!("{other}"),
        }
    });
    sleep(SECOND / 2).await;
    Ok(())
}

/// What is left when the child has ended, and a while later.
async fn delegates((what, given): (String, bool), job: Job) -> Result<Value, AgentError> {
    let child = job.delegate("leaves", &what);
    let child = if given { child.budget("USD", "0.75") } else { child };
    let child = child.grant(arcp_tower::core::lease::Namespace::ToolCall, "slow").send().await?;
    child.result().await?;
    let then = job.budget();
    let could_spend = job.available_budget();
    sleep(5 * SECOND).await;
    Ok(json!([then, could_spend, job.budget()]))
}

#[tokio::test(start_paused = true)]
async fn what_a_child_left_running_is_paid_by_whoever_delegated_it() {
    let (calls, config) = (Arc::new(AtomicUsize::new(0)), Config::default());
    let counted = calls.clone();
    let slow = service_fn(move |_: Operation| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            sleep(2 * SECOND).await;
            Ok::<_, BoxError>(Output::of("done")?.cost("USD".parse()?, "0.5".parse()?))
        }
    });
    let builder = Runtime::builder().config(config.clone()).tool("slow", slow);
    let builder = builder.agent("leaves", agent_fn(leaves)).agent("delegates", agent_fn(delegates));
    let server = Memories::of(builder.build().unwrap().layer(AuthLayer::new(tokens())), &config);
    let mut peer = server.open(ALICE, &["ack", "cost.budget"]).await;
    for (what, given, then, could_spend, in_the_end, called) in [
        ("operation", true, "1", "1", "0.5", 1),
        ("operation", false, "1", "1", "0.5", 1),
        ("reservation", true, "0.6", "0.6", "0.9", 0),
        ("reservation", false, "1", "0.6", "0.9", 0),
        ("dropped", true, "0.6", "0.6", "1", 0),
        ("later", true, "1", "1", "1", 0),
        ("later", false, "1", "1", "1", 0),
    ] {
        let lease = json!({ "agent.delegate": ["*"], "tool.call": ["*"], "cost.budget": ["USD:1"] });
        let submit = json!({ "agent": "delegates", "input": [what, given], "lease_request": lease });
        let job = peer.submit_with(submit).await;
        let end = peer.job(&job).await.pop().unwrap();
        let left = |n: usize| end["payload"]["result"][n]["USD"].to_string();
        assert_eq!([left(0), left(1), left(2)], [then, could_spend, in_the_end], "{what} {given}: {end}");
        assert_eq!(calls.swap(0, Ordering::SeqCst), called, "{what} {given}");
    }
}
