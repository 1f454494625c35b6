//! Agents that do one thing each.

use std::time::Duration;

use arcp_tower::core::wire::event::Encoding;
use arcp_tower::core::{Error, Json};
use arcp_tower::{AgentError, Builder, Job, Level, agent_fn};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

/// All of them.
pub fn all(builder: Builder) -> Builder {
    let echo = |input: Json, _: Job| async move { Ok(input) };
    builder
        .agent("echo@1.0.0", agent_fn(echo))
        .agent("echo@2.0.0", agent_fn(echo))
        .agent("typed", agent_fn(|input: Typed, _: Job| async move { Ok(input.items.len()) }))
        .agent("length", agent_fn(|input: String, _: Job| async move { Ok(input.len()) }))
        .agent("chatty", agent_fn(chatty))
        .agent("swarm", agent_fn(swarm))
        .agent("slow", agent_fn(slow))
        .agent("stubborn", agent_fn(stubborn))
        .agent("spinning", agent_fn(spinning))
        .agent("panics", agent_fn(panics))
        .agent("fails", agent_fn(fails))
        .agent("large", agent_fn(large))
        .agent("chunker", agent_fn(chunker))
        .agent("progress", agent_fn(progress))
}

/// The input of `typed`.
#[derive(Debug, Deserialize)]
pub struct Typed {
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    #[serde(rename = "count")]
    _count: u32,
}

#[derive(Deserialize)]
struct Chatty {
    count: u64,
    #[serde(default)]
    delay_ms: u64,
    #[serde(default)]
    bytes: usize,
}

/// Logs `count` lines of at least `bytes` bytes, and minds no cancellation.
async fn chatty(input: Chatty, job: Job) -> Result<Value, AgentError> {
    for i in 0..input.count {
        job.log(Level::Info, format!("line {i} {}", "x".repeat(input.bytes))).await?;
        if input.delay_ms > 0 {
            sleep(Duration::from_millis(input.delay_ms)).await;
        }
    }
    Ok(json!({ "emitted": input.count }))
}

#[derive(Deserialize)]
struct Swarm {
    emitters: u64,
    each: u64,
}

/// Logs from `emitters` tasks at once, `each` lines in each of them.
async fn swarm(input: Swarm, job: Job) -> Result<Value, AgentError> {
    let mut tasks = Vec::new();
    for emitter in 0..input.emitters {
        let job = job.clone();
        tasks.push(tokio::spawn(async move {
            for i in 0..input.each {
                job.log(Level::Info, format!("{emitter}/{i}")).await?;
                if (emitter + i) % 3 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            Ok::<_, Error>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(json!(input.emitters * input.each))
}

#[derive(Deserialize)]
struct Slow {
    #[serde(default = "an_hour")]
    ms: u64,
}

fn an_hour() -> u64 {
    3_600_000
}

/// Sleeps, and ends early when it should.
async fn slow(input: Slow, job: Job) -> Result<Value, AgentError> {
    job.status("working").await?;
    tokio::select! {
        () = sleep(Duration::from_millis(input.ms)) => Ok(json!("slept")),
        () = job.cancelled() => Ok(json!("woken")),
    }
}

/// Sleeps, whatever anybody wants.
async fn stubborn(input: Slow, job: Job) -> Result<Value, AgentError> {
    job.status("working").await?;
    sleep(Duration::from_millis(input.ms)).await;
    Ok(json!("slept"))
}

/// Never sleeps, and never ends.
async fn spinning(_: Json, job: Job) -> Result<Value, AgentError> {
    job.status("working").await?;
    loop {
        tokio::task::yield_now().await;
    }
}

/// Panics after a while, with words that nobody should see.
async fn panics(input: Slow, job: Job) -> Result<Value, AgentError> {
    job.status("working").await?;
    sleep(Duration::from_millis(input.ms)).await;
    panic!("the password is 4711");
}

/// Fails after a while.
async fn fails(input: Slow, job: Job) -> Result<Value, AgentError> {
    job.status("working").await?;
    sleep(Duration::from_millis(input.ms)).await;
    Err("boom".into())
}

/// Has a result of `bytes` bytes, more or less.
async fn large(bytes: usize, _: Job) -> Result<String, AgentError> {
    Ok("y".repeat(bytes))
}

#[derive(Deserialize)]
struct Chunker {
    pieces: Vec<String>,
    encoding: Encoding,
    #[serde(default)]
    unfinished: bool,
    #[serde(default)]
    repeat: Option<usize>,
}

/// Streams its pieces, `repeat` times each.
async fn chunker(input: Chunker, job: Job) -> Result<(), AgentError> {
    let mut result = job.result_stream(input.encoding)?;
    result.summary("in pieces");
    for piece in &input.pieces {
        result.write(piece.repeat(input.repeat.unwrap_or(1))).await?;
    }
    if !input.unfinished {
        result.finish().await?;
    }
    Ok(())
}

/// Says how far it is.
async fn progress(total: u64, job: Job) -> Result<u64, AgentError> {
    for current in 1..=total {
        job.progress(current).total(total).units("items").send().await?;
    }
    Ok(total)
}
