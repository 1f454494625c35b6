//! A client: submits a job to a runtime on loopback, follows its events, and takes its result.

use std::sync::Arc;

use arcp_client::Client;
use arcp_client::EventBody;
use arcp_store_sqlite::{SqliteConfig, SqliteStore};
use arcp_tower::{AgentError, AuthLayer, BearerTokens, Job, Level, Runtime, agent_fn};
use axum::Router;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

/// What the agent is asked, and what it answers: any type that serde knows.
#[derive(Serialize, Deserialize)]
struct Words {
    text: String,
}

#[derive(Serialize, Deserialize)]
struct Counted {
    words: u64,
}

async fn count_words(input: Words, job: Job) -> Result<Counted, AgentError> {
    job.status("counting").await?;
    let words: Vec<&str> = input.text.split_whitespace().collect();
    let total = u64::try_from(words.len())?;
    for (word, n) in words.into_iter().zip(1..) {
        job.log(Level::Info, word).await?;
        job.progress(n).total(total).units("words").send().await?;
    }
    Ok(Counted { words: total })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The runtime, on a free port of loopback; what it keeps is in a file.
    let dir = tempfile::tempdir()?;
    let store = Arc::new(SqliteStore::open(dir.path().join("arcp.db"), SqliteConfig::default())?);
    let runtime = Runtime::builder().agent("count-words", agent_fn(count_words)).store(store).open().await?;
    let runtime = runtime.layer(AuthLayer::new(BearerTokens::new([("secret", "me@example.com")])));
    let app = Router::new().route("/arcp", arcp_axum::handler(runtime));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/arcp", listener.local_addr()?);
    let served = tokio::spawn(async move { axum::serve(listener, app).await });

    // The client. Acks and heartbeats are its own business.
    let client = Client::builder(url).token("secret").connect().await?;
    println!("connected to {}", client.session().welcome.runtime.name);
    let input = Words { text: "one session many jobs".to_owned() };
    let mut job = client.submit("count-words").input(&input).send().await?;
    println!("accepted as {}", job.accepted().agent.as_deref().unwrap_or("?"));

    while let Some(event) = job.next().await {
        match event?.body {
            EventBody::Status(status) => println!("status: {}", status.phase),
            EventBody::Log(log) => println!("log: {}", log.message),
            EventBody::Progress(progress) => println!("progress: {}", progress.current),
            other => println!("{}", other.kind()),
        }
    }
    let counted: Counted = job.result().await?.decode()?;
    println!("result: {} words", counted.words);

    client.close().await;
    served.abort();
    Ok(())
}
