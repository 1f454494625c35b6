//! Operations under a lease (§9.3): what is carried out, what is refused, and what is said of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arcp_tests::peer::is_terminal;
use arcp_tests::{ALICE, Memories, Peer, actor, agents, timed, tokens};
use arcp_tower::core::{Code, Error, Json};
use arcp_tower::operation::{Call, Operation, Output};
use arcp_tower::{AuthLayer, BoxError, Builder, Config, Mount, Runtime, Service, tool_fn};
use serde_json::{Value, json};
use tower::{ServiceBuilder, service_fn};

const FEATURES: [&str; 5] = ["ack", "cost.budget", "lease_expires_at", "model.use", "subscribe"];

/// A runtime with tools of all kinds, and how often the tool `search.web` was called.
fn stage(build: impl FnOnce(Builder) -> Builder) -> (Memories<impl Mount>, Arc<AtomicUsize>) {
    let config = timed(|_| {});
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let search = tool_fn(move |query: String, call: Call| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            assert_eq!(call.principal().name(), "alice");
            Ok(json!({ "about": query }))
        }
    });
    let broken = tool_fn(|(): (), _: Call| async move { Err::<(), _>("the index is gone".into()) });
    let stuck = tool_fn(|(): (), _: Call| async move {
        std::future::pending::<()>().await;
        Ok(())
    });
    let models = service_fn(|operation: Operation| async move {
        Ok::<_, BoxError>(Output::of(&format!("{} says hello", operation.target()))?)
    });
    let gpu =
        service_fn(|operation: Operation| async move { Ok::<_, BoxError>(Output::from(operation.args)) });
    let builder = agents::all(actor(Runtime::builder().config(config.clone())))
        .tool("search.web", search)
        .tool("broken", broken)
        .tool("stuck", ServiceBuilder::new().timeout(Duration::from_secs(3)).service(stuck))
        .models(models)
        .operations("x-vendor.acme.gpu", gpu);
    let runtime = build(builder).build().unwrap();
    (Memories::of(runtime.layer(AuthLayer::new(tokens())), &config), calls)
}

/// What came of the steps, and the events of the job.
async fn act<T: arcp_core::transport::Transport>(
    peer: &mut Peer<T>,
    lease: Value,
    steps: Value,
) -> (Value, Vec<Value>) {
    let job = peer.submit_with(json!({ "agent": "actor", "input": steps, "lease_request": lease })).await;
    let mut frames = peer.job(&job).await;
    let end = frames.pop().unwrap();
    assert!(is_terminal(&end));
    let events = frames.into_iter().map(|frame| frame["payload"].clone()).collect();
    (end["payload"]["result"].clone(), events)
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["kind"] == kind).map(|event| &event["body"]).collect()
}

#[tokio::test(start_paused = true)]
async fn the_runtime_says_which_tool_is_called_and_what_came_of_it() {
    let (stage, calls) = stage(|builder| builder);
    let mut peer = stage.open(ALICE, &FEATURES).await;
    let steps = json!([{ "tool": ["search.web", "arcp"] }, { "tool": ["broken", null] }]);
    let (said, events) = act(&mut peer, json!({ "tool.call": ["search.*", "broken"] }), steps).await;
    assert_eq!(said[0], json!({ "about": "arcp" }));
    assert_eq!(said[1], json!({ "code": "INTERNAL_ERROR", "message": "the index is gone" }));
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    let kinds: Vec<_> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["tool_call", "tool_result", "tool_call", "tool_result"]);
    let (called, answered) = (of_kind(&events, "tool_call"), of_kind(&events, "tool_result"));
    assert_eq!((&called[0]["tool"], &called[0]["args"]), (&json!("search.web"), &json!("arcp")));
    for (call, result) in called.iter().zip(&answered) {
        assert_eq!(call["call_id"], result["call_id"]);
    }
    assert_eq!(answered[0]["result"], json!({ "about": "arcp" }));
    assert_eq!(answered[1]["error"]["code"], "INTERNAL_ERROR");
}

#[tokio::test(start_paused = true)]
async fn t94_what_the_lease_does_not_cover_reaches_no_backend_and_its_refusal_is_seen() {
    let (stage, calls) = stage(|builder| builder);
    let mut peer = stage.open(ALICE, &FEATURES).await;
    let steps = json!([{ "tool": ["search.web", "arcp"] }]);
    for lease in [json!({}), json!({ "tool.call": ["search"] }), json!({ "fs.read": ["/search.web"] })] {
        let (said, events) = act(&mut peer, lease, steps.clone()).await;
        assert_eq!(said[0]["code"], "PERMISSION_DENIED");
        let refused = of_kind(&events, "tool_result");
        assert_eq!(refused[0]["error"]["code"], "PERMISSION_DENIED");
        assert_eq!(refused[0]["error"]["retryable"], false);
    }
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_check_only_asks() {
    let (stage, calls) = stage(|builder| builder);
    let mut peer = stage.open(ALICE, &FEATURES).await;
    let steps = json!([
        { "check": ["tool.call", "search.web"] },
        { "check": ["tool.call", "shell"] },
        { "check": ["fs.read", "/workspace/../etc/passwd"] },
        { "check": ["fs.read", "relative"] },
        { "check": ["no.such", "x"] },
    ]);
    let (said, events) =
        act(&mut peer, json!({ "tool.call": ["search.*"], "fs.read": ["/workspace/**"] }), steps).await;
    let codes: Vec<_> = said.as_array().unwrap().iter().map(|verdict| verdict["code"].clone()).collect();
    let denied = json!("PERMISSION_DENIED");
    assert_eq!(codes, [Value::Null, denied.clone(), denied.clone(), denied, json!("INVALID_REQUEST")]);
    assert_eq!((events.len(), calls.load(Ordering::Relaxed)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_is_not_there_and_arguments_that_do_not_fit_are_told_apart() {
    let (stage, calls) = stage(|builder| builder);
    let mut peer = stage.open(ALICE, &FEATURES).await;
    let steps = json!([{ "tool": ["search.none", "x"] }, { "tool": ["search.web", { "not": "text" }] }]);
    let (said, events) = act(&mut peer, json!({ "tool.call": ["search.*"] }), steps).await;
    assert_eq!(said[0]["code"], "INVALID_REQUEST");
    assert!(said[0]["message"].as_str().unwrap().contains("search.none"), "{said}");
    assert!(said[1]["message"].as_str().unwrap().starts_with("args: must be"), "{said}");
    assert_eq!(of_kind(&events, "tool_result")[1]["error"]["details"]["pointer"], "");
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn layers_around_one_tool_and_around_all_see_only_what_the_lease_allows() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    let (stage, calls) = stage(|builder| {
        builder.operation_layer(tower::util::MapRequestLayer::new(move |operation: Operation| {
            counted.fetch_add(1, Ordering::Relaxed);
            operation
        }))
    });
    let mut peer = stage.open(ALICE, &FEATURES).await;
    let steps =
        json!([{ "tool": ["search.web", "a"] }, { "tool": ["shell", "b"] }, { "tool": ["stuck", null] }]);
    let (said, events) = act(&mut peer, json!({ "tool.call": ["search.web", "stuck"] }), steps).await;
    assert_eq!((seen.load(Ordering::Relaxed), calls.load(Ordering::Relaxed)), (2, 1));
    assert_eq!(said[1]["code"], "PERMISSION_DENIED");
    // The time-out is a layer of that one tool, and says nothing of the inside.
    assert_eq!(said[2], json!({ "code": "INTERNAL_ERROR", "message": "the request could not be completed" }));
    assert_eq!(of_kind(&events, "tool_result")[2]["error"]["code"], "INTERNAL_ERROR");
}

#[tokio::test(start_paused = true)]
async fn a_layer_in_front_of_one_tool_refuses_a_call_and_agent_and_client_are_told_why() {
    let searched = Arc::new(AtomicUsize::new(0));
    let counted = searched.clone();
    let search = tool_fn(move |query: String, _: Call| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move { Ok(query) }
    });
    let forbid = tower::filter::FilterLayer::new(|operation: Operation| {
        if operation.args.as_str().contains("secret") {
            return Err::<Operation, BoxError>(Error::new(Code::PermissionDenied, "not searched for").into());
        }
        Ok(operation)
    });
    let (stage, calls) =
        stage(|builder| builder.tool("guarded", ServiceBuilder::new().layer(forbid).service(search)));
    let mut peer = stage.open(ALICE, &FEATURES).await;
    let steps = json!([
        { "tool": ["guarded", "a secret"] },
        { "tool": ["guarded", "tides"] },
        { "tool": ["search.web", "a secret"] },
    ]);
    let (said, events) = act(&mut peer, json!({ "tool.call": ["**"] }), steps).await;
    assert_eq!(said[0], json!({ "code": "PERMISSION_DENIED", "message": "not searched for" }));
    assert_eq!((&said[1], &said[2]["about"]), (&json!("tides"), &json!("a secret")));
    assert_eq!((searched.load(Ordering::Relaxed), calls.load(Ordering::Relaxed)), (1, 1));
    let told = &of_kind(&events, "tool_result")[0]["error"];
    assert_eq!((&told["code"], &told["message"]), (&json!("PERMISSION_DENIED"), &json!("not searched for")));
}

#[tokio::test(start_paused = true)]
async fn s46_words_of_a_tool_that_are_too_long_are_cut_and_its_call_has_a_result_all_the_same() {
    let wordy = tool_fn(|bytes: usize, _: Call| async move { Err::<(), _>("w".repeat(bytes).into()) });
    let detailed = tool_fn(|bytes: usize, _: Call| async move {
        Err::<(), _>(
            Error::new(Code::InternalError, "too much").with_detail("why", &"d".repeat(bytes)).into(),
        )
    });
    let (stage, _) = stage(|builder| builder.tool("wordy", wordy).tool("detailed", detailed));
    let mut peer = stage.open(ALICE, &FEATURES).await;
    let steps = json!([{ "tool": ["wordy", 100_000] }, { "tool": ["detailed", 3 << 20] }]);
    let (said, events) = act(&mut peer, json!({ "tool.call": ["**"] }), steps).await;
    assert_eq!(said[1]["message"], "too much");
    let told = of_kind(&events, "tool_result");
    assert_eq!(told.len(), 2);
    assert_eq!(told[0]["error"]["message"].as_str().unwrap().len(), 4096);
    assert_eq!((&told[1]["error"]["message"], told[1]["error"].get("details")), (&json!("too much"), None));
}

#[tokio::test(start_paused = true)]
async fn a_layer_cannot_make_another_operation_of_one_that_was_allowed() {
    let (stage, calls) = stage(|builder| {
        builder.operation_layer(tower::util::MapRequestLayer::new(|_: Operation| {
            Operation::new("tool.call".parse().unwrap(), "search.web", Json::of("forged").unwrap()).unwrap()
        }))
    });
    let mut peer = stage.open(ALICE, &FEATURES).await;
    let steps = json!([{ "tool": ["broken", null] }]);
    let (said, _) = act(&mut peer, json!({ "tool.call": ["**"] }), steps).await;
    assert_eq!(said[0]["code"], "PERMISSION_DENIED");
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn models_and_namespaces_of_the_deployments_own_are_operations_like_tools() {
    let (stage, _) = stage(|builder| builder);
    let mut peer = stage.open(ALICE, &FEATURES).await;
    let steps = json!([
        { "model": ["tier-fast/small", "hi"] },
        { "model": ["gpt-9", "hi"] },
        { "operation": ["x-vendor.acme.gpu", "a100", 4] },
        { "operation": ["x-vendor.acme.tpu", "v5", 4] },
    ]);
    let lease = json!({ "model.use": ["tier-fast/*"], "x-vendor.acme.gpu": ["*"] });
    let (said, events) = act(&mut peer, lease, steps).await;
    assert_eq!(said[0], "tier-fast/small says hello");
    assert_eq!(said[1]["code"], "PERMISSION_DENIED");
    assert_eq!(said[2], 4);
    assert_eq!(said[3]["code"], "PERMISSION_DENIED");
    assert_eq!(of_kind(&events, "tool_call")[0]["tool"], "model.use");
    assert_eq!(of_kind(&events, "tool_call")[0]["args"]["target"], "tier-fast/small");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_names_no_models_allows_all_or_none_as_the_deployment_decides() {
    for (required, code) in [(false, Value::Null), (true, json!("PERMISSION_DENIED"))] {
        let (stage, _) = stage(|builder| builder.require_model_use(required));
        let mut peer = stage.open(ALICE, &FEATURES).await;
        let steps = json!([{ "check": ["model.use", "gpt-9"] }]);
        let (said, _) = act(&mut peer, json!({ "tool.call": ["x"] }), steps).await;
        assert_eq!(said[0]["code"], code);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_only_audited_lets_through_what_it_would_deny_and_says_so() {
    let (stage, calls) = stage(|builder| builder.audit_leases(true));
    let mut peer = stage.open(ALICE, &FEATURES).await;
    let steps = json!([
        { "tool": ["search.web", "arcp"] },
        { "metric": ["cost.tool", 2, "USD"] },
        { "tool": ["search.web", "arcp"] },
        { "check": ["tool.call", "search.web"] },
    ]);
    let (said, events) = act(&mut peer, json!({ "cost.budget": ["USD:1"] }), steps).await;
    assert_eq!((&said[0]["about"], calls.load(Ordering::Relaxed)), (&json!("arcp"), 1));
    let warned = of_kind(&events, "log");
    assert_eq!(warned[0]["level"], "warn");
    assert!(warned[0]["message"].as_str().unwrap().contains("only audited"), "{warned:?}");
    assert_eq!(said[2]["code"], "BUDGET_EXHAUSTED", "money is not only audited");
    assert_eq!(said[3]["code"], "BUDGET_EXHAUSTED");
}

#[tokio::test(start_paused = true)]
async fn a_check_of_a_lease_that_is_only_audited_allows_what_would_be_carried_out_and_records_nothing() {
    let (stage, _) = stage(|builder| builder.audit_leases(true));
    let mut peer = stage.open(ALICE, &FEATURES).await;
    let steps = json!([{ "check": ["tool.call", "search.web"] }, { "check": ["fs.read", "relative"] }]);
    let (said, events) = act(&mut peer, json!({}), steps).await;
    assert_eq!(said[0], json!({ "allowed": true, "code": null }));
    assert_eq!(said[1]["code"], "PERMISSION_DENIED", "nobody could carry that out");
    assert!(events.is_empty(), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_agent_gives_up_has_a_result_for_those_who_watch() {
    let gives_up = arcp_tower::agent_fn(|(): (), job: arcp_tower::Job| async move {
        let call = job.tool("stuck", &());
        Ok(tokio::time::timeout(Duration::from_secs(1), call).await.is_err())
    });
    let (stage, _) = stage(|builder| builder.agent("gives-up", gives_up));
    let mut peer = stage.open(ALICE, &FEATURES).await;
    let lease = json!({ "tool.call": ["stuck"] });
    let job = peer.submit_with(json!({ "agent": "gives-up", "lease_request": lease })).await;
    let frames = peer.job(&job).await;
    assert_eq!(frames[1]["payload"]["kind"], "tool_result");
    assert_eq!(frames[1]["payload"]["body"]["error"]["code"], "CANCELLED");
    assert_eq!(frames[2]["payload"]["result"], true);
}

#[tokio::test(start_paused = true)]
async fn arguments_and_results_too_large_to_show_reach_the_tool_and_the_agent_whole() {
    let config = Config::default();
    let (stage, _) =
        stage(|builder| builder.tool("long", tool_fn(|text: String, _: Call| async move { Ok(text) })));
    let mut peer = stage.open(ALICE, &FEATURES).await;
    let text = "x".repeat(config.max_shown + 1);
    let (said, events) =
        act(&mut peer, json!({ "tool.call": ["long"] }), json!([{ "tool": ["long", text] }])).await;
    assert_eq!(said[0].as_str().unwrap().len(), text.len());
    assert_eq!(of_kind(&events, "tool_call")[0]["args"], json!({ "omitted_bytes": text.len() + 2 }));
    assert_eq!(of_kind(&events, "tool_result")[0]["result"], json!({ "omitted_bytes": text.len() + 2 }));
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_no_lease_was_asked_about_is_refused_by_its_backend() {
    let mut tool = tool_fn(|(): (), _: Call| async move { Ok(()) });
    let operation = Operation::new("tool.call".parse().unwrap(), "x", Json::null()).unwrap();
    let refused = tool.call(operation).await.unwrap_err();
    assert!(refused.to_string().contains("no lease"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn what_came_of_a_call_and_what_it_cost_is_said_though_the_agent_gives_up_while_its_client_is_behind() {
    let gives_up = arcp_tower::agent_fn(|(): (), job: arcp_tower::Job| async move {
        job.log(arcp_tower::Level::Info, "one of two").await?;
        let call = job.tool("priced", &());
        let given_up = tokio::time::timeout(Duration::from_secs(1), call).await.is_err();
        Ok(json!([given_up, job.budget()]))
    });
    let priced = service_fn(|_: Operation| async move {
        Ok::<_, BoxError>(Output::of("done")?.cost("USD".parse()?, "0.25".parse()?))
    });
    let config = timed(|c| c.window = 2);
    let (stage, _) =
        stage(|builder| builder.config(config).agent("gives-up", gives_up).tool("priced", priced));
    let mut peer = stage.open(ALICE, &FEATURES).await;
    peer.ack(0).await;
    let lease = json!({ "tool.call": ["priced"], "cost.budget": ["USD:1"] });
    let job = peer.submit_with(json!({ "agent": "gives-up", "lease_request": lease })).await;
    let frames = peer.job(&job).await;
    let events: Vec<Value> = frames.iter().map(|frame| frame["payload"].clone()).collect();
    assert_eq!(of_kind(&events, "tool_result")[0]["result"], "done", "{events:?}");
    let metrics = of_kind(&events, "metric");
    assert_eq!((&metrics[0]["name"], &metrics[0]["value"]), (&json!("cost.tool"), &json!(0.25)));
    assert_eq!((&metrics[1]["name"], &metrics[1]["value"]), (&json!("cost.budget.remaining"), &json!(0.75)));
    assert_eq!(frames.last().unwrap()["payload"]["result"], json!([true, { "USD": 0.75 }]));
}
