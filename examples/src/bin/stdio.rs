//! An agent that is a program: a runtime hosts it, and talks to it over its standard input and output.
//!
//! The program is this one once more, started with `agent`; it could be any that speaks ARCP.

use std::error::Error;

use arcp_client::arcp_core::transport::{Lines, memory};
use arcp_client::{Client, Program};
use arcp_process::ProcessAgent;
use arcp_tower::{AgentError, AuthLayer, BearerTokens, Config, Job, Level, Principal, Runtime};
use arcp_tower::{agent_fn, serve};
use futures_util::StreamExt as _;
use http::Extensions;
use tokio::io::{stdin, stdout};

async fn shout(text: String, job: Job) -> Result<String, AgentError> {
    job.log(Level::Info, format!("working in a process of {}'s", job.principal())).await?;
    for (word, n) in text.split_whitespace().zip(1..) {
        job.progress(n).message(word.to_uppercase()).send().await?;
    }
    Ok(text.to_uppercase())
}

/// The program: one session, to whoever started it.
async fn agent() -> Result<(), Box<dyn Error>> {
    // Standard output has frames and nothing else.
    eprintln!("the agent is ready");
    let config = Config::default();
    let runtime = Runtime::builder().agent("shout", agent_fn(shout)).config(config.clone()).build()?;
    let io = Lines::new(stdin(), stdout(), config.line_limits());
    let mut extensions = Extensions::new();
    // Who starts a process is trusted; `AuthLayer` would ask for the token in `ARCP_TOKEN`.
    extensions.insert(Principal::new("the host"));
    serve(io, runtime, extensions, config).await;
    Ok(())
}

/// The runtime that hosts it, and a client of that.
async fn host() -> Result<(), Box<dyn Error>> {
    let program = Program::new(std::env::current_exe()?).args(["agent"]);
    let shout = ProcessAgent::new("shout", &program)?;
    let runtime = Runtime::builder().agent("shout", shout.clone()).build()?;
    let runtime = runtime.layer(AuthLayer::new(BearerTokens::new([("secret", "me@example.com")])));
    let (ours, theirs) = memory(64);
    tokio::spawn(serve(theirs, runtime, Extensions::new(), Config::default()));

    let client = Client::over(ours).token("secret").connect().await?;
    let mut job = client.submit("shout").input("one after the other").send().await?;
    while let Some(event) = job.next().await {
        println!("{}", event?.payload.as_str());
    }
    println!("result: {}", job.result().await?.decode::<String>()?);
    client.close().await;
    shout.stop().await;
    println!("the agent has ended");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        Some(_) => agent().await?,
        None => host().await?,
    }
    // A read of standard input that has begun would be waited for.
    std::process::exit(0)
}
