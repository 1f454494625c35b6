//! Agents that are programs: what they are given, what becomes of what they say, and their ends.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arcp_client::{Client, JobError, JobFailure, JobHandle, Program, ProgramLimits};
use arcp_core::job::FinalStatus;
use arcp_core::{Code, Features, Json, Timestamp};
use arcp_process::{ProcessAgent, ProcessConfig};
use arcp_tests::server::Memories;
use arcp_tests::{ALICE, tokens};
use arcp_tower::{AgentError, AuthLayer, Config, Job, Level, Runtime, agent_fn};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

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

    async fn with(program: &Program, change: impl Fn(&mut ProcessConfig), features: Features) -> Self {
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

    async fn submit(&self, agent: &str, input: Value) -> JobHandle {
        self.client.submit(agent).input(&input).send().await.unwrap()
    }

    async fn fails(&self, agent: &str, input: Value) -> JobFailure {
        failure(&mut self.submit(agent, input).await).await
    }

    async fn pid(&self) -> u64 {
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

fn lives(pid: u64) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
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

#[tokio::test]
async fn a_cancellation_reaches_the_program_and_one_that_does_not_heed_it_gets_no_new_jobs() {
    let hosting = Hosting::of(&child(""), |config| config.cancel = Duration::from_millis(200)).await;
    let begun = Instant::now();
    for agent in ["slow", "actor"] {
        let input = if agent == "slow" { json!({}) } else { json!(["until_cancelled"]) };
        let mut job = hosting.submit(agent, input).await;
        if agent == "slow" {
            job.next().await.unwrap().unwrap();
        }
        job.cancel(Some("enough")).await.unwrap();
        assert_eq!(failure(&mut job).await.final_status, FinalStatus::Cancelled, "{agent}");
    }
    // Its agent ignores the cancellation, and its runtime waits a second for it.
    let mut job = hosting.submit("stubborn", json!({})).await;
    job.next().await.unwrap().unwrap();
    job.cancel(None).await.unwrap();
    assert_eq!(failure(&mut job).await.final_status, FinalStatus::Cancelled);
    assert!(begun.elapsed() < Duration::from_secs(20), "no grace of 30 s was waited for");
    hosting.stop().await;
}

#[tokio::test]
async fn jobs_share_a_process_and_one_that_dies_is_followed_by_another() {
    let program = child("");
    let hosting = Hosting::of(&program, |config| config.backoff_first = Duration::from_millis(10)).await;
    let first = hosting.pid().await;
    assert_eq!(hosting.pid().await, first);
    for _ in 0..3 {
        let mut job = hosting.submit("dies", json!({})).await;
        assert_eq!(
            events(&mut job).await,
            [("log".to_owned(), json!({ "level": "info", "message": "last words" }))]
        );
        let died = failure(&mut job).await;
        assert_eq!((died.final_status, died.error.code()), (FinalStatus::Error, Code::InternalError));
        assert!(died.error.retryable() && died.error.message().contains("exit status: 3"), "{}", died.error);
        assert_eq!(died.error.details().unwrap().as_str(), r#"{"reason":"process_lost"}"#);
    }
    // Killed from outside.
    let killed = std::process::Command::new("kill").args(["-9", &first.to_string()]).status().unwrap();
    assert!(killed.success());
    until("it is reaped", || !lives(first)).await;
    let mut pid = hosting.submit("who", json!({})).await.result().await;
    if pid.is_err() {
        // The end of the process had not been seen.
        pid = hosting.submit("who", json!({})).await.result().await;
    }
    let second = pid.unwrap().decode::<Value>().unwrap()["pid"].as_u64().unwrap();
    assert_ne!(first, second);
    hosting.stop().await;
    assert!(!lives(second), "it is stopped with its agent");
}

#[tokio::test]
async fn bad_input_46_a_program_that_aborts_or_takes_all_its_memory_ends_its_job_and_not_the_runtime() {
    // What a program may take is for the operating system to say.
    let limited = format!("ulimit -c 0; ulimit -v 8000000; exec {}", env!("CARGO_BIN_EXE_child"));
    let program = Program::new("sh").args(["-c", limited.as_str()]);
    let hosting = Hosting::of(&program, |config| config.backoff_first = Duration::from_millis(10)).await;
    for agent in ["aborts", "greedy"] {
        let mut job = hosting.submit(agent, json!({})).await;
        assert_eq!(events(&mut job).await.len(), 1, "{agent}");
        let died = failure(&mut job).await;
        assert_eq!((died.final_status, died.error.code()), (FinalStatus::Error, Code::InternalError));
        assert!(died.error.retryable() && died.error.message().contains("signal: 6"), "{}", died.error);
        assert_eq!(died.error.details().unwrap().as_str(), r#"{"reason":"process_lost"}"#);
        hosting.client.ping().await.unwrap();
    }
    hosting.pid().await;
    hosting.stop().await;
}

#[tokio::test]
async fn a_program_that_does_not_start_or_never_answers_ends_the_job_and_not_the_runtime() {
    let cases = [
        (Program::new("/nonexistent/agent"), "No such file"),
        (Program::new("false"), "exit status: 1"),
        (child("mute"), "within the time allowed"),
    ];
    for (program, words) in cases {
        let hosting = Hosting::of(&program, |config| {
            (config.starts, config.backoff_first) = (2, Duration::from_millis(20));
            config.client.hello_timeout = Duration::from_millis(300);
        })
        .await;
        let failed = hosting.fails("slow", json!({})).await;
        assert_eq!(failed.error.code(), Code::AgentNotAvailable, "{program}");
        assert!(failed.error.retryable() && failed.error.message().contains(words), "{}", failed.error);
        // Many who wait for the same wait no longer than one.
        let begun = Instant::now();
        let many = (0..20).map(|_| hosting.fails("slow", json!({})));
        futures_util::future::join_all(many).await;
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        // A job that is cancelled meanwhile does not wait for it.
        let mut job = hosting.submit("slow", json!({})).await;
        job.cancel(None).await.unwrap();
        assert_eq!(failure(&mut job).await.final_status, FinalStatus::Cancelled);
        hosting.client.ping().await.unwrap();
        hosting.stop().await;
    }
}

/// What was logged.
#[derive(Debug, Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Logged {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Logged {
    fn lines(&self, of: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(of)).map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn what_a_program_prints_beside_its_frames_is_logged_within_bounds_and_ends_nothing() {
    let logged = Logged::default();
    let subscriber = tracing_subscriber::fmt().with_writer(logged.clone()).with_ansi(false);
    let _guard = tracing::subscriber::set_default(subscriber.with_max_level(tracing::Level::INFO).finish());

    let hosting = Hosting::of(&child("prints"), |_| {}).await;
    hosting.pid().await;
    until("all of it is logged", || logged.lines(r"said \\u{1b}[31mloudly").len() == 5).await;
    hosting.stop().await;
    for words in ["number 4", "JSON that is no frame", "no UTF-8: \u{fffd}", "xxxxx…"] {
        assert!(!logged.lines(words).is_empty(), "{words}");
    }
    assert!(logged.lines("").iter().all(|line| line.len() < 1400 && !line.contains('\u{1b}')));

    // Without end, and still every event arrives.
    logged.0.lock().unwrap().clear();
    let begun = Instant::now();
    let hosting = Hosting::of(&child("floods"), |_| {}).await;
    let mut job = hosting.submit("chatty", json!({ "count": 500, "delay_ms": 1 })).await;
    let told = events(&mut job).await;
    assert_eq!(told.len(), 500);
    job.result().await.unwrap();
    hosting.stop().await;
    let most = 100.0 + 20.0 * begun.elapsed().as_secs_f64();
    let printed = logged.lines("printed what is no frame").len() + logged.lines(" said ").len();
    let printed = f64::from(u32::try_from(printed).unwrap());
    assert!((20.0..2.0 * most).contains(&printed), "{printed} of at most {most}");
    assert!(!logged.lines("said more lines than are logged").is_empty());
}

#[tokio::test]
async fn a_program_that_clings_to_life_is_killed_and_leaves_no_zombie() {
    let hosting = Hosting::of(&child("clings"), |_| {}).await;
    let pid = hosting.pid().await;
    assert!(lives(pid));
    let begun = Instant::now();
    hosting.stop().await;
    assert!(!lives(pid), "nothing is left, not even to be waited for");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_server_that_is_killed_takes_its_programs_along() {
    use arcp_tests::command::{Serving, binary};
    let dir = tempfile::tempdir().unwrap();
    let said: PathBuf = dir.path().join("pid");
    let script =
        format!("echo $$ > {}; exec {} serve --stdio --demo-agents", said.display(), binary().display());
    let agent = format!("slow={}", shell(&script));
    let mut serving = Serving::start(&["--token", "secret", "--agent", &agent]);
    let client = Client::builder(&serving.url).token("secret").connect().await.unwrap();
    let mut job = client.submit("slow").input(&json!({ "seconds": 3600 })).send().await.unwrap();
    job.next().await.unwrap().unwrap();
    let pid: u64 = std::fs::read_to_string(&said).unwrap().trim().parse().unwrap();
    assert!(lives(pid));
    serving.signal("KILL");
    serving.ended();
    until("its input has ended, and so has it", || !lives(pid)).await;
}

/// A command line that runs a script.
fn shell(script: &str) -> String {
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
