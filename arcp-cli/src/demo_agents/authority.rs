//! Agents that do things with authority: they spend, ask what they may, and delegate.

use std::time::Duration;

use arcp_tower::core::lease::Lease;
use arcp_tower::core::money::Amount;
use arcp_tower::core::{Error, Json};
use arcp_tower::operation::Call;
use arcp_tower::{AgentError, Job};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::sleep;

#[derive(Deserialize)]
pub(super) struct Spender {
    #[serde(default = "usd")]
    currency: String,
    #[serde(default = "step")]
    step: Amount,
    #[serde(default = "ten")]
    max_steps: u64,
    #[serde(default = "search_tool")]
    tool: String,
}

fn usd() -> String {
    "USD".to_owned()
}

fn step() -> Amount {
    Amount::parse_number("0.4").unwrap_or_default()
}

fn ten() -> u64 {
    10
}

fn search_tool() -> String {
    "search".to_owned()
}

/// Calls a tool until the lease says no.
pub(super) async fn spender(input: Spender, job: Job) -> Result<Value, AgentError> {
    let (mut calls, mut spent) = (0u64, Amount::ZERO);
    let mut ended = "MAX_STEPS";
    while calls < input.max_steps {
        let args = Search { currency: input.currency.clone(), cost: input.step };
        match job.tool(&input.tool, &args).await {
            Ok(_) => {
                calls += 1;
                spent = spent
                    .checked_add(input.step)
                    .ok_or_else(|| Error::fault("input.step", "is too exact"))?;
            }
            Err(denied) => {
                ended = denied.code().as_str();
                break;
            }
        }
    }
    Ok(json!({ "ended": ended, "calls": calls, "spent": spent }))
}

#[derive(Serialize, Deserialize)]
pub(super) struct Search {
    currency: String,
    cost: Amount,
}

/// A tool that costs what it is asked to.
pub(super) async fn search(args: Search, call: Call) -> Result<Value, AgentError> {
    call.charge(args.currency.parse()?, args.cost).await?;
    Ok(json!({ "hits": 3 }))
}

#[derive(Deserialize)]
pub(super) struct Probe {
    #[serde(default)]
    wait_ms: u64,
    #[serde(default)]
    ops: Option<Vec<Ask>>,
    #[serde(default)]
    capability: String,
    #[serde(default)]
    target: String,
}

#[derive(Deserialize)]
struct Ask {
    capability: String,
    target: String,
}

/// Asks its lease, and does nothing.
pub(super) async fn leaseprobe(input: Probe, job: Job) -> Result<Value, AgentError> {
    sleep(Duration::from_millis(input.wait_ms)).await;
    let verdict = |capability: &str, target: &str| {
        let verdict = job.check(capability, target);
        let code = verdict.code().map(arcp_tower::core::Code::as_str);
        json!({ "capability": capability, "target": target, "allowed": verdict.is_allowed(), "code": code })
    };
    Ok(match input.ops {
        Some(ops) => {
            let verdicts: Vec<_> = ops.iter().map(|ask| verdict(&ask.capability, &ask.target)).collect();
            json!({ "verdicts": verdicts })
        }
        None => verdict(&input.capability, &input.target),
    })
}

#[derive(Deserialize)]
pub(super) struct Delegator {
    #[serde(default = "echo")]
    agent: String,
    #[serde(default)]
    input: Json,
    #[serde(default)]
    lease_request: Lease,
}

fn echo() -> String {
    "echo".to_owned()
}

/// Has another agent do it.
pub(super) async fn delegator(input: Delegator, job: Job) -> Result<Value, AgentError> {
    match job.delegate(input.agent, &input.input).lease(input.lease_request).send().await {
        Ok(child) => {
            let result = child.result().await?.result;
            Ok(json!({ "delegated": true, "child_job_id": child.id(), "result": result }))
        }
        Err(refused) => Ok(json!({ "delegated": false, "code": refused.code() })),
    }
}
