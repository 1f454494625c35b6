//! The agents of the demonstration, which the interoperability drivers and the benchmark count on.
//! They are written as any user of the crates would write them.

mod authority;

use std::time::Duration;

use arcp_tower::core::wire::event::{ArtifactRef, Encoding};
use arcp_tower::core::{Code, Error, Json};
use arcp_tower::{AgentError, Builder, Job, Level, agent_fn, tool_fn};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::demo_credentials::{DemoKeys, credential};

/// All of them.
pub(crate) fn all(builder: Builder) -> Builder {
    echo(builder)
        .agent("chatty", agent_fn(chatty).typed().about("Logs lines."))
        .agent("slow", agent_fn(slow).typed().about("Takes its time, unless it is cancelled."))
        .agent("chunker", agent_fn(chunker))
        .agent("progress", agent_fn(progress).typed().about("Reports how far it is."))
        .agent("fails", agent_fn(fails))
        .agent("kinds", agent_fn(kinds))
        .agent("spender", agent_fn(authority::spender))
        .agent("leaseprobe", agent_fn(authority::leaseprobe))
        .agent("delegator", agent_fn(authority::delegator))
        .tool("search", tool_fn(authority::search))
        .agent("credential", agent_fn(credential))
        .credentials("openai", DemoKeys::default())
}

/// `echo`, in two versions: its result is its input, to the letter.
pub(crate) fn echo(builder: Builder) -> Builder {
    let echo = |input: Json, _: Job| async move { Ok(input) };
    builder.agent("echo@1.0.0", agent_fn(echo)).agent("echo@2.0.0", agent_fn(echo))
}

#[derive(Deserialize, JsonSchema)]
struct Chatty {
    count: u64,
    #[serde(default)]
    delay_ms: u64,
    #[serde(default)]
    start_delay_ms: u64,
}

async fn chatty(input: Chatty, job: Job) -> Result<Value, AgentError> {
    if input.start_delay_ms > 0 {
        sleep(Duration::from_millis(input.start_delay_ms)).await;
    }
    for i in 0..input.count {
        job.log(Level::Info, format!("line {i}")).await?;
        if input.delay_ms > 0 {
            sleep(Duration::from_millis(input.delay_ms)).await;
        }
    }
    Ok(json!({ "emitted": input.count }))
}

#[derive(Deserialize, JsonSchema)]
struct Slow {
    #[serde(default = "thirty")]
    seconds: serde_json::Number,
    #[serde(default)]
    tick_ms: u64,
}

fn thirty() -> serde_json::Number {
    30.into()
}

async fn slow(input: Slow, job: Job) -> Result<Value, AgentError> {
    job.status("working").await?;
    let seconds = input.seconds.as_f64().unwrap_or_default();
    let length =
        Duration::try_from_secs_f64(seconds).map_err(|_| Error::fault("input.seconds", "must be a time"))?;
    let ticks = async {
        if input.tick_ms == 0 {
            return std::future::pending().await;
        }
        for i in 0.. {
            sleep(Duration::from_millis(input.tick_ms)).await;
            job.log(Level::Info, format!("tick {i}")).await?;
        }
        Ok::<_, Error>(())
    };
    tokio::select! {
        () = sleep(length) => {}
        () = job.cancelled() => {}
        ticked = ticks => ticked?,
    }
    Ok(json!({ "slept": input.seconds }))
}

#[derive(Deserialize)]
struct Chunker {
    #[serde(default = "five_thousand")]
    size: usize,
    #[serde(default = "one_thousand")]
    chunk: usize,
    #[serde(default = "utf8")]
    encoding: Encoding,
}

fn five_thousand() -> usize {
    5000
}

fn one_thousand() -> usize {
    1000
}

fn utf8() -> Encoding {
    Encoding::Utf8
}

async fn chunker(input: Chunker, job: Job) -> Result<(), AgentError> {
    let (first, span) = match input.encoding {
        Encoding::Utf8 => (b'a', 26),
        Encoding::Base64 => (0, 256),
    };
    let byte = |i: usize| first + u8::try_from(i % span).unwrap_or_default();
    let mut result = job.result_stream(input.encoding)?;
    let chunk = input.chunk.max(1);
    for from in (0..input.size).step_by(chunk) {
        let piece: Vec<u8> = (from..input.size.min(from + chunk)).map(byte).collect();
        result.write(piece).await?;
    }
    result.finish().await?;
    Ok(())
}

#[derive(Deserialize, JsonSchema)]
struct Progress {
    #[serde(default = "five")]
    total: u64,
    #[serde(default)]
    delay_ms: u64,
}

fn five() -> u64 {
    5
}

async fn progress(input: Progress, job: Job) -> Result<Value, AgentError> {
    for current in 1..=input.total {
        sleep(Duration::from_millis(input.delay_ms)).await;
        job.progress(current).total(input.total).units("items").send().await?;
    }
    Ok(json!({ "done": input.total }))
}

#[derive(Deserialize)]
struct Fails {
    #[serde(default = "boom")]
    message: String,
    #[serde(default)]
    code: Option<String>,
}

fn boom() -> String {
    "boom".to_owned()
}

async fn fails(input: Fails, _: Job) -> Result<(), AgentError> {
    match input.code {
        Some(code) => {
            let code: Code = code.parse()?;
            Err(Error::new(code, input.message).into())
        }
        None => Err(input.message.into()),
    }
}

async fn kinds(_: Json, job: Job) -> Result<Value, AgentError> {
    const NOTE: &str = "x-vendor.acme.note";
    job.log(Level::Info, "a line").await?;
    job.thought("a thought").await?;
    job.status_with("working", Some("on all kinds")).await?;
    job.metric("tokens.used", 7, Some("tokens")).await?;
    let call = job.tool_call("search", &json!({ "q": "arcp" })).await?;
    job.tool_result(&call, Ok(json!({ "hits": 3 }))).await?;
    job.artifact(ArtifactRef {
        uri: "https://example.com/report.txt".to_owned(),
        content_type: "text/plain".to_owned(),
        byte_size: Some(12),
        sha256: None,
    })
    .await?;
    job.progress(1).total(1).send().await?;
    job.emit(NOTE, &json!({ "text": "hello" })).await?;
    Ok(json!({ "kinds": [
        "log", "thought", "status", "metric", "tool_call", "tool_result", "artifact_ref", "progress", NOTE,
    ] }))
}
