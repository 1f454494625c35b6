//! An agent endpoint on raw hyper, over HTTP/1.1 and HTTP/2 alike.

use std::time::Duration;

use arcp_tower::upgrade::Upgrade;
use arcp_tower::{AuthLayer, BearerTokens, Job, Runtime, Service as _, agent_fn};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
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
    let upgrade = Upgrade::new(runtime);
    let mut server = Builder::new(TokioExecutor::new());
    // A WebSocket over HTTP/2 is an extended CONNECT (RFC 8441).
    server.http2().enable_connect_protocol();
    let listener = TcpListener::bind("127.0.0.1:7777").await?;
    loop {
        // A peer that is gone already, or a lack of descriptors, ends no server.
        let Ok((tcp, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (server, upgrade) = (server.clone(), upgrade.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            // An address has only so many connections that have not said who they are.
            request.extensions_mut().insert(peer);
            upgrade.clone().call(request)
        });
        tokio::spawn(async move { server.serve_connection_with_upgrades(TokioIo::new(tcp), service).await });
    }
}
