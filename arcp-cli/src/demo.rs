//! `arcp demo`: the main job in one command.

use std::process::ExitCode;
use std::time::Duration;

use arcp_client::ConnectionStatus;
use arcp_tower::core::wire::event::EventBody;
use arcp_tower::{AgentError, BearerTokens, Config, Job, Level, agent_fn};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::args::{Demo, Format};
use crate::proxy::Proxy;
use crate::remote::open_at;
use crate::screen::Screen;
use crate::serve::{Authenticator, host, mount};
use crate::submit::code_of;
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

/// Serves on loopback, submits over a real WebSocket, cuts the connection in the middle, and shows
/// that nothing is missing.
pub(crate) async fn run(args: Demo) -> anyhow::Result<ExitCode> {
    let mut screen = Screen::new(Format::Text, false);
    let config = Config::default();
    let token = TokenArg::made_up()?;
    let tokens = BearerTokens::new([(token.token(), token.principal(None))]);
    let (mount, _handle) = mount(&config, Authenticator::Left(tokens), None, |builder| {
        builder.agent("code-refactor@2.0.0", agent_fn(refactor))
    })
    .await?;
    let app = host::router(mount, &config);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let proxy = Proxy::start(listener.local_addr()?).await?;
    let served = tokio::spawn(async move { axum::serve(listener, app).await });
    let url = format!("ws://{}/arcp", proxy.address);
    screen.note(&format!("a runtime listens on {url}"));

    let client = open_at(&url, token.token()).await?;
    screen.note(&format!("session {} is open", client.session().id));
    let mut job = client.submit("code-refactor").input(&Refactor { files: args.steps }).send().await?;
    screen.note(&format!("{} runs {}", job.id(), job.accepted().agent.as_deref().unwrap_or_default()));

    let (mut status, mut seen, mut cut) = (client.status(), Vec::new(), false);
    loop {
        tokio::select! {
            event = job.next() => {
                let Some(event) = event else { break };
                let event = event?;
                seen.extend(event.event_seq);
                screen.event(&event)?;
                if let EventBody::Progress(progress) = &event.body
                    && !cut
                    && progress.current.as_u64() >= Some(args.steps.div_ceil(2))
                {
                    cut = true;
                    screen.note("--- the connection is cut ---");
                    proxy.cut();
                }
            }
            Ok(()) = status.changed() => {
                if *status.borrow_and_update() == ConnectionStatus::Connected {
                    screen.note(&format!("--- resumed after event {} ---", seen.last().unwrap_or(&0)));
                }
            }
        }
    }
    let end = job.result().await;
    screen.end(job.id().as_str(), &end)?;
    let whole = seen.iter().copied().eq(1..=seen.len() as u64);
    client.close().await;
    config.shutdown.cancel();
    served.abort();
    anyhow::ensure!(whole, "events are missing: {seen:?}");
    screen.note(&format!("events 1 to {}: each arrived once, none is missing", seen.len()));
    Ok(code_of(&end))
}
