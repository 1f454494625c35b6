//! An agent that does what its input says, step by step, and says what came of each step.

use std::time::Duration;

use arcp_tower::core::lease::Lease;
use arcp_tower::core::money::Amount;
use arcp_tower::core::{Error, Json};
use arcp_tower::{AgentError, Builder, Job, agent_fn};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// One step.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    /// Calls a tool with arguments.
    Tool(String, Json),
    /// Asks a model.
    Model(String, Json),
    /// Does something in a namespace.
    Operation(String, String, Json),
    /// Only asks.
    Check(String, String),
    /// Emits a metric.
    Metric(String, Json, Option<String>),
    /// Sets money aside, and spends some of it; without, gives it back.
    Reserve(String, String, Option<Amount>),
    /// Delegates: agent, input, lease.
    Delegate(String, Json, Lease),
    /// The same, and does not wait for it.
    Leave(String, Json, Lease),
    /// The same, and cancels it.
    Kill(String, Json, Lease),
    /// Waits.
    SleepMs(u64),
    /// Waits until it is told to end, and says after how many milliseconds it was.
    UntilCancelled,
    /// What is left.
    Budget,
}

/// Adds the agent `actor`.
pub fn actor(builder: Builder) -> Builder {
    builder.agent("actor", agent_fn(act))
}

async fn act(steps: Vec<Step>, job: Job) -> Result<Vec<Value>, AgentError> {
    let mut said = Vec::new();
    for step in steps {
        said.push(
            take(step, &job).await.unwrap_or_else(|e| json!({ "code": e.code(), "message": e.message() })),
        );
    }
    Ok(said)
}

async fn take(step: Step, job: &Job) -> Result<Value, Error> {
    let value = |json: &Json| serde_json::from_str::<Value>(json.as_str()).unwrap();
    Ok(match step {
        Step::Tool(name, args) => value(&job.tool(&name, &args).await?.result),
        Step::Model(name, request) => value(&job.model(&name, &request).await?.result),
        Step::Operation(namespace, target, args) => {
            value(&job.operation(&namespace, &target, &args).await?.result)
        }
        Step::Check(namespace, target) => {
            let verdict = job.check(&namespace, &target);
            json!({ "allowed": verdict.is_allowed(), "code": verdict.code() })
        }
        Step::Metric(name, number, unit) => {
            job.metric(name, &number, unit.as_deref()).await?;
            Value::Null
        }
        Step::Reserve(currency, amount, spent) => {
            let reserved = job.reserve(&currency, &amount)?;
            if let Some(spent) = spent {
                reserved.commit("cost.reserved", spent).await?;
            }
            Value::Null
        }
        Step::Delegate(agent, input, lease) => {
            let child = job.delegate(agent, &input).lease(lease).send().await?;
            let result = child.result().await?;
            json!({ "child": child.id(), "result": value(&result.result) })
        }
        Step::Leave(agent, input, lease) => {
            json!({ "child": job.delegate(agent, &input).lease(lease).send().await?.id() })
        }
        Step::Kill(agent, input, lease) => {
            let child = job.delegate(agent, &input).lease(lease).send().await?;
            child.cancel();
            value(&child.result().await?.result)
        }
        Step::SleepMs(ms) => {
            sleep(Duration::from_millis(ms)).await;
            Value::Null
        }
        Step::UntilCancelled => {
            let began = Instant::now();
            job.cancelled().await;
            json!(began.elapsed().as_millis())
        }
        Step::Budget => serde_json::to_value(job.budget()).unwrap(),
    })
}
