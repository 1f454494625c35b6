//! An agent endpoint in an axum app.

use arcp_tower::{AuthLayer, BearerTokens, Job, Runtime, agent_fn};
use axum::{Router, routing::get};

#[derive(serde::Deserialize)]
struct Count {
    to: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count = agent_fn(|input: Count, job: Job| async move {
        for i in 1..=input.to {
            job.progress(i).total(input.to).send().await?;
        }
        Ok(serde_json::json!({ "counted": input.to }))
    });
    let runtime = Runtime::builder().agent("count", count).build()?;
    let runtime = runtime.layer(AuthLayer::new(BearerTokens::new([("secret", "me@example.com")])));
    let app = Router::new().route("/", get(|| async { "hello" })).route("/arcp", arcp_axum::handler(runtime));
    axum::serve(tokio::net::TcpListener::bind("127.0.0.1:7777").await?, app).await?;
    Ok(())
}
