//! Agents and tools that say what they take and give, in JSON Schema: the inventory has it, and inputs are
//! held to it before there is a job (§6.2, §7.1), arguments before a tool is called.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arcp_client::Client;
use arcp_core::agent::AgentDescription;
use arcp_core::{Json, transport::Memory};
use arcp_tests::sessions::{Stack, code, open};
use arcp_tests::{ALICE, Memories, Peer, actor, tokens};
use arcp_tower::agent::schema::{described, description_of};
use arcp_tower::operation::Operation;
use arcp_tower::runtime::{BuildError, Builder};
use arcp_tower::{AuthLayer, Config, Job, Runtime, agent_fn, agent_service, tool_fn};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
struct Refactor {
    /// What to look at.
    paths: Vec<String>,
    #[schemars(range(min = 1, max = 8))]
    rounds: u8,
    #[serde(default, rename = "a/b~c")]
    #[schemars(inner(length(max = 3)))]
    words: Vec<String>,
}

const RAW: &str = r#"{"type":"object","required":["query"],
    "properties":{"query":{"type":"string","pattern":"^[a-z]+$"}},"additionalProperties":false}"#;

fn raw(schema: &str) -> impl arcp_tower::Agent {
    let agent = agent_fn(|input: Json, _: Job| async move { Ok(input) });
    described(agent, AgentDescription::new().input(Json::parse(schema.to_owned()).unwrap()))
}

fn agents() -> Builder {
    let refactor = |input: Refactor, _: Job| async move {
        Ok(input.paths.len() + input.words.len() + usize::from(input.rounds))
    };
    let service = agent_service(agent_fn(|input: Json, _: Job| async move { Ok(input) }));
    Runtime::builder()
        .agent("plain", agent_fn(|input: Json, _: Job| async move { Ok(input) }))
        .agent("raw", raw(RAW))
        .agent("refactor@1.0.0", agent_fn(refactor))
        .agent("refactor@2.0.0", agent_fn(refactor).typed().about("Rewrites code."))
        .agent("service", described(service, description_of::<Vec<u8>, Vec<u8>>()))
}

fn served(builder: Builder) -> Memories<Stack> {
    Memories::of(builder.build().unwrap().layer(AuthLayer::new(tokens())), &Config::default())
}

async fn ask(peer: &mut Peer<Memory>, payload: Value) -> Value {
    let id = peer.send("job.submit", payload).await;
    peer.reply(&id).await
}

#[tokio::test(start_paused = true)]
async fn an_input_that_does_not_fit_is_refused_with_the_json_pointer_of_its_fault() {
    let (mut peer, _) = open(&served(agents()), ALICE).await;
    let cases = [
        // What the type says, serde says.
        ("refactor", json!({ "paths": ["a", 7], "rounds": 1 }), "/paths/1"),
        ("refactor", json!({ "paths": [] }), ""),
        ("refactor", json!({ "paths": [], "rounds": 300 }), "/rounds"),
        // What only the schema says.
        ("refactor", json!({ "paths": [], "rounds": 9 }), "/rounds"),
        ("refactor", json!({ "paths": [], "rounds": 1, "a/b~c": ["x", "long"] }), "/a~1b~0c/1"),
        ("raw", json!("s3cret"), ""),
        ("raw", json!({ "query": "S3CRET" }), "/query"),
        ("raw", json!({ "query": "tides", "s3cret": 1 }), ""),
        ("raw", Value::Null, ""),
        ("service", json!([1, "s3cret"]), "/1"),
    ];
    for (agent, input, pointer) in cases {
        let refused = ask(&mut peer, json!({ "agent": agent, "input": input })).await;
        assert_eq!(code(&refused), "INVALID_REQUEST", "{agent} {input}");
        assert_eq!(refused["payload"]["details"]["pointer"], pointer, "{refused}");
        assert!(!refused.to_string().to_lowercase().contains("s3cret"), "{refused}");
    }
    let refused = ask(&mut peer, json!({ "agent": "service", "input": [1, -1] })).await;
    assert_eq!(refused["payload"]["details"]["path"], "input[1]");
    let id = peer.send("session.list_jobs", json!({})).await;
    assert_eq!(peer.reply(&id).await["payload"]["jobs"], json!([]));
    for (agent, input, result) in [
        ("refactor", json!({ "paths": ["a"], "rounds": 8 }), json!(9)),
        ("refactor@1.0.0", json!({ "paths": [], "rounds": 9 }), json!(9)),
        ("raw", json!({ "query": "tides" }), json!({ "query": "tides" })),
        ("service", json!([1]), json!([1])),
        ("plain", Value::Null, Value::Null),
    ] {
        let job = peer.submit(agent, input).await;
        assert_eq!(peer.job(&job).await.last().unwrap()["payload"]["result"], result, "{agent}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_of_a_submit_that_did_not_fit_is_free() {
    let (mut peer, _) = open(&served(agents()), ALICE).await;
    let submit = |query: &str| json!({ "agent": "raw", "input": { "query": query }, "idempotency_key": "k" });
    assert_eq!(code(&ask(&mut peer, submit("NO")).await), "INVALID_REQUEST");
    assert_eq!(ask(&mut peer, submit("yes")).await["type"], "job.accepted");
    assert_eq!(code(&ask(&mut peer, submit("other")).await), "DUPLICATE_KEY");
}

#[tokio::test(start_paused = true)]
async fn the_inventory_has_the_schemas_and_the_client_finds_them() {
    let server = served(agents());
    let client = Client::over(server.transport(64).0).token(ALICE).connect().await.unwrap();
    let session = client.session();
    let said = session.description("refactor").unwrap();
    assert_eq!(said.description.as_deref(), Some("Rewrites code."));
    let schema: Value = said.input_schema.as_ref().unwrap().decode().unwrap();
    assert_eq!(schema["required"], json!(["paths", "rounds"]));
    assert_eq!(schema["properties"]["rounds"]["maximum"], 8);
    assert_eq!(schema["properties"]["paths"]["description"], "What to look at.");
    let result: Value = said.output_schema.as_ref().unwrap().decode().unwrap();
    assert_eq!(result["type"], "integer");
    assert_eq!(session.description("refactor@2.0.0"), Some(said));
    for nothing in ["refactor@1.0.0", "refactor@3.0.0", "plain", "nobody"] {
        assert_eq!(session.description(nothing), None, "{nothing}");
    }
    assert_eq!(session.agents().len(), 4);
    client.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_has_no_room_in_the_welcome_is_left_out_and_in_force_all_the_same() {
    let config = Config::default().with(|c| c.described_bytes = 300);
    let large = format!(r#"{{"type":"string","$comment":"{}"}}"#, "x".repeat(300));
    let builder = Runtime::builder().agent("large", raw(&large)).agent("small", raw(RAW)).config(config);
    let server = served(builder);
    let (mut peer, welcome) = open(&server, ALICE).await;
    let agents = &welcome["payload"]["capabilities"]["agents"];
    assert_eq!(agents[0]["x-vendor.arcp.described"], json!({ "1.0.0": { "omitted": true } }));
    assert_eq!(agents[1]["x-vendor.arcp.described"]["1.0.0"]["input_schema"]["required"], json!(["query"]));
    assert_eq!(code(&ask(&mut peer, json!({ "agent": "large", "input": 1 })).await), "INVALID_REQUEST");
}

#[derive(Deserialize, JsonSchema)]
struct Search {
    query: String,
    #[schemars(range(min = 1, max = 50))]
    limit: u8,
}

#[tokio::test(start_paused = true)]
async fn arguments_that_do_not_fit_are_refused_with_the_json_pointer_before_the_tool_is_reached() {
    let reached = Arc::new(AtomicUsize::new(0));
    let (around, within) = (reached.clone(), reached.clone());
    let search = tool_fn(move |args: Search, _| {
        within.fetch_add(1, Ordering::Relaxed);
        async move { Ok(vec![args.query; usize::from(args.limit)]) }
    });
    let says = search.description().about("Searches the web.");
    // A layer of its own is behind the check, too.
    let layered = tower::util::MapRequestLayer::new(move |operation: Operation| {
        around.fetch_add(1, Ordering::Relaxed);
        operation
    });
    let search = tower::ServiceBuilder::new().layer(layered).service(search);
    let raw = tool_fn(|args: Json, _| async move { Ok(args) });
    let builder = actor(Runtime::builder())
        .described_tool("search.web", search, says)
        .described_tool("raw", raw.clone(), AgentDescription::new().input(Json::parse(RAW).unwrap()))
        .tool("plain", raw);
    let server = served(builder);
    let (mut peer, _) = open(&server, ALICE).await;
    let cases = [
        ("search.web", json!({ "query": 7, "limit": 1 }), "/query"),
        ("search.web", json!({ "limit": 1 }), ""),
        ("search.web", json!({ "query": "s3cret", "limit": 51 }), "/limit"),
        ("search.web", json!("s3cret"), ""),
        ("raw", json!({ "query": "S3CRET" }), "/query"),
        ("raw", json!({ "query": "tides", "s3cret": 1 }), ""),
    ];
    let steps: Vec<_> = cases.iter().map(|(tool, args, _)| json!({ "tool": [tool, args] })).collect();
    let lease = json!({ "tool.call": ["**"] });
    let submit = json!({ "agent": "actor", "input": steps, "lease_request": lease });
    let job = peer.submit_with(submit).await;
    let frames = peer.job(&job).await;
    let told = frames.iter().filter(|frame| frame["payload"]["kind"] == "tool_result");
    let told: Vec<_> = told.map(|frame| &frame["payload"]["body"]["error"]).collect();
    assert_eq!(told.len(), cases.len());
    for ((tool, args, pointer), told) in cases.iter().zip(told) {
        assert_eq!(told["code"], "INVALID_REQUEST", "{tool} {args}: {told}");
        assert_eq!(told["details"]["pointer"], *pointer, "{tool} {args}: {told}");
        assert!(told["details"]["path"].as_str().unwrap().starts_with("args"), "{told}");
        assert!(!told.to_string().to_lowercase().contains("s3cret"), "{told}");
    }
    assert_eq!(reached.load(Ordering::Relaxed), 0);

    let steps = json!([
        { "tool": ["search.web", { "query": "a", "limit": 2 }] },
        { "tool": ["raw", { "query": "tides" }] },
        { "tool": ["plain", { "query": "ANYTHING" }] },
    ]);
    let submit = json!({ "agent": "actor", "input": steps, "lease_request": { "tool.call": ["**"] } });
    let job = peer.submit_with(submit).await;
    let end = peer.job(&job).await.pop().unwrap();
    assert_eq!(end["payload"]["result"], json!([["a", "a"], { "query": "tides" }, { "query": "ANYTHING" }]));
    assert_eq!(reached.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn an_agent_finds_the_tools_that_its_lease_covers_and_what_they_take() {
    let search = tool_fn(|args: Search, _| async move { Ok(args.query) });
    let says = search.description().about("Searches the web.");
    let plain = tool_fn(|(): (), _| async move { Ok(()) });
    let knows = agent_fn(|(): (), job: Job| async move {
        let said = job.tools().into_iter().map(|tool| {
            json!([tool.name, tool.description, tool.input_schema, tool.output_schema.is_some()])
        });
        Ok(said.collect::<Vec<_>>())
    });
    let builder = Runtime::builder()
        .described_tool("search.web", search, says)
        .tool("search.all", plain.clone())
        .tool("shell", plain)
        .agent("knows", knows);
    let (mut peer, _) = open(&served(builder), ALICE).await;
    for (lease, names) in [
        (json!({ "tool.call": ["search.*"] }), vec!["search.all", "search.web"]),
        (json!({ "tool.call": ["shell"] }), vec!["shell"]),
        (json!({}), vec![]),
    ] {
        let job = peer.submit_with(json!({ "agent": "knows", "lease_request": lease })).await;
        let tools = peer.job(&job).await.pop().unwrap()["payload"]["result"].as_array().unwrap().clone();
        assert_eq!(tools.iter().map(|tool| tool[0].as_str().unwrap()).collect::<Vec<_>>(), names);
        if let [plain, search] = tools.as_slice() {
            assert_eq!(*plain, json!(["search.all", null, null, false]));
            assert_eq!((&search[1], &search[3]), (&json!("Searches the web."), &json!(true)));
            assert_eq!(search[2]["properties"]["limit"]["maximum"], 50);
        }
    }
}

#[tokio::test]
async fn a_runtime_with_a_schema_that_cannot_be_used_is_not_built() {
    for schema in [
        r#"{"type":"strin"}"#,
        r#"{"pattern":"("}"#,
        r#"{"$ref":"https://schemas.invalid/a.json"}"#,
        r#"{"$ref":"file:///etc/hostname"}"#,
        "7",
    ] {
        let built = Runtime::builder().agent("odd", raw(schema)).build();
        assert!(matches!(built, Err(BuildError::Schema { ref agent, .. }) if agent == "odd"), "{schema}");
        let says = AgentDescription::new().input(Json::parse(schema.to_owned()).unwrap());
        let tool = tool_fn(|(): (), _| async move { Ok(()) });
        let built = Runtime::builder().described_tool("odd", tool, says).build();
        assert!(matches!(built, Err(BuildError::Operation { ref name, .. }) if name == "odd"), "{schema}");
    }
}
