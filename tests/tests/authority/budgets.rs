//! What jobs spend (§9.6): exact, counted by the runtime, and never for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arcp_core::transport::Memory;
use arcp_tests::{ALICE, Memories, Peer, actor, agents, timed, tokens};
use arcp_tower::operation::{Call, Operation, Output};
use arcp_tower::{AgentError, AuthLayer, BoxError, Job, Level, Mount, Runtime, agent_fn, tool_fn};
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::{ServiceBuilder, service_fn};

const FEATURES: [&str; 3] = ["ack", "cost.budget", "subscribe"];

fn stage() -> Memories<impl Mount> {
    let config = timed(|_| {});
    // It costs what it is asked to, and says so in what it returns.
    let priced = service_fn(|operation: Operation| async move {
        let (currency, amount): (String, String) = operation.args.decode()?;
        Ok::<_, BoxError>(Output::of("done")?.cost(currency.parse()?, amount.parse()?))
    });
    // It costs a part before it fails.
    let fails = tool_fn(|(): (), call: Call| async move {
        call.charge("USD".parse()?, "0.25".parse()?).await?;
        Err::<(), _>("failed".into())
    });
    // Ten of them want the same last cents at once.
    let racers = agent_fn(|(): (), job: Job| async move {
        let mut tasks = Vec::new();
        for _ in 0..10 {
            let job = job.clone();
            tasks.push(tokio::spawn(async move {
                let reserved = job.reserve("USD", "0.40")?;
                tokio::task::yield_now().await;
                reserved.commit("cost.inference", "0.35".parse().unwrap()).await
            }));
        }
        let mut passed = 0;
        for task in tasks {
            passed += usize::from(task.await?.is_ok());
        }
        Ok(passed)
    });
    let runtime = agents::all(actor(Runtime::builder().config(config.clone())))
        .tool("priced", priced)
        .tool("fails", fails)
        .agent("racers", racers)
        .build()
        .unwrap();
    Memories::of(runtime.layer(AuthLayer::new(tokens())), &config)
}

async fn act(peer: &mut Peer<Memory>, budget: Value, steps: Value) -> (Value, Vec<Value>) {
    let lease = json!({ "tool.call": ["**"], "cost.budget": budget });
    let job = peer.submit_with(json!({ "agent": "actor", "input": steps, "lease_request": lease })).await;
    let mut frames = peer.job(&job).await;
    let end = frames.pop().unwrap();
    (end["payload"]["result"].clone(), frames.into_iter().map(|frame| frame["payload"].clone()).collect())
}

/// Names and values of the metrics among `events`, as text.
fn metrics(events: &[Value]) -> Vec<(String, String)> {
    let metrics = events.iter().filter(|event| event["kind"] == "metric").map(|event| &event["body"]);
    metrics.map(|body| (body["name"].as_str().unwrap().to_owned(), body["value"].to_string())).collect()
}

#[tokio::test(start_paused = true)]
async fn counters_begin_at_the_budget_and_are_each_their_own() {
    let mut peer = stage().open(ALICE, &FEATURES).await;
    let lease = json!({ "tool.call": ["**"], "cost.budget": ["USD:5.00", "EUR:0.10"] });
    let steps = json!([
        { "metric": ["cost.x", 0.1, "EUR"] },
        { "budget": null },
    ]);
    let id =
        peer.send("job.submit", json!({ "agent": "actor", "input": steps, "lease_request": lease })).await;
    let accepted = peer.reply(&id).await;
    assert_eq!(accepted["payload"]["budget"], json!({ "EUR": 0.1, "USD": 5 }));
    let frames = peer.job(accepted["job_id"].as_str().unwrap()).await;
    let end = frames.last().unwrap();
    assert_eq!(end["payload"]["result"][1], json!({ "EUR": 0, "USD": 5 }));
}

#[tokio::test(start_paused = true)]
async fn p13_t96_a_counter_that_is_empty_stops_every_operation_and_an_overspend_is_delivered() {
    let mut peer = stage().open(ALICE, &FEATURES).await;
    let steps = json!([
        { "tool": ["priced", ["USD", "0.4"]] },
        { "tool": ["priced", ["USD", "0.4"]] },
        { "tool": ["priced", ["USD", "0.4"]] },
        { "tool": ["priced", ["USD", "0.4"]] },
        { "check": ["tool.call", "anything"] },
        { "budget": null },
    ]);
    let (said, events) = act(&mut peer, json!(["USD:1.00", "EUR:9"]), steps).await;
    assert_eq!((&said[0], &said[1], &said[2]), (&json!("done"), &json!("done"), &json!("done")));
    assert_eq!(
        (&said[3]["code"], &said[4]["code"]),
        (&json!("BUDGET_EXHAUSTED"), &json!("BUDGET_EXHAUSTED"))
    );
    assert!(said[3]["message"].as_str().unwrap().contains("USD"), "{said}");
    assert_eq!(said[5], json!({ "USD": -0.2, "EUR": 9 }));
    let said: Vec<_> = metrics(&events);
    let said: Vec<_> = said.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (cost, left) = ("cost.tool", "cost.budget.remaining");
    assert_eq!(
        said,
        [(cost, "0.4"), (left, "0.6"), (cost, "0.4"), (left, "0.2"), (cost, "0.4"), (left, "-0.2")]
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_tool_costs_is_charged_once_and_also_if_it_fails() {
    let mut peer = stage().open(ALICE, &FEATURES).await;
    let steps = json!([
        { "tool": ["priced", ["USD", "0.5"]] },
        { "tool": ["fails", null] },
        { "budget": null },
    ]);
    let (said, _) = act(&mut peer, json!(["USD:1"]), steps).await;
    assert_eq!((&said[1]["message"], &said[2]), (&json!("failed"), &json!({ "USD": 0.25 })));
}

#[tokio::test(start_paused = true)]
async fn bad_input_42_s36_a_cost_that_cannot_be_one_is_delivered_charges_nothing_and_is_warned_of() {
    let mut peer = stage().open(ALICE, &FEATURES).await;
    let odd = ["-1", "0.00000000000000000000000000001", "1e-30", "1e308", "12345678901234567890123456789.5"];
    for number in odd {
        let steps = format!(r#"[{{"metric":["cost.x",{number},"USD"]}},{{"budget":null}}]"#);
        let submit =
            format!(r#"{{"agent":"actor","input":{steps},"lease_request":{{"cost.budget":["USD:1"]}}}}"#);
        let (id, message) = peer.message("job.submit", &json!(null));
        let text = message.to_string().replace(r#""payload":null"#, &format!(r#""payload":{submit}"#));
        peer.send_text(text).await;
        let accepted = peer.reply(&id).await;
        let job = accepted["job_id"].as_str().unwrap().to_owned();
        let mut kinds = Vec::new();
        let end = loop {
            let frame = peer.pick(|frame| frame["job_id"] == job.as_str()).await;
            match frame["payload"]["kind"].as_str() {
                Some(kind) => kinds.push(kind.to_owned()),
                None => break frame,
            }
        };
        assert_eq!(end["payload"]["result"][1], json!({ "USD": 1 }), "{number}");
        kinds.sort();
        assert_eq!(kinds, ["log", "metric"], "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn bad_input_42_what_is_no_finite_number_is_no_metric_and_is_seen_by_nobody() {
    let mut peer = stage().open(ALICE, &FEATURES).await;
    // NaN and the infinities are `null` in JSON, and what no float can hold is infinite to many peers.
    let odd = ["null", "\"5\"", "true", "[1]", "{}", "1e400", "-1e400"];
    let steps: Vec<_> = odd.iter().map(|odd| format!(r#"{{"metric":["cost.x",{odd},"USD"]}}"#)).collect();
    let (id, message) = peer.message("job.submit", &Value::Null);
    let submit = format!(
        r#"{{"agent":"actor","input":[{}],"lease_request":{{"cost.budget":["USD:1"]}}}}"#,
        steps.join(",")
    );
    peer.send_text(message.to_string().replace(r#""payload":null"#, &format!(r#""payload":{submit}"#))).await;
    let job = peer.reply(&id).await["job_id"].as_str().unwrap().to_owned();
    let frames = peer.job(&job).await;
    assert_eq!(frames.len(), 1, "only its end: {frames:?}");
    for (odd, said) in odd.iter().zip(frames[0]["payload"]["result"].as_array().unwrap()) {
        assert_eq!(said["code"], "INVALID_REQUEST", "{odd}");
    }
}

#[tokio::test(start_paused = true)]
async fn t98_a_negative_cost_gives_nothing_back_and_other_metrics_may_be_negative() {
    let mut peer = stage().open(ALICE, &FEATURES).await;
    let steps = json!([
        { "metric": ["cost.refund", -0.5, "USD"] },
        { "metric": ["temperature", -4.5, "C"] },
        { "metric": ["cost_of_living", -1, "USD"] },
        { "budget": null },
    ]);
    let (said, events) = act(&mut peer, json!(["USD:1"]), steps).await;
    assert_eq!(said[3], json!({ "USD": 1 }));
    assert_eq!(metrics(&events).len(), 3, "each is delivered: {events:?}");
    let warned: Vec<_> = events.iter().filter(|event| event["kind"] == "log").collect();
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0]["body"]["message"].as_str().unwrap().starts_with("cost.refund charges nothing"));
}

#[tokio::test(start_paused = true)]
async fn bad_input_31_t99_a_budget_that_is_none_is_refused_at_submit_and_never_no_budget() {
    let mut peer = stage().open(ALICE, &FEATURES).await;
    for budget in [
        json!(["USD:-1"]),
        json!(["USD:1e9"]),
        json!(["USD:NaN"]),
        json!(["USD:"]),
        json!([":5"]),
        json!(["5"]),
        json!(["USD:5:5"]),
        json!(["USD:５"]),
        json!(["USD:12345678901234567890123456789"]),
        json!(["USD:5.00", "USD:1.00"]),
        json!(["EUR:1", "USD:none"]),
        json!([5]),
        json!([null]),
        json!("USD:5"),
        json!({ "USD": 5 }),
    ] {
        let lease = json!({ "cost.budget": budget });
        let id = peer.send("job.submit", json!({ "agent": "echo", "lease_request": lease })).await;
        let refused = peer.reply(&id).await;
        assert_eq!(refused["payload"]["code"], "INVALID_REQUEST", "{budget}: {refused}");
        let words = refused["payload"]["message"].as_str().unwrap();
        assert!(words.starts_with("payload.lease_request"), "{budget}: {words}");
    }
}

#[tokio::test(start_paused = true)]
async fn t100_what_a_budget_has_no_currency_for_cannot_be_reserved_nor_handed_on() {
    let mut peer = stage().open(ALICE, &FEATURES).await;
    let reserve = json!({ "reserve": ["EUR", "0.01", null] });
    let child = json!([reserve, { "reserve": ["USD", "0.25", "0.25"] }]);
    let steps = json!([
        reserve,
        { "reserve": ["USD", "0.5", "0.5"] },
        { "delegate": ["actor", child, {}] },
        { "delegate": ["actor", [], { "cost.budget": ["EUR:0.01"] }] },
        { "budget": null },
    ]);
    let lease = json!({ "agent.delegate": ["*"], "cost.budget": ["USD:1"] });
    let submit = json!({ "agent": "actor", "input": steps, "lease_request": lease });
    let job = peer.submit_with(submit).await;
    let said = peer.job(&job).await.pop().unwrap()["payload"]["result"].clone();
    assert_eq!(said[0]["code"], "BUDGET_EXHAUSTED", "{said}");
    assert_eq!(said[0]["message"], "the lease has no budget in EUR");
    assert_eq!(said[2]["result"][0]["code"], "BUDGET_EXHAUSTED", "it spends its parent's money: {said}");
    assert_eq!(said[3]["code"], "LEASE_SUBSET_VIOLATION");
    assert_eq!(said[4], json!({ "USD": 0.25 }));
    // Where there is no budget, nothing is counted.
    let job = peer.submit_with(json!({ "agent": "actor", "input": [reserve] })).await;
    assert_eq!(peer.job(&job).await.pop().unwrap()["payload"]["result"], json!([null]));
}

#[tokio::test(start_paused = true)]
async fn t101_ten_dimes_are_a_dollar_to_the_last_digit() {
    let mut peer = stage().open(ALICE, &FEATURES).await;
    let mut steps = vec![json!({ "metric": ["cost.x", 0.1, "USD"] }); 10];
    steps.push(json!({ "check": ["tool.call", "priced"] }));
    let (said, events) = act(&mut peer, json!(["USD:1"]), json!(steps)).await;
    assert_eq!(said[10]["code"], "BUDGET_EXHAUSTED", "nothing is left over");
    let left: Vec<_> =
        metrics(&events).into_iter().filter(|(name, _)| name == "cost.budget.remaining").collect();
    let left: Vec<_> = left.iter().map(|(_, value)| value.as_str()).collect();
    // A float would say 0.7000000000000001 after the third.
    assert_eq!(left, ["0.9", "0.8", "0.7", "0.6", "0.5", "0.4", "0.3", "0.2", "0.1", "0"]);
}

#[tokio::test(start_paused = true)]
async fn t97_other_metrics_other_currencies_and_the_runtimes_own_name_charge_nothing() {
    let mut peer = stage().open(ALICE, &FEATURES).await;
    let steps = json!([
        { "metric": ["tokens.used", 5, "USD"] },
        { "metric": ["cost.x", 5, "CHF"] },
        { "metric": ["cost.x", 5, null] },
        { "metric": ["cost.budget.remaining", 100, "USD"] },
        { "budget": null },
    ]);
    let (said, events) = act(&mut peer, json!(["USD:1"]), steps).await;
    assert_eq!(said[3]["code"], "INVALID_REQUEST");
    assert_eq!(said[4], json!({ "USD": 1 }));
    assert!(metrics(&events).iter().all(|(name, _)| name != "cost.budget.remaining"));
}

#[tokio::test(start_paused = true)]
async fn s37_operations_at_once_cannot_reserve_the_same_last_cent() {
    let mut peer = stage().open(ALICE, &FEATURES).await;
    let lease = json!({ "cost.budget": ["USD:1.00"] });
    let job = peer.submit_with(json!({ "agent": "racers", "lease_request": lease })).await;
    let frames = peer.job(&job).await;
    assert_eq!(frames.last().unwrap()["payload"]["result"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_reservation_spends_what_is_committed_and_gives_back_what_is_dropped() {
    let mut peer = stage().open(ALICE, &FEATURES).await;
    let steps = json!([
        { "reserve": ["USD", "0.8", "0.3"] },
        { "reserve": ["USD", "0.7", null] },
        { "reserve": ["USD", "0.71", null] },
        { "budget": null },
    ]);
    let (said, _) = act(&mut peer, json!(["USD:1"]), steps).await;
    assert_eq!((&said[0], &said[1]), (&Value::Null, &Value::Null));
    assert_eq!(said[2]["code"], "BUDGET_EXHAUSTED");
    assert_eq!(said[3], json!({ "USD": 0.7 }));
}

#[tokio::test(start_paused = true)]
async fn a_gauge_is_told_of_changes_that_it_can_show_and_of_the_end() {
    let mut peer = stage().open(ALICE, &FEATURES).await;
    let mut steps = vec![json!({ "metric": ["cost.x", 0.001, "USD"] }); 25];
    steps.push(json!({ "metric": ["cost.x", 2, "USD"] }));
    let (_, events) = act(&mut peer, json!(["USD:1"]), json!(steps)).await;
    let told: Vec<_> =
        metrics(&events).into_iter().filter(|(name, _)| name == "cost.budget.remaining").collect();
    let told: Vec<_> = told.iter().map(|(_, value)| value.as_str()).collect();
    // The first, each hundredth of the whole, and the one that ends it.
    assert_eq!(told, ["0.999", "0.989", "0.979", "-1.025"]);
}

#[tokio::test(start_paused = true)]
async fn of_calls_that_wait_for_one_tool_none_begins_once_the_budget_is_used_up() {
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = begun.clone();
    let dollar = service_fn(move |_: Operation| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok::<_, BoxError>(Output::of("done")?.cost("USD".parse()?, "1".parse()?))
        }
    });
    let hundred = agent_fn(|(): (), job: Job| async move {
        let calls = futures_util::future::join_all((0..100).map(|_| job.tool("dollar", &())));
        let codes = calls.await.into_iter().map(|called| called.err().map(|e| e.code()));
        Ok(json!([codes.collect::<Vec<_>>(), job.budget()]))
    });
    let config = timed(|_| {});
    let builder = Runtime::builder().config(config.clone()).agent("hundred", hundred);
    let builder = builder.tool("dollar", ServiceBuilder::new().concurrency_limit(1).service(dollar));
    let runtime = builder.build().unwrap().layer(AuthLayer::new(tokens()));
    let mut peer = Memories::of(runtime, &config).open(ALICE, &FEATURES).await;
    let lease = json!({ "tool.call": ["dollar"], "cost.budget": ["USD:1"] });
    let job = peer.submit_with(json!({ "agent": "hundred", "lease_request": lease })).await;
    let said = peer.job(&job).await.pop().unwrap()["payload"]["result"].clone();
    let codes = said[0].as_array().unwrap();
    assert!(codes[0].is_null() && codes[1..].iter().all(|code| code == "BUDGET_EXHAUSTED"), "{said}");
    assert_eq!((&said[1], begun.load(Ordering::Relaxed)), (&json!({ "USD": 0 }), 1));
}

/// What an agent that gives up after a second leaves behind, by the names of metrics with their values, if
/// its client takes `window` events.
async fn given_up(window: usize, what: &str) -> Vec<(String, String)> {
    let gives_up = agent_fn(|what: String, job: Job| async move {
        job.log(Level::Info, "one of the window").await?;
        let spends = async {
            match what.as_str() {
                "commit" => job.reserve("USD", "0.5")?.commit("cost.inference", "0.25".parse()?).await?,
                tool => drop(job.tool(tool, &()).await?),
            }
            Ok::<_, AgentError>(())
        };
        Ok(tokio::time::timeout(Duration::from_secs(1), spends).await.is_err())
    });
    let priced = service_fn(|_: Operation| async move {
        Ok::<_, BoxError>(Output::of("done")?.cost("USD".parse()?, "0.25".parse()?))
    });
    let charges =
        tool_fn(|(): (), call: Call| async move { Ok(call.charge("USD".parse()?, "0.25".parse()?).await?) });
    let config = timed(|c| c.window = window);
    let builder = Runtime::builder().config(config.clone()).agent("gives-up", gives_up);
    let runtime = builder.tool("priced", priced).tool("charges", charges).build().unwrap();
    let server = Memories::of(runtime.layer(AuthLayer::new(tokens())), &config);
    let mut peer = server.open(ALICE, &FEATURES).await;
    peer.ack(0).await;
    let lease = json!({ "tool.call": ["**"], "cost.budget": ["USD:1"] });
    let submit = json!({ "agent": "gives-up", "input": what, "lease_request": lease });
    let job = peer.submit_with(submit).await;
    let mut frames = peer.job(&job).await;
    assert_eq!(frames.pop().unwrap()["payload"]["result"], true, "it gave up");
    let events: Vec<Value> = frames.into_iter().map(|frame| frame["payload"].clone()).collect();
    metrics(&events)
}

#[tokio::test(start_paused = true)]
async fn a_cost_and_what_it_leaves_are_said_once_each_wherever_the_agent_gives_up() {
    let (cost, inference) = ("cost.tool", "cost.inference");
    let places = [
        // While the result, the cost or what is left waits for room.
        ("priced", 2, cost),
        ("priced", 3, cost),
        ("priced", 4, cost),
        ("charges", 2, cost),
        ("charges", 3, cost),
        ("commit", 1, inference),
        ("commit", 2, inference),
    ];
    for (what, window, name) in places {
        let said = given_up(window, what).await;
        let said: Vec<_> = said.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(said, [(name, "0.25"), ("cost.budget.remaining", "0.75")], "{what}, {window}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// What operations and reservations at random times spend is, to the last digit, what the counter
    /// has lost; and only what is reported after the fact goes below zero.
    #[test]
    fn whatever_happens_at_once_the_counter_is_exact(
        costs in prop::collection::vec((0u32..60, any::<bool>()), 1..24),
        budget in 1u32..200,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async move {
            let mut peer = stage().open(ALICE, &FEATURES).await;
            let cents = |n: u32| format!("{}.{:02}", n / 100, n % 100);
            let mut steps = Vec::new();
            for (cost, reserve) in &costs {
                let amount = cents(*cost);
                steps.push(if *reserve {
                    let number: serde_json::Number = serde_json::from_str(&amount).unwrap();
                    json!({ "reserve": ["USD", amount, number] })
                } else {
                    json!({ "tool": ["priced", ["USD", amount]] })
                });
            }
            steps.push(json!({ "budget": null }));
            let (said, _) = act(&mut peer, json!([format!("USD:{}", cents(budget))]), json!(steps)).await;
            let mut left = i64::from(budget);
            for ((cost, reserve), said) in costs.iter().zip(said.as_array().unwrap()) {
                let refused = said["code"] == "BUDGET_EXHAUSTED";
                let allowed = if *reserve { i64::from(*cost) <= left } else { left > 0 };
                assert_eq!(refused, !allowed, "{cost} of {left}");
                left -= if allowed { i64::from(*cost) } else { 0 };
            }
            let told = said.as_array().unwrap().last().unwrap()["USD"].to_string();
            let told: f64 = told.parse().unwrap();
            #[allow(clippy::cast_possible_truncation)]
            let told = (told * 100.0).round() as i64;
            assert_eq!(told, left);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn t57_t83_who_watches_is_told_what_is_left_and_who_repeats_what_was_accepted() {
    let stage = stage();
    let (mut peer, mut watcher) = (stage.open(ALICE, &FEATURES).await, stage.open(ALICE, &FEATURES).await);
    let submit = json!({
        "agent": "actor", "input": [{ "tool": ["priced", ["USD", "2"]] }, { "sleep_ms": 60_000 }],
        "lease_request": { "tool.call": ["**"], "cost.budget": ["USD:5"] }, "idempotency_key": "k",
    });
    let id = peer.send("job.submit", submit.clone()).await;
    let accepted = peer.reply(&id).await;
    assert_eq!(accepted["payload"]["budget"], json!({ "USD": 5 }));
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let id = watcher.send("job.subscribe", json!({ "job_id": accepted["job_id"] })).await;
    assert_eq!(watcher.reply(&id).await["payload"]["budget"], json!({ "USD": 3 }));
    let id = peer.send("job.submit", submit).await;
    let again = peer.reply(&id).await;
    assert_eq!(again["payload"]["budget"], json!({ "USD": 5 }), "the acceptance is the same");
    assert_eq!(again["job_id"], accepted["job_id"]);
}
