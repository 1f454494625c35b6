//! Agents that are programs, and the money of their jobs: what one reports is charged, and more than there is
//! ends it.
#![cfg(unix)]

use std::time::Duration;

use arcp_core::Code;
use serde_json::{Value, json};

use crate::process_agents::{Hosting, child, events, failure};

#[tokio::test]
async fn a_program_that_spends_more_than_its_job_has_is_stopped_whosever_money_it_is() {
    let hosting = Hosting::of(&child(""), |_| {}).await;
    let steps: Vec<Value> = (0..50)
        .flat_map(|_| [json!({ "metric": ["cost.tool", 0.4, "USD"] }), json!({ "sleep_ms": 50 })])
        .collect();
    for agent in ["actor", "delegates"] {
        let submit = hosting.client.submit(agent).lease("cost.budget", ["USD:1.00"]);
        let submit = if agent == "actor" { submit.input(&steps) } else { submit.input(&("actor", &steps)) };
        let mut job = submit.lease("agent.delegate", ["*"]).send().await.unwrap();
        let told = events(&mut job).await;
        let failure = failure(&mut job).await;
        assert_eq!(failure.error.code(), Code::BudgetExhausted, "{agent}: {failure:?}");
        let left = told.iter().rev().find(|(_, body)| body["name"] == "cost.budget.remaining");
        let left = left.map(|(_, body)| body["value"].as_f64().unwrap());
        // It minds no cancellation: what it spends until its grace is over is charged, too.
        assert!(
            agent == "delegates" || left.is_some_and(|left| left < 0.0 && left > -14.0),
            "{agent}: {told:?}"
        );
    }
    // And it is told what there is.
    let submit = hosting.client.submit("delegates").input(&("who", ())).lease("cost.budget", ["USD:1.00"]);
    let mut job = submit.lease("agent.delegate", ["*"]).send().await.unwrap();
    let said: Value = job.result().await.unwrap().decode().unwrap();
    assert_eq!(said["lease"], json!({ "cost.budget": ["USD:1"] }));
    hosting.stop().await;
}

#[tokio::test]
async fn the_cost_that_uses_a_budget_up_is_none_too_many() {
    let hosting = Hosting::of(&child(""), |_| {}).await;
    let spend = json!({ "metric": ["cost.tool", 0.4, "USD"] });
    let steps = json!([spend, spend, spend, "budget"]);
    let submit = hosting.client.submit("actor").input(&steps).lease("cost.budget", ["USD:1.00"]);
    let outcome = submit.send().await.unwrap().result().await.unwrap();
    assert_eq!(outcome.decode::<Value>().unwrap()[3], json!({ "USD": -0.2 }));
    hosting.stop().await;
}

#[tokio::test]
async fn a_program_that_does_not_end_when_it_has_spent_too_much_is_given_up_for_that() {
    let hosting = Hosting::of(&child(""), |config| config.cancel = Duration::from_millis(300)).await;
    let steps: Vec<Value> = (0..50)
        .flat_map(|_| [json!({ "metric": ["cost.tool", 0.4, "USD"] }), json!({ "sleep_ms": 50 })])
        .collect();
    let submit = hosting.client.submit("actor").input(&steps).lease("cost.budget", ["USD:1.00"]);
    let failure = failure(&mut submit.send().await.unwrap()).await;
    assert_eq!(failure.error.code(), Code::BudgetExhausted, "{failure:?}");
    hosting.stop().await;
}
