//! Leases that end (§9.5), on a clock that is turned.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arcp_core::Timestamp;
use arcp_tests::peer::is_terminal;
use arcp_tests::{ALICE, Memories, Peer, actor, agents, timed, tokens};
use arcp_tower::operation::{Call, Operation, Output};
use arcp_tower::{AuthLayer, BoxError, Clock, Config, Mount, Runtime, tool_fn};
use serde_json::{Value, json};
use tower::{ServiceBuilder, service_fn};

const FEATURES: [&str; 4] = ["ack", "lease_expires_at", "cost.budget", "subscribe"];

fn stage(config: &Config) -> Memories<impl Mount> {
    let tool = tool_fn(|(): (), _: Call| async move { Ok("done") });
    // Something in front of all tools that takes its time with what was allowed.
    let late = tower::filter::AsyncFilterLayer::new(|operation: Operation| async move {
        if operation.target() == "late" {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        Ok::<_, std::convert::Infallible>(operation)
    });
    let runtime = agents::all(actor(Runtime::builder().config(config.clone())))
        .tool("late", tool.clone())
        .tool("tool", tool)
        .operation_layer(late)
        .build()
        .unwrap();
    Memories::of(runtime.layer(AuthLayer::new(tokens())), config)
}

fn submit(config: &Config, seconds: u64, steps: &Value) -> Value {
    let at = config.clock.wall().plus(Duration::from_secs(seconds));
    json!({
        "agent": "actor", "input": steps, "lease_request": { "tool.call": ["**"] },
        "lease_constraints": { "expires_at": at },
    })
}

#[tokio::test(start_paused = true)]
async fn t103_a_job_whose_lease_ends_ends_with_that_and_not_as_cancelled() {
    let config = timed(|_| {});
    let mut peer = stage(&config).open(ALICE, &FEATURES).await;
    let began = tokio::time::Instant::now();
    let job = peer.submit_with(submit(&config, 10, &json!(["until_cancelled"]))).await;
    let frames = peer.job(&job).await;
    let end = &frames.last().unwrap()["payload"];
    assert_eq!((&end["code"], &end["final_status"]), (&json!("LEASE_EXPIRED"), &json!("error")));
    assert_eq!(end["retryable"], false);
    // A second of grace, for clocks that differ.
    assert!((10_900..11_200).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_minds_nothing_ends_with_its_lease_all_the_same() {
    let config = timed(|c| c.grace = Duration::from_secs(3));
    let mut peer = stage(&config).open(ALICE, &FEATURES).await;
    let began = tokio::time::Instant::now();
    let job = peer.submit_with(submit(&config, 10, &json!([{ "sleep_ms": 3_600_000 }]))).await;
    let frames = peer.job(&job).await;
    assert_eq!(frames.last().unwrap()["payload"]["code"], "LEASE_EXPIRED");
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[tokio::test(start_paused = true)]
async fn p13_s39_operations_before_the_end_pass_and_after_it_fail() {
    let config = timed(|_| {});
    let mut peer = stage(&config).open(ALICE, &FEATURES).await;
    let steps = json!([{ "sleep_ms": 9_000 }, { "tool": ["tool", null] }, "until_cancelled", { "tool": ["tool", null] }]);
    let job = peer.submit_with(submit(&config, 10, &steps)).await;
    let frames = peer.job(&job).await;
    let results: Vec<_> = frames.iter().filter(|frame| frame["payload"]["kind"] == "tool_result").collect();
    assert_eq!(results[0]["payload"]["body"]["result"], "done");
    assert_eq!(results[1]["payload"]["body"]["error"]["code"], "LEASE_EXPIRED");
    assert_eq!(frames.last().unwrap()["payload"]["code"], "LEASE_EXPIRED");
}

#[tokio::test(start_paused = true)]
async fn s39_an_operation_that_waited_past_the_end_is_not_carried_out() {
    let config = timed(|_| {});
    let mut peer = stage(&config).open(ALICE, &FEATURES).await;
    let steps = json!([{ "sleep_ms": 8_000 }, { "tool": ["late", null] }]);
    let job = peer.submit_with(submit(&config, 10, &steps)).await;
    let frames = peer.job(&job).await;
    let result = frames.iter().find(|frame| frame["payload"]["kind"] == "tool_result").unwrap();
    assert_eq!(result["payload"]["body"]["error"]["code"], "LEASE_EXPIRED");
    assert_eq!(frames.last().unwrap()["payload"]["code"], "LEASE_EXPIRED");
}

/// The codes of refused calls in the order of the events, and the last frame.
async fn refusals<T: arcp_core::transport::Transport>(peer: &mut Peer<T>, job: &str) -> (Vec<Value>, Value) {
    let frames = peer.job(job).await;
    let results = frames.iter().filter(|frame| frame["payload"]["kind"] == "tool_result");
    let codes = results.map(|frame| frame["payload"]["body"]["error"]["code"].clone()).collect();
    (codes, frames.last().unwrap()["payload"].clone())
}

#[tokio::test(start_paused = true)]
async fn s39_an_operation_that_waited_past_the_end_for_its_busy_tool_is_not_carried_out() {
    let config = timed(|_| {});
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = begun.clone();
    let tool = service_fn(move |_: Operation| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            tokio::time::sleep(Duration::from_secs(10)).await;
            Ok::<_, BoxError>(Output::of("done")?)
        }
    });
    let busy = ServiceBuilder::new().concurrency_limit(1).service(tool);
    let builder = actor(Runtime::builder().config(config.clone())).tool("busy", busy);
    let runtime = builder.build().unwrap().layer(AuthLayer::new(tokens()));
    let mut peer = Memories::of(runtime, &config).open(ALICE, &FEATURES).await;
    let steps = json!([{ "tool": ["busy", null] }]);
    let long = peer.submit_with(submit(&config, 60, &steps)).await;
    peer.kind("job.event").await;
    let short = peer.submit_with(submit(&config, 2, &steps)).await;
    let (codes, end) = refusals(&mut peer, &short).await;
    assert_eq!((codes, &end["code"]), (vec![json!("LEASE_EXPIRED")], &json!("LEASE_EXPIRED")));
    let last = peer.pick(|frame| frame["job_id"] == long.as_str() && is_terminal(frame)).await;
    assert_eq!(last["payload"]["result"], json!(["done"]));
    assert_eq!(begun.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn s39_a_layer_around_one_tool_that_takes_its_time_brings_nothing_past_the_end() {
    let config = timed(|_| {});
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = begun.clone();
    let tool = tool_fn(move |(): (), _: Call| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move { Ok("done") }
    });
    let late = tower::filter::AsyncFilterLayer::new(|operation: Operation| async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok::<_, std::convert::Infallible>(operation)
    });
    let builder = actor(Runtime::builder().config(config.clone()));
    let builder = builder.tool("late", ServiceBuilder::new().layer(late).service(tool));
    let runtime = builder.build().unwrap().layer(AuthLayer::new(tokens()));
    let mut peer = Memories::of(runtime, &config).open(ALICE, &FEATURES).await;
    let job = peer.submit_with(submit(&config, 2, &json!([{ "tool": ["late", null] }]))).await;
    let (codes, _) = refusals(&mut peer, &job).await;
    assert_eq!((codes, begun.load(Ordering::Relaxed)), (vec![json!("LEASE_EXPIRED")], 0));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_asks_for_nothing_ends_within_half_a_minute_of_a_wall_clock_that_was_turned_on() {
    let turned = Arc::new(AtomicI64::new(0));
    let (by, base) = (turned.clone(), timed(|_| {}).clock);
    let clock =
        Clock::new(move || Timestamp::from_millis(base.wall().as_millis() + by.load(Ordering::Relaxed)));
    let config = Config::default().with(|c| c.clock = clock);
    let mut peer = stage(&config).open(ALICE, &FEATURES).await;
    let job = peer.submit_with(submit(&config, 3_600, &json!(["until_cancelled"]))).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    let began = tokio::time::Instant::now();
    // As after a night in which the machine slept: the other clock stood still.
    turned.store(8 * 3_600_000, Ordering::Relaxed);
    let frames = peer.job(&job).await;
    assert_eq!(frames.last().unwrap()["payload"]["code"], "LEASE_EXPIRED");
    assert!(began.elapsed() <= Duration::from_secs(31), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn bad_input_58_s39_turning_the_wall_clock_back_extends_no_lease_and_turning_it_on_ends_one() {
    for (turn, code) in [(-3_600_000i64, "LEASE_EXPIRED"), (3_600_000, "LEASE_EXPIRED")] {
        let offset = Arc::new(Mutex::new(0i64));
        let turned = offset.clone();
        let base = timed(|_| {}).clock;
        let clock =
            Clock::new(move || Timestamp::from_millis(base.wall().as_millis() + *turned.lock().unwrap()));
        let config = Config::default().with(|c| c.clock = clock);
        let mut peer = stage(&config).open(ALICE, &FEATURES).await;
        let began = tokio::time::Instant::now();
        let steps = json!([{ "sleep_ms": 5_000 }, { "tool": ["tool", null] }, "until_cancelled"]);
        let job = peer.submit_with(submit(&config, 60, &steps)).await;
        *offset.lock().unwrap() = turn;
        let frames = peer.job(&job).await;
        assert_eq!(frames.last().unwrap()["payload"]["code"], code);
        assert!(began.elapsed() < Duration::from_secs(62), "{turn}: {:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn t95_an_empty_counter_is_said_before_a_missing_pattern_and_the_end_before_both() {
    let config = timed(|_| {});
    let mut peer = stage(&config).open(ALICE, &FEATURES).await;
    let not_granted = json!({ "tool": ["late", null] });
    let steps =
        json!([not_granted, { "metric": ["cost.x", 2, "USD"] }, not_granted, "until_cancelled", not_granted]);
    let mut submit = submit(&config, 10, &steps);
    submit["lease_request"] = json!({ "tool.call": ["tool"], "cost.budget": ["USD:1"] });
    let job = peer.submit_with(submit).await;
    let frames = peer.job(&job).await;
    let results = frames.iter().filter(|frame| frame["payload"]["kind"] == "tool_result");
    let codes: Vec<_> = results.map(|frame| &frame["payload"]["body"]["error"]["code"]).collect();
    assert_eq!(codes, ["PERMISSION_DENIED", "BUDGET_EXHAUSTED", "LEASE_EXPIRED"]);
}

#[tokio::test(start_paused = true)]
async fn bad_input_32_an_end_that_is_no_time_to_come_is_refused() {
    let config = timed(|_| {});
    let mut peer = stage(&config).open(ALICE, &FEATURES).await;
    let past = config.clock.wall().to_string();
    for at in [past.as_str(), "2031-01-01T00:00:00+00:00", "2031-06-30T23:59:60Z", "2031-01-01", "1"] {
        let submit = json!({ "agent": "actor", "input": [], "lease_constraints": { "expires_at": at } });
        let id = peer.send("job.submit", submit).await;
        let refused = peer.reply(&id).await;
        assert_eq!(refused["payload"]["code"], "INVALID_REQUEST", "{at}: {refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn t70_a_job_that_ends_before_its_lease_leaves_nothing_that_waits() {
    let config = timed(|_| {});
    let mut peer = stage(&config).open(ALICE, &FEATURES).await;
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for _ in 0..20 {
        let job = peer.submit_with(submit(&config, 3600, &json!([{ "tool": ["tool", null] }]))).await;
        assert_eq!(peer.job(&job).await.last().unwrap()["payload"]["final_status"], "success");
    }
    tokio::task::yield_now().await;
    let after = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert!(after <= before, "{before} tasks before, {after} after");
}

#[tokio::test(start_paused = true)]
async fn t89_a_lease_that_ends_leaves_one_record_for_auditors() {
    let config = timed(|_| {});
    let store = std::sync::Arc::new(arcp_core::store::MemoryStore::default());
    let builder = actor(Runtime::builder().config(config.clone())).store(store.clone());
    let runtime = builder.open().await.unwrap().layer(AuthLayer::new(tokens()));
    let mut peer = Memories::of(runtime, &config).open(ALICE, &FEATURES).await;
    let job = peer.submit_with(submit(&config, 10, &json!(["until_cancelled"]))).await;
    peer.job(&job).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let records: Vec<_> = store.audit().into_iter().map(|(_, record)| record.as_str().to_owned()).collect();
    let expired: Vec<_> = records.iter().filter(|record| record.contains("lease.expired")).collect();
    assert_eq!(expired.len(), 1, "{records:?}");
    assert!(expired[0].contains(&job) && expired[0].contains("alice"), "{expired:?}");
}

#[tokio::test(start_paused = true)]
async fn t55_another_end_of_the_lease_is_another_request_for_its_key() {
    let config = timed(|_| {});
    let mut peer = stage(&config).open(ALICE, &FEATURES).await;
    let keyed = |seconds: u64| {
        let mut payload = submit(&config, seconds, &json!([]));
        payload["idempotency_key"] = json!("k");
        payload
    };
    let job = peer.submit_with(keyed(60)).await;
    assert_eq!(peer.submit_with(keyed(60)).await, job);
    for other in [keyed(61), {
        let mut none = keyed(60);
        none["lease_constraints"] = json!({});
        none
    }] {
        let id = peer.send("job.submit", other).await;
        let refused = peer.reply(&id).await;
        assert_eq!(refused["payload"]["code"], "DUPLICATE_KEY");
        assert_eq!(refused["payload"]["details"]["existing_job_id"], json!(job));
    }
}
