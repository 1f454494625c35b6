//! An agent endpoint in an actix-web app.

use actix_web::{App, HttpServer, web};
use arcp_tower::{AuthLayer, BearerTokens, Job, Layer as _, Runtime, agent_fn};

#[derive(serde::Deserialize)]
struct Count {
    to: u64,
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count = agent_fn(|input: Count, job: Job| async move {
        for i in 1..=input.to {
            job.progress(i).total(input.to).send().await?;
        }
        Ok(serde_json::json!({ "counted": input.to }))
    });
    let runtime = Runtime::builder().agent("count", count).build()?;
    let runtime = AuthLayer::new(BearerTokens::new([("secret", "me@example.com")])).layer(runtime);
    let app = move || {
        App::new()
            .route("/", web::get().to(async || "hello"))
            .route("/arcp", arcp_actix::handler(runtime.clone()))
    };
    // Events are small; none should wait for the one before it to be acknowledged.
    HttpServer::new(app).tcp_nodelay(true).bind("127.0.0.1:7777")?.run().await?;
    Ok(())
}
