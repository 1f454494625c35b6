//! What a child spends with its credential counts by the service's own count, whatever the child says (§14).

use std::sync::Arc;
use std::time::Duration;

use arcp_core::store::Store;
use arcp_tests::vault::{Fault, Vault, bounds, keyed_agents, lasting, wanting};
use arcp_tests::{ALICE, Memories, tokens};
use arcp_tower::{AgentError, AuthLayer, Job, Runtime, agent_fn};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// Delegates to an agent with a credential that reports nothing, and says what is left then.
async fn delegates((given, rotate): (bool, u32), job: Job) -> Result<Value, AgentError> {
    let child = job.delegate("keyed", &json!({ "rotate": rotate, "seconds": 10 }));
    let child = if given { child.budget("USD", "1") } else { child };
    child.send().await?.result().await?;
    Ok(json!(job.budget()))
}

#[tokio::test(start_paused = true)]
async fn what_a_child_spent_with_its_credential_does_not_go_back_to_its_parent() {
    for (given, rotate, spends, fault, left) in [
        (true, 0u32, "0.75", None, 1.25),
        (true, 0, "0", None, 2.0),
        (true, 0, "1.5", None, 0.5),
        // Half of it before the value changed, and half afterwards.
        (true, 1, "0.25", None, 1.5),
        (false, 0, "0.75", None, 1.25),
        (false, 1, "0.25", None, 1.5),
        // Where nobody can say, all of it was spent.
        (true, 0, "0.75", Some(Fault::Transient), 1.0),
        (true, 0, "0.75", Some(Fault::Hang), 1.0),
    ] {
        let (vault, store) = (Vault::default(), lasting() as Arc<dyn Store>);
        let config = bounds();
        let builder = keyed_agents(Runtime::builder()).config(config.clone());
        let builder = builder.agent("delegates", agent_fn(delegates)).store(store);
        let runtime = builder.credentials("openai", vault.provisioner()).open().await.unwrap();
        let server = Memories::of(runtime.layer(AuthLayer::new(tokens())), &config);
        let mut peer = server.open(ALICE, &[&wanting()[..], &["cost.budget"]].concat()).await;
        let lease = json!({ "agent.delegate": ["keyed"], "cost.budget": ["USD:2"] });
        let submit = json!({ "agent": "delegates", "input": [given, rotate], "lease_request": lease });
        vault.ask_spent_always(fault);
        let job = peer.submit_with(submit).await;
        let began = Instant::now();
        for second in 0..=rotate {
            sleep(Duration::from_millis(500 + 1000 * u64::from(second))).await;
            vault.spend(spends);
        }
        let frames = peer.job(&job).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(11) + config.revoke_wait, "{took:?}");
        let usd = frames.last().unwrap()["payload"]["result"]["USD"].as_f64().unwrap();
        assert!((usd - left).abs() < 1e-9, "{given} {rotate} {spends} {fault:?}: {usd} left");
        let said = frames.iter().find(|frame| frame["payload"]["body"]["name"] == "cost.delegate");
        let said = said.map_or(0.0, |metric| metric["payload"]["body"]["value"].as_f64().unwrap());
        assert!((2.0 - left - said).abs() < 1e-9, "{given} {rotate} {spends} {fault:?}: {said} said");
        assert!(vault.live().is_empty());
    }
}
