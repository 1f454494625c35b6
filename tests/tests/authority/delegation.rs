//! Jobs that delegate (§10): never more than they have, and nothing is left behind.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::Timestamp;
use arcp_core::store::Store;
use arcp_tests::vault::{Fault, Vault, bounds, keyed_agents, lasting, wanting};
use arcp_tests::{ALICE, BOB, Memories, actor, agents, timed, tokens};
use arcp_tower::operation::{Operation, Output};
use arcp_tower::{AgentError, AuthLayer, BoxError, Config, Job, Mount, Runtime, agent_fn};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tower::service_fn;

pub(crate) const FEATURES: [&str; 6] =
    ["ack", "cost.budget", "lease_expires_at", "list_jobs", "subscribe", "model.use"];

pub(crate) fn stage(config: &Config) -> Memories<impl Mount> {
    let priced = service_fn(|operation: Operation| async move {
        let (currency, amount): (String, String) = operation.args.decode()?;
        Ok::<_, BoxError>(Output::of("done")?.cost(currency.parse()?, amount.parse()?))
    });
    let builder = agents::all(actor(Runtime::builder().config(config.clone())));
    let runtime = builder.tool("priced", priced).build().unwrap();
    Memories::of(runtime.layer(AuthLayer::new(tokens())), config)
}

/// What a job that may delegate says, and its frames.
async fn act(lease: Value, steps: Value) -> (Value, Vec<Value>) {
    let config = timed(|_| {});
    let mut peer = stage(&config).open(ALICE, &FEATURES).await;
    let mut whole = json!({ "agent.delegate": ["*"] });
    whole.as_object_mut().unwrap().extend(lease.as_object().unwrap().clone());
    let job = peer.submit_with(json!({ "agent": "actor", "input": steps, "lease_request": whole })).await;
    let mut frames = peer.job(&job).await;
    let end = frames.pop().unwrap();
    assert_eq!(end["payload"]["final_status"], "success", "{end}");
    (end["payload"]["result"].clone(), frames.into_iter().map(|frame| frame["payload"].clone()).collect())
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["kind"] == kind).map(|event| &event["body"]).collect()
}

#[tokio::test(start_paused = true)]
async fn a_child_runs_with_what_it_was_given_and_its_parent_gets_its_result() {
    let child = json!([{ "check": ["tool.call", "search.web"] }, { "check": ["tool.call", "search.all"] }]);
    let steps = json!([{ "delegate": ["actor", child, { "tool.call": ["search.web"] }] }]);
    let (said, events) = act(json!({ "tool.call": ["search.*"] }), steps).await;
    let verdicts = &said[0]["result"];
    assert_eq!((&verdicts[0]["allowed"], &verdicts[1]["allowed"]), (&json!(true), &json!(false)));
    let delegated = of_kind(&events, "delegate");
    assert_eq!(delegated[0]["child_job_id"], said[0]["child"]);
    assert_eq!(delegated[0]["agent"], "actor@1.0.0");
    assert!(delegated[0]["delegate_id"].as_str().unwrap().starts_with("del_"));
    assert_eq!(delegated[0]["lease"], json!({ "tool.call": ["search.web"] }));
}

#[tokio::test(start_paused = true)]
async fn bad_input_44_a_child_never_has_more_than_its_parent() {
    let within = json!({ "tool.call": ["search.*"], "fs.read": ["/ws/**"], "cost.budget": ["USD:2"] });
    let wider = [
        json!({ "tool.call": ["*"] }),
        json!({ "tool.call": ["search.web", "shell"] }),
        json!({ "fs.read": ["/**"] }),
        json!({ "fs.read": ["/ws-private/**"] }),
        json!({ "fs.write": ["/ws/a"] }),
        json!({ "cost.budget": ["USD:2.01"] }),
        json!({ "cost.budget": ["EUR:1"] }),
        json!({ "agent.delegate": ["*", "*"], "x-vendor.acme.gpu": ["*"] }),
    ];
    for lease in wider {
        let (said, events) = act(within.clone(), json!([{ "delegate": ["echo", 1, lease] }])).await;
        assert_eq!(said[0]["code"], "LEASE_SUBSET_VIOLATION", "{lease}");
        let refused = of_kind(&events, "tool_result");
        assert_eq!(refused[0]["error"]["code"], "LEASE_SUBSET_VIOLATION");
        assert!(refused[0]["call_id"].as_str().unwrap().starts_with("del_"));
        assert!(of_kind(&events, "delegate").is_empty());
    }
    let (said, _) = act(within.clone(), json!([{ "delegate": ["echo", 1, within] }])).await;
    assert_eq!(said[0]["result"], 1);
}

#[tokio::test(start_paused = true)]
async fn bad_input_44_a_child_whose_end_is_later_than_its_parents_is_refused() {
    let config = timed(|_| {});
    let late = agent_fn(|at: [Timestamp; 2], job: Job| async move {
        let mut said = Vec::new();
        for at in at {
            let child = job.delegate("echo", &1).expires_at(at).send().await;
            said.push(child.map(drop).map_err(|e| e.code()).err());
        }
        Ok(said)
    });
    let runtime = agents::all(Runtime::builder().config(config.clone())).agent("late", late).build().unwrap();
    let server = Memories::of(runtime.layer(AuthLayer::new(tokens())), &config);
    let mut peer = server.open(ALICE, &FEATURES).await;
    let at = |seconds| config.clock.wall().plus(Duration::from_secs(seconds));
    let submit = json!({
        "agent": "late", "input": [at(61), at(59)], "lease_request": { "agent.delegate": ["echo"] },
        "lease_constraints": { "expires_at": at(60) },
    });
    let job = peer.submit_with(submit).await;
    let end = peer.job(&job).await.pop().unwrap();
    assert_eq!(end["payload"]["result"], json!(["LEASE_SUBSET_VIOLATION", null]));
}

#[tokio::test(start_paused = true)]
async fn delegating_needs_the_capability_and_an_agent() {
    let steps = json!([{ "delegate": ["echo", 1, {}] }, { "delegate": ["nobody", 1, {}] }, { "delegate": ["length", 1, {}] }]);
    let (said, _) = act(json!({ "agent.delegate": ["nobody", "length"] }), steps).await;
    assert_eq!(said[0]["code"], "PERMISSION_DENIED");
    assert_eq!(said[1]["code"], "AGENT_NOT_AVAILABLE");
    assert_eq!(said[2]["code"], "INVALID_REQUEST", "an input that does not fit: {said}");
}

#[tokio::test(start_paused = true)]
async fn s37_money_is_moved_to_the_child_and_what_it_leaves_comes_back() {
    let child = json!([{ "tool": ["priced", ["USD", "0.75"]] }, { "budget": null }]);
    let steps = json!([
        { "delegate": ["actor", child, { "tool.call": ["priced"], "cost.budget": ["USD:2"] }] },
        { "budget": null },
    ]);
    let (said, events) = act(json!({ "tool.call": ["**"], "cost.budget": ["USD:5"] }), steps).await;
    assert_eq!(said[0]["result"][1], json!({ "USD": 1.25 }));
    assert_eq!(said[1], json!({ "USD": 4.25 }));
    let told: Vec<_> =
        of_kind(&events, "metric").iter().map(|m| (m["name"].clone(), m["value"].clone())).collect();
    assert!(told.contains(&(json!("cost.delegate"), json!(0.75))), "{told:?}");
    assert!(told.contains(&(json!("cost.budget.remaining"), json!(4.25))), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn s37_children_at_once_are_not_given_the_same_money() {
    let child = json!([{ "sleep_ms": 1000 }]);
    let two = json!({ "cost.budget": ["USD:2.00"] });
    let leave = json!({ "leave": ["actor", child, two] });
    let steps = json!([leave, leave, leave, { "budget": null }]);
    let (said, _) = act(json!({ "cost.budget": ["USD:5.00"] }), steps).await;
    assert!(said[0]["child"].is_string() && said[1]["child"].is_string());
    assert_eq!(said[2]["code"], "LEASE_SUBSET_VIOLATION", "§9.4: not above what is left");
    assert_eq!(said[3], json!({ "USD": 1 }));
}

#[tokio::test(start_paused = true)]
async fn a_child_without_a_counter_of_its_own_spends_its_parents_money() {
    let child = json!([
        { "tool": ["priced", ["USD", "4"]] },
        { "tool": ["priced", ["USD", "2"]] },
        { "tool": ["priced", ["USD", "2"]] },
    ]);
    let steps = json!([
        { "delegate": ["actor", child, { "tool.call": ["priced"] }] },
        { "tool": ["priced", ["USD", "1"]] },
        { "budget": null },
    ]);
    let (said, frames) = act(json!({ "tool.call": ["**"], "cost.budget": ["USD:5"] }), steps).await;
    assert_eq!(said[0]["result"][2]["code"], "BUDGET_EXHAUSTED");
    assert_eq!(said[1]["code"], "BUDGET_EXHAUSTED");
    assert_eq!(said[2], json!({ "USD": -1 }));
    // Its own log says what of its money was spent by whom, and what that left.
    let value =
        |name: &str| &frames.iter().find(|frame| frame["body"]["name"] == name).expect(name)["body"]["value"];
    assert_eq!((value("cost.delegate"), value("cost.budget.remaining")), (&json!(6), &json!(-1)));
}

#[tokio::test(start_paused = true)]
async fn cancelling_a_job_cancels_what_it_delegated_and_what_that_delegated() {
    let config = timed(|_| {});
    let stage = stage(&config);
    let mut peer = stage.open(ALICE, &FEATURES).await;
    let deepest = json!(["until_cancelled"]);
    let middle = json!([{ "leave": ["actor", deepest, {}] }, "until_cancelled"]);
    let steps = json!([{ "leave": ["actor", middle, { "agent.delegate": ["*"] }] }, "until_cancelled"]);
    let submit = json!({ "agent": "actor", "input": steps, "lease_request": { "agent.delegate": ["*"] } });
    let job = peer.submit_with(submit).await;
    peer.pick(|frame| frame["payload"]["kind"] == "delegate").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let listed = list(&mut peer).await;
    assert_eq!(listed, [("running", 3)]);
    peer.send_of("job.cancel", &job, json!({})).await;
    let frames = peer.job(&job).await;
    assert_eq!(frames.last().unwrap()["payload"]["code"], "CANCELLED");
    assert_eq!(list(&mut peer).await, [("cancelled", 3)], "none outlives its parent");
}

/// How many jobs there are of each status.
async fn list<T: arcp_core::transport::Transport>(
    peer: &mut arcp_tests::Peer<T>,
) -> Vec<(&'static str, usize)> {
    let id = peer.send("session.list_jobs", json!({})).await;
    let jobs = peer.reply(&id).await["payload"]["jobs"].as_array().unwrap().clone();
    let count = |status: &str| jobs.iter().filter(|job| job["status"] == status).count();
    ["running", "success", "error", "cancelled"]
        .into_iter()
        .map(|status| (status, count(status)))
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_child_ends_with_the_job_that_delegated_it_at_the_latest() {
    let config = timed(|_| {});
    let mut peer = stage(&config).open(ALICE, &FEATURES).await;
    let steps = json!([{ "leave": ["actor", ["until_cancelled"], {}] }]);
    let submit = json!({ "agent": "actor", "input": steps, "lease_request": { "agent.delegate": ["*"] } });
    let job = peer.submit_with(submit).await;
    assert_eq!(peer.job(&job).await.last().unwrap()["payload"]["final_status"], "success");
    assert_eq!(list(&mut peer).await, [("success", 1), ("cancelled", 1)]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_can_cancel_its_child_and_reads_how_it_ended() {
    let (said, _) = act(
        json!({}),
        json!([{ "kill": ["actor", ["until_cancelled"], {}] }, { "delegate": ["fails", { "ms": 5 }, {}] }]),
    )
    .await;
    assert_eq!(said[0]["code"], "CANCELLED");
    assert_eq!(said[1], json!({ "code": "INTERNAL_ERROR", "message": "boom" }));
}

#[tokio::test(start_paused = true)]
async fn bad_input_36_a_child_is_cancelled_by_its_parents_session_and_no_other_and_its_parent_goes_on() {
    let config = timed(|_| {});
    let stage = stage(&config);
    let (mut peer, mut sibling) = (stage.open(ALICE, &FEATURES).await, stage.open(ALICE, &FEATURES).await);
    let steps = json!([{ "delegate": ["actor", ["until_cancelled"], {}] }]);
    let submit = json!({ "agent": "actor", "input": steps, "lease_request": { "agent.delegate": ["*"] } });
    let job = peer.submit_with(submit).await;
    let delegated = peer.pick(|frame| frame["payload"]["kind"] == "delegate").await;
    let child = delegated["payload"]["body"]["child_job_id"].as_str().unwrap().to_owned();
    assert_eq!(sibling.cancel(&child).await["payload"]["code"], "PERMISSION_DENIED");
    assert_eq!(peer.cancel(&child).await["type"], "job.cancelled");
    let end = peer.job(&job).await.pop().unwrap();
    assert_eq!(end["payload"]["final_status"], "success");
    assert_eq!(end["payload"]["result"][0]["code"], "CANCELLED");
}

#[tokio::test(start_paused = true)]
async fn a_child_inherits_its_parents_end_and_cannot_have_a_later_one() {
    let config = timed(|_| {});
    let mut peer = stage(&config).open(ALICE, &FEATURES).await;
    let at = config.clock.wall().plus(Duration::from_secs(10));
    let steps = json!([{ "leave": ["actor", ["until_cancelled"], {}] }, "until_cancelled"]);
    let submit = json!({
        "agent": "actor", "input": steps, "lease_request": { "agent.delegate": ["*"] },
        "lease_constraints": { "expires_at": at },
    });
    let job = peer.submit_with(submit).await;
    let delegated = peer.pick(|frame| frame["payload"]["kind"] == "delegate").await;
    let child = delegated["payload"]["body"]["child_job_id"].as_str().unwrap().to_owned();
    let id = peer.send("job.subscribe", json!({ "job_id": child, "history": true })).await;
    let subscribed = peer.reply(&id).await;
    assert_eq!(subscribed["payload"]["lease_constraints"]["expires_at"], json!(at));
    assert_eq!(subscribed["payload"]["parent_job_id"], json!(job));
    let ended = peer.job(&child).await;
    let code = &ended.last().unwrap()["payload"]["code"];
    assert!(code == "LEASE_EXPIRED" || code == "CANCELLED", "{code}");
    assert_eq!(peer.job(&job).await.last().unwrap()["payload"]["code"], "LEASE_EXPIRED");
}

#[tokio::test(start_paused = true)]
async fn t111_a_child_has_its_parents_trace() {
    let config = timed(|_| {});
    let mut peer = stage(&config).open(ALICE, &FEATURES).await;
    let steps = json!([{ "leave": ["slow", { "ms": 100 }, {}] }, { "sleep_ms": 1000 }]);
    let submit = json!({ "agent": "actor", "input": steps, "lease_request": { "agent.delegate": ["*"] } });
    let (id, mut message) = peer.message("job.submit", &submit);
    message["trace_id"] = json!("4bf92f3577b34da6a3ce929d0e0e4736");
    peer.send_text(message.to_string()).await;
    let accepted = peer.reply(&id).await;
    let delegated = peer.pick(|frame| frame["payload"]["kind"] == "delegate").await;
    let child = delegated["payload"]["body"]["child_job_id"].as_str().unwrap().to_owned();
    peer.send("job.subscribe", json!({ "job_id": child, "history": true })).await;
    for frame in peer.job(&child).await {
        assert_eq!(frame["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    }
    drop(accepted);
}

#[tokio::test(start_paused = true)]
async fn bad_input_44_a_tree_grows_neither_too_deep_nor_too_wide() {
    let config = timed(|c| (c.max_delegation_depth, c.max_children) = (2, 2));
    let mut peer = stage(&config).open(ALICE, &FEATURES).await;
    let all = json!({ "agent.delegate": ["*"] });
    let third = json!([{ "delegate": ["echo", 1, {}] }]);
    let second = json!([{ "delegate": ["actor", third, all] }]);
    let first = json!([{ "delegate": ["actor", second, all] }]);
    let job = peer.submit_with(json!({ "agent": "actor", "input": first, "lease_request": all })).await;
    let end = peer.job(&job).await.pop().unwrap();
    let deepest = &end["payload"]["result"][0]["result"][0]["result"][0];
    assert_eq!(deepest["code"], "INTERNAL_ERROR", "{end}");
    assert!(deepest["message"].as_str().unwrap().contains("below each other"), "{deepest}");
    let leave = json!({ "leave": ["actor", ["until_cancelled"], {}] });
    let steps = json!([leave, leave, leave]);
    let job = peer.submit_with(json!({ "agent": "actor", "input": steps, "lease_request": all })).await;
    let end = peer.job(&job).await.pop().unwrap();
    assert!(end["payload"]["result"][2]["message"].as_str().unwrap().contains("at most 2 children"), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_child_belongs_to_the_principal_of_its_parent_and_to_nobody_else() {
    let config = timed(|_| {});
    let stage = stage(&config);
    let (mut peer, mut other) = (stage.open(ALICE, &FEATURES).await, stage.open(BOB, &FEATURES).await);
    let steps = json!([{ "leave": ["actor", ["until_cancelled"], {}] }, "until_cancelled"]);
    peer.submit_with(
        json!({ "agent": "actor", "input": steps, "lease_request": { "agent.delegate": ["*"] } }),
    )
    .await;
    let delegated = peer.pick(|frame| frame["payload"]["kind"] == "delegate").await;
    let child = delegated["payload"]["body"]["child_job_id"].as_str().unwrap().to_owned();
    for kind in ["job.subscribe", "job.cancel"] {
        let id = other.send(kind, json!({ "job_id": child })).await;
        assert_eq!(other.reply(&id).await["payload"]["code"], "JOB_NOT_FOUND");
    }
    let id = peer.send("job.subscribe", json!({ "job_id": child })).await;
    assert_eq!(peer.reply(&id).await["type"], "job.subscribed");
}

/// Delegates with half a second of patience, and what it has two minutes later.
async fn hasty(_: Value, job: Job) -> Result<Value, AgentError> {
    sleep(Duration::from_secs(1)).await;
    let child = job.delegate("keyed", &json!({ "seconds": 600 })).budget("USD", "1").send();
    let given_up = timeout(Duration::from_millis(500), child).await.is_err();
    sleep(Duration::from_secs(120)).await;
    Ok(json!({ "given_up": given_up, "budget": job.budget() }))
}

#[tokio::test(start_paused = true)]
async fn a_delegation_that_was_given_up_half_way_leaves_no_job_no_money_and_no_credential_behind() {
    for fault in [Fault::Slow(Duration::from_secs(3)), Fault::Late(Duration::from_secs(3)), Fault::Hang] {
        let (vault, store) = (Vault::default(), lasting() as Arc<dyn Store>);
        let config = bounds().with(|config| config.max_jobs = 2);
        let builder = keyed_agents(Runtime::builder()).config(config.clone()).agent("hasty", agent_fn(hasty));
        let builder = builder.credentials("openai", vault.provisioner()).store(store);
        let runtime = builder.open().await.unwrap();
        let server = Memories::of(runtime.layer(AuthLayer::new(tokens())), &config);
        let mut peer = server.open(ALICE, &[&wanting()[..], &["cost.budget"]].concat()).await;
        let lease = json!({ "agent.delegate": ["keyed"], "cost.budget": ["USD:1.50"] });
        let submit = json!({ "agent": "hasty", "input": null, "lease_request": lease });
        // The first that is issued is the job's own.
        let job = peer.submit_with(submit).await;
        vault.plan_issue(fault);
        let end = peer.job(&job).await.pop().unwrap();
        assert_eq!(
            end["payload"]["result"],
            json!({ "given_up": true, "budget": { "USD": 1.5 } }),
            "{fault:?} {end}"
        );
        sleep(Duration::from_secs(180)).await;
        assert!(vault.live().is_empty(), "{fault:?}: {:?}", vault.live());
        // There is room for as many jobs as before.
        for _ in 0..config.max_jobs {
            peer.submit("keyed", json!({ "seconds": 600 })).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_child_in_between_gives_models_back_that_its_delegator_does_not_have() {
    let all = json!({ "agent.delegate": ["*"] });
    let slow = json!({ "model.use": ["tier-slow/*"] });
    let steps = json!([
        { "check": ["model.use", "tier-fast/a"] },
        { "delegate": ["echo", 1, slow] },
        { "delegate": ["echo", 1, { "model.use": ["tier-fast/a"] }] },
        // Its own lease as it is.
        { "delegate": ["actor", [{ "check": ["model.use", "tier-fast/a"] }], { "model.use": [] }] },
    ]);
    let steps = json!([{ "delegate": ["actor", steps, all] }]);
    let (said, _) = act(json!({ "model.use": ["tier-fast/*"] }), steps).await;
    let said = &said[0]["result"];
    assert_eq!(said[0]["allowed"], false, "a lease that does not name them has none of its delegator's");
    assert_eq!(said[1]["code"], "LEASE_SUBSET_VIOLATION", "{said}");
    assert_eq!(said[2]["code"], "LEASE_SUBSET_VIOLATION", "{said}");
    assert_eq!(said[3]["result"][0]["allowed"], false, "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_credential_is_for_the_models_that_the_job_may_use_whoever_named_them() {
    let lease = json!({ "agent.delegate": ["*"] });
    let named = json!({ "agent.delegate": ["*"], "model.use": ["tier-fast/*"] });
    let none = Some(Vec::new());
    for (required, lease, models) in
        [(false, &lease, None), (false, &named, none.clone()), (true, &lease, none)]
    {
        let vault = Vault::default();
        let builder = keyed_agents(actor(Runtime::builder().config(bounds()).require_model_use(required)));
        let builder = builder.credentials("openai", vault.provisioner()).store(lasting());
        let runtime = builder.open().await.unwrap();
        let server = Memories::of(runtime.layer(AuthLayer::new(tokens())), &bounds());
        let mut peer = server.open(ALICE, &FEATURES).await;
        let steps = json!([{ "delegate": ["keyed", {}, {}] }]);
        let job = peer.submit_with(json!({ "agent": "actor", "input": steps, "lease_request": lease })).await;
        let end = peer.job(&job).await.pop().unwrap();
        assert_eq!(end["payload"]["result"][0]["result"]["count"], 1, "{end}");
        assert_eq!(vault.issued()[0].models, models, "{required} {lease}");
    }
}
