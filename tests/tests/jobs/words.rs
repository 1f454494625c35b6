//! Words and events of agents and tools that are too long or too many (§8.2).

use std::time::Duration;

use arcp_tests::{ALICE, ALL, Memories, tokens};
use arcp_tower::core::wire::event::Encoding;
use arcp_tower::operation::{Operation, Output};
use arcp_tower::{AuthLayer, BoxError, Config, Job, Runtime, agent_fn};
use serde_json::{Value, json};

use super::results::{MIB, memories, run};

#[tokio::test(start_paused = true)]
async fn bad_input_40_an_event_larger_than_a_frame_is_refused_to_the_agent_and_the_job_goes_on() {
    let config = Config::default();
    let mut peer = memories(&config).open(ALICE, &ALL).await;
    let frames = run(&mut peer, "lines", json!([10, MIB, 1_045_000, 16 * MIB, 10])).await;
    let said = &frames.last().unwrap()["payload"]["result"];
    for (n, refused) in [false, true, false, true, false].into_iter().enumerate() {
        assert_eq!(said[n]["details"]["reason"] == "limit", refused, "{n}: {said}");
    }
    assert_eq!(frames.len(), 1 + 3 + 1);
    assert!(peer.during(Duration::from_secs(1)).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn bad_input_40_an_agent_that_emits_as_fast_as_it_can_is_slowed_and_nobody_else_notices() {
    let config = Config::default().with(|c| c.backlog_bytes = 64 << 10);
    let memories = memories(&config);
    let (mut flooded, mut other) = (memories.narrow(4), memories.open(ALICE, &ALL).await);
    flooded.hello(ALICE, &ALL).await;
    let submitted =
        flooded.send("job.submit", json!({ "agent": "chatty", "input": { "count": 5_000 } })).await;
    for _ in 0..20 {
        // It reads nothing meanwhile, and so the agent waits.
        other.works().await;
    }
    let job = flooded.reply(&submitted).await["job_id"].as_str().unwrap().to_owned();
    let frames = flooded.job(&job).await;
    assert_eq!(frames.last().unwrap()["payload"]["result"], json!({ "emitted": 5_000 }));
    let lines = frames.iter().filter(|frame| frame["payload"]["kind"] == "log").count();
    assert_eq!(lines, 5_000, "none is lost");
    other.works().await;
}

#[tokio::test(start_paused = true)]
async fn s46_words_of_an_agent_that_are_too_long_still_end_its_job_in_one_frame() {
    let config = Config::default();
    let runtime = Runtime::builder()
        .agent(
            "wordy",
            agent_fn(|bytes: usize, _: Job| async move { Err::<(), _>("w".repeat(bytes).into()) }),
        )
        .agent(
            "detailed",
            agent_fn(|bytes: usize, _: Job| async move {
                let error = arcp_core::Error::new(arcp_core::Code::BudgetExhausted, "too much");
                Err::<(), _>(error.with_detail("why", &"d".repeat(bytes)).into())
            }),
        )
        .agent(
            "summing",
            agent_fn(|bytes: usize, job: Job| async move {
                let mut result = job.result_stream(Encoding::Utf8)?;
                result.summary("s".repeat(bytes));
                result.finish().await?;
                Ok(())
            }),
        )
        .build()
        .unwrap();
    let memories = Memories::of(runtime.layer(AuthLayer::new(tokens())), &config);
    let mut peer = memories.open(ALICE, &ALL).await;
    for (agent, code) in [
        ("wordy", json!("INTERNAL_ERROR")),
        ("detailed", json!("BUDGET_EXHAUSTED")),
        ("summing", Value::Null),
    ] {
        let frames = run(&mut peer, agent, json!(3 * MIB)).await;
        let end = &frames.last().unwrap()["payload"];
        assert_eq!(end["code"], code, "{agent}");
        assert!(end["message"].as_str().is_none_or(|words| words.len() <= 4096), "{agent}");
    }
}

#[tokio::test(start_paused = true)]
async fn s46_words_of_a_tool_that_are_too_long_reach_a_client_as_4_kib_at_the_most() {
    let breaks = tower::service_fn(|operation: Operation| async move {
        let bytes: usize = operation.args.decode()?;
        Err::<Output, BoxError>("w".repeat(bytes).into())
    });
    let calls = agent_fn(|bytes: usize, job: Job| async move {
        job.tool("breaks", &bytes).await?;
        Ok(())
    });
    let runtime = Runtime::builder().tool("breaks", breaks).agent("calls", calls).build().unwrap();
    let memories = Memories::of(runtime.layer(AuthLayer::new(tokens())), &Config::default());
    let mut peer = memories.open(ALICE, &ALL).await;
    let lease = json!({ "tool.call": ["*"] });
    let submit = json!({ "agent": "calls", "input": 3 * MIB, "lease_request": lease });
    let job = peer.submit_with(submit).await;
    let frames = peer.job(&job).await;
    let end = &frames.last().unwrap()["payload"];
    assert_eq!(end["code"], "INTERNAL_ERROR", "{end}");
    assert!(end["message"].as_str().unwrap().len() <= 4096);
    assert!(frames.iter().all(|frame| frame.to_string().len() < 16 << 10), "nor is it in an event");
}
