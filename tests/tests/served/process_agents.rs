//! Agents that are programs: what they are given, what becomes of what they say, and their ends.
#![cfg(unix)]

use std::time::Duration;

use arcp_client::{Client, JobError, JobFailure, JobHandle, Program, ProgramLimits};
use arcp_core::job::FinalStatus;
use arcp_core::{Code, Features, Json, Timestamp};
use arcp_process::{ProcessAgent, ProcessConfig};
use arcp_tests::server::Memories;
use arcp_tests::{ALICE, tokens};
use arcp_tower::{AgentError, AuthLayer, Config, Job, Level, Runtime, agent_fn};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

/// The agents that the child has and that are hosted here.
const AGENTS: [&str; 12] = [
    "aborts", "actor", "chatty", "chunker", "dies", "fails", "forges", "greedy", "late", "large", "slow",
    "stubborn",
];

pub(crate) fn child(habit: &str) -> Program {
    let mut limits = ProgramLimits::default();
    limits.stop = Duration::from_millis(300);
    Program::new(env!("CARGO_BIN_EXE_child")).args([habit]).limits(limits)
}

/// A runtime whose agents are a program.
pub(crate) struct Hosting {
    pub(crate) client: Client,
    agents: Vec<ProcessAgent>,
    who: ProcessAgent,
}

impl Hosting {
    pub(crate) async fn of(program: &Program, change: impl Fn(&mut ProcessConfig)) -> Self {
        Self::with(program, change, arcp_client::implemented()).await
    }

    pub(crate) async fn with(
        program: &Program,
        change: impl Fn(&mut ProcessConfig),
        features: Features,
    ) -> Self {
        let config = Config::default();
        let mut builder = Runtime::builder().config(config.clone());
        // One program for all of them would be theirs together; each agent has its own.
        let agent = |name: &str| {
            let agent = ProcessAgent::new(name, program).unwrap();
            agent.config(ProcessConfig::default().with(&change))
        };
        let agents: Vec<_> = AGENTS.iter().map(|name| agent(name)).collect();
        for (name, agent) in AGENTS.iter().zip(&agents) {
            builder = builder.agent(*name, agent.clone());
        }
        let who = agent("who");
        let runtime = builder
            .agent("who", who.clone())
            .agent("waits", agent_fn(waits))
            .agent("delegates", agent_fn(delegates))
            .build()
            .unwrap()
            .layer(AuthLayer::new(tokens()));
        let (transport, _) = Memories::of(runtime, &config).transport(64);
        let client = Client::over(transport).token(ALICE).features(features).connect().await.unwrap();
        Self { client, agents, who }
    }

    pub(crate) async fn submit(&self, agent: &str, input: Value) -> JobHandle {
        self.client.submit(agent).input(&input).send().await.unwrap()
    }

    pub(crate) async fn fails(&self, agent: &str, input: Value) -> JobFailure {
        failure(&mut self.submit(agent, input).await).await
    }

    pub(crate) async fn pid(&self) -> u64 {
        let outcome = self.submit("who", json!({})).await.result().await.unwrap();
        outcome.decode::<Value>().unwrap()["pid"].as_u64().unwrap()
    }

    pub(crate) async fn stop(self) {
        self.who.stop().await;
        for agent in &self.agents {
            agent.stop().await;
        }
    }
}

/// One that is no program.
async fn waits(_: Json, job: Job) -> Result<(), AgentError> {
    job.log(Level::Info, "mine").await?;
    job.cancelled().await;
    Ok(())
}

/// One that has a program do its work, with its own money.
async fn delegates((agent, input): (String, Json), job: Job) -> Result<Json, AgentError> {
    let child = job.delegate(&agent, &input).send().await?;
    Ok(child.result().await?.result)
}

pub(crate) async fn failure(job: &mut JobHandle) -> JobFailure {
    match job.result().await {
        Err(JobError::Ended(failure)) => failure,
        other => panic!("it must end badly: {other:?}"),
    }
}

/// Kinds and bodies of what came.
pub(crate) async fn events(job: &mut JobHandle) -> Vec<(String, Value)> {
    let mut events = vec![];
    while let Some(event) = job.next().await {
        let payload: Value = event.unwrap().payload.decode().unwrap();
        events.push((payload["kind"].as_str().unwrap().to_owned(), payload["body"].clone()));
    }
    events
}

pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}");
}

#[tokio::test]
async fn a_program_is_given_the_job_s_input_trace_and_lease_with_what_is_left_of_its_budget() {
    let hosting = Hosting::of(&child(""), |_| {}).await;
    let ends = Timestamp::from_millis(4_102_444_800_000);
    let trace = "0123456789abcdef0123456789abcdef".parse().unwrap();
    let submit = hosting.client.submit("who").input(&json!({})).trace_id(trace).expires_at(ends);
    let submit = submit.lease("tool.call", ["search.*"]).lease("cost.budget", ["USD:1.50"]);
    let mut job = submit.lease("x-vendor.acme.gpu", ["h100"]).send().await.unwrap();
    let said: Value = job.result().await.unwrap().decode().unwrap();
    let lease = json!({
        "tool.call": ["search.*"], "cost.budget": ["USD:1.5"], "x-vendor.acme.gpu": ["h100"],
    });
    assert_eq!(said["lease"], lease);
    assert_eq!(said["expires_at"], json!(ends));
    assert_eq!(said["trace"], "0123456789abcdef0123456789abcdef");

    // A cost there is a cost here, and told once.
    let spend = json!([{ "metric": ["cost.tool", 0.4, "USD"] }, "budget"]);
    let submit = hosting.client.submit("actor").input(&spend).lease("cost.budget", ["USD:1.00"]);
    let mut job = submit.send().await.unwrap();
    let told = events(&mut job).await;
    let metrics: Vec<_> =
        told.iter().map(|(_, body)| (body["name"].clone(), body["value"].clone())).collect();
    let wanted = [(json!("cost.tool"), json!(0.4)), (json!("cost.budget.remaining"), json!(0.6))];
    assert_eq!(metrics, wanted);
    assert_eq!(job.result().await.unwrap().decode::<Value>().unwrap()[1], json!({ "USD": 0.6 }));
    hosting.stop().await;
}

#[tokio::test]
async fn bad_input_40_what_a_program_says_becomes_the_job_s_and_what_only_its_runtime_may_say_does_not() {
    let hosting = Hosting::of(&child("forges"), |_| {}).await;
    let submit = hosting.client.submit("forges").lease("cost.budget", ["USD:1.00"]);
    let mut job = submit.send().await.unwrap();
    let told = events(&mut job).await;
    assert!(!format!("{told:?}").contains("sk-secret"), "{told:?}");
    let wanted = json!([
        ["metric", { "name": "cost.tool", "value": 0.25, "unit": "USD", "x-more": true }],
        ["metric", { "name": "cost.budget.remaining", "value": 0.75, "unit": "USD" }],
        ["delegate", { "agent": "helper" }],
        ["log", { "level": "notice", "message": "hello", "data": { "k": [1, 2] } }],
        ["x-vendor.acme.note", { "text": "a vendor's" }],
        ["telemetry", { "of": "a later version" }],
    ]);
    assert_eq!(json!(told), wanted);
    assert_eq!(job.result().await.unwrap().decode::<String>().unwrap(), "done");
    // What the job needs and the program does not know is no grant that is left out.
    let mut job = hosting.client.submit("forges").lease("model.use", ["tier/*"]).send().await.unwrap();
    let failure = failure(&mut job).await;
    assert_eq!(failure.error.code(), Code::InvalidRequest);
    assert_eq!(failure.error.details().unwrap().as_str(), r#"{"feature":"model.use"}"#);
    hosting.stop().await;
}

#[tokio::test]
async fn bad_input_40_an_event_or_an_end_for_another_job_s_id_reaches_neither_job() {
    let hosting = Hosting::of(&child("forges"), |_| {}).await;
    let mut other = hosting.submit("waits", Value::Null).await;
    other.next().await.unwrap().unwrap();
    let mut job = hosting.submit("forges", json!({ "job_id": other.id() })).await;
    let told = events(&mut job).await;
    assert!(!told.is_empty() && !format!("{told:?}").contains("forged"), "{told:?}");
    assert_eq!(job.result().await.unwrap().decode::<String>().unwrap(), "done");

    other.cancel(None).await.unwrap();
    assert_eq!(events(&mut other).await, [], "nothing came between");
    assert_eq!(failure(&mut other).await.final_status, FinalStatus::Cancelled);
    hosting.stop().await;
}

#[tokio::test]
async fn results_and_ends_are_those_of_the_program_s_job() {
    let hosting = Hosting::of(&child(""), |_| {}).await;
    let input = json!({ "pieces": ["ab", "cé"], "encoding": "base64", "repeat": 70_000 });
    let outcome = hosting.submit("chunker", input.clone()).await.result().await.unwrap();
    assert_eq!((outcome.streamed().unwrap().len(), outcome.result_size), (350_000, Some(350_000)));
    assert_eq!(outcome.summary.as_deref(), Some("in pieces"));
    let large = hosting.submit("large", json!(3_000_000)).await.result().await.unwrap();
    assert_eq!(large.decode::<String>().unwrap().len(), 3_000_000);

    let failed = hosting.fails("fails", json!({ "ms": 0 })).await;
    assert_eq!((failed.final_status, failed.error.message()), (FinalStatus::Error, "boom"));
    let late = hosting.fails("late", Value::Null).await;
    assert_eq!((late.final_status, late.error.code()), (FinalStatus::TimedOut, Code::Timeout));
    assert_eq!(late.error.message(), "its own time was up");
    hosting.stop().await;

    // A client that takes no streamed result gets it inline.
    let none = Features::of(&[]);
    let hosting = Hosting::with(&child(""), |_| {}, none).await;
    let input = json!({ "pieces": ["ab", "cd"], "encoding": "utf8", "repeat": 1 });
    let outcome = hosting.submit("chunker", input).await.result().await.unwrap();
    assert_eq!(outcome.decode::<String>().unwrap(), "abcd");
    hosting.stop().await;
}

/// A command line that runs a script.
pub(crate) fn shell(script: &str) -> String {
    format!("sh -c '{script}'")
}

#[tokio::test]
async fn a_program_that_knows_of_no_models_takes_a_job_that_may_use_none() {
    let hosting = Hosting::of(&child("forges"), |_| {}).await;
    let submit = hosting.client.submit("delegates").input(&("forges", ()));
    let submit = submit.lease("agent.delegate", ["*"]).lease("model.use", ["tier-fast/*"]);
    let outcome = submit.send().await.unwrap().result().await.unwrap();
    assert_eq!(outcome.decode::<String>().unwrap(), "done");
    hosting.stop().await;
}
