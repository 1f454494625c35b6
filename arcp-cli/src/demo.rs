//! `arcp demo`: the main job in one command.

use std::process::ExitCode;
use std::time::Duration;

use arcp_tower::{AgentError, BearerTokens, Config, Job, Level, agent_fn};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::args::{Demo, Format};
use crate::output::Screen;
use crate::serve::app;
use crate::submit::{connect, follow};
use crate::token::TokenArg;

#[derive(Serialize, Deserialize)]
struct Refactor {
    files: u64,
}

/// An agent such as a user would write: it thinks, calls a tool, and says how far it is.
async fn refactor(input: Refactor, job: Job) -> Result<Value, AgentError> {
    job.status("planning").await?;
    job.thought(format!("{} files to look at", input.files)).await?;
    let call = job.tool_call("search.code", &json!({ "pattern": "fn main" })).await?;
    job.tool_result(&call, Ok(json!({ "matches": input.files }))).await?;
    job.status("working").await?;
    for file in 1..=input.files {
        sleep(Duration::from_millis(60)).await;
        let name = format!("src/module_{file}.rs");
        job.progress(file).total(input.files).units("files").message(name).send().await?;
        if file % 8 == 0 {
            job.log(Level::Info, format!("{file} files are done")).await?;
        }
    }
    job.metric("tokens.used", 41 * input.files, Some("tokens")).await?;
    Ok(json!({ "refactored": input.files }))
}

/// Serves on loopback, submits over a real WebSocket, and shows the job to its end.
pub(crate) async fn run(args: Demo) -> anyhow::Result<ExitCode> {
    let screen = Screen::new(Format::Text, false);
    let config = Config::default();
    let token = TokenArg::made_up()?;
    let tokens = BearerTokens::new([(token.token(), token.principal(None))]);
    let app = app(&config, tokens, None, |builder| builder.agent("code-refactor@2.0.0", agent_fn(refactor)))
        .await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/arcp", listener.local_addr()?);
    let served = tokio::spawn(async move { axum::serve(listener, app).await });
    screen.note(&format!("a runtime listens on {url}"));

    let client = connect(&url, token.token()).await?;
    screen.note(&format!("session {} is open", client.session().id));
    let job = client.submit("code-refactor").input(&Refactor { files: args.steps }).send().await?;
    screen.note(&format!("{} runs {}", job.id(), job.accepted().agent.as_deref().unwrap_or_default()));
    let exit = follow(job, screen, Some(Duration::from_secs(600))).await?;
    client.close().await;
    config.shutdown.cancel();
    served.abort();
    Ok(exit)
}
