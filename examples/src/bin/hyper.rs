//! An agent endpoint on raw hyper, over HTTP/1.1 and HTTP/2 alike.

use arcp_tower::upgrade::Upgrade;
use arcp_tower::{AuthLayer, BearerTokens, Job, Runtime, agent_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

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
    let service = TowerToHyperService::new(Upgrade::new(runtime));
    let mut server = Builder::new(TokioExecutor::new());
    // A WebSocket over HTTP/2 is an extended CONNECT (RFC 8441).
    server.http2().enable_connect_protocol();
    let listener = TcpListener::bind("127.0.0.1:7777").await?;
    loop {
        let (tcp, _) = listener.accept().await?;
        let (server, service) = (server.clone(), service.clone());
        tokio::spawn(async move { server.serve_connection_with_upgrades(TokioIo::new(tcp), service).await });
    }
}
