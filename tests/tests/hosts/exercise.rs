//! One session, as users have it.

use std::net::SocketAddr;
use std::time::Duration;

use arcp_client::Client;
use arcp_core::transport::{WebSocket, WsLimits};
use arcp_tests::wire::request;
use arcp_tests::{ALICE, Peer, Server, Wire, guarded, tokens};
use arcp_tower::upgrade::Origin;
use arcp_tower::{AuthLayer, Config, HttpInfo, Job, Runtime, agent_fn};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_submits_follows_is_cut_off_and_goes_on() {
    let config = Config::default();
    let server = Server::of(guarded(&config), &config).await;
    let client = Client::builder(server.url()).token(ALICE).connect().await.unwrap();
    let mut job =
        client.submit("chatty").input(&json!({ "count": 300, "delay_ms": 1 })).send().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..50 {
        seen.push(job.next().await.unwrap().unwrap().event_seq.unwrap());
    }
    // Another process goes on.
    let (point, id) = (client.resume_point().unwrap(), job.id().clone());
    drop((job, client));
    let client = Client::builder(server.url()).token(ALICE).resume_from(point).connect().await.unwrap();
    let mut job = client.attach(id).await.unwrap();
    while let Some(event) = job.next().await {
        seen.push(event.unwrap().event_seq.unwrap());
    }
    assert_eq!(seen, (1..=300).collect::<Vec<_>>());
    let result: Value = job.result().await.unwrap().decode().unwrap();
    assert_eq!(result["emitted"], 300);
    let slow = client.submit("slow").input(&json!({})).send().await.unwrap();
    slow.cancel(None).await.unwrap();
    client.close().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_host_knows_of_a_request_reaches_the_agent() {
    let config = Config::default();
    let agent = agent_fn(|(): (), job: Job| async move {
        let info = job.extensions().get::<HttpInfo>().cloned().ok_or("no HttpInfo")?;
        let tenant = info.headers.get("x-tenant").and_then(|tenant| tenant.to_str().ok()).unwrap_or_default();
        let peer = job.extensions().get::<SocketAddr>().ok_or("no address")?;
        Ok(json!([info.uri.path().to_owned(), tenant, peer]))
    });
    let runtime = Runtime::builder().config(config.clone()).agent("agent", agent).build().unwrap();
    let server = Server::of(runtime.layer(AuthLayer::new(tokens())), &config).await;
    let tcp = server.tcp().await;
    let own = tcp.local_addr().unwrap();
    let tcp = Wire::upgrade(tcp, "/arcp?from=here", "X-Tenant: acme\r\n").await.into_inner();
    let mut peer = Peer::new(WebSocket::client(tcp, WsLimits::default()).await, Duration::from_secs(20));
    peer.hello(ALICE, &[]).await;
    let job = peer.submit("agent", Value::Null).await;
    let end = peer.job(&job).await.pop().unwrap();
    let told = end["payload"]["result"].as_array().unwrap().clone();
    assert!(told[0] == "/arcp" || told[0] == "/", "{told:?}");
    assert_eq!(told[1..], [json!("acme"), json!(own)]);
    drop(peer);
    server.stop().await;
}

#[tokio::test]
async fn s16_a_page_of_another_origin_is_refused_with_403_and_one_that_is_listed_is_not() {
    let config = Config::default().with(|config| {
        config.allowed_origins = vec!["https://app.example".parse::<Origin>().unwrap()];
    });
    let server = Server::of(guarded(&config), &config).await;
    for (origin, status) in [
        ("https://app.example", 101),
        ("https://app.example:443", 101),
        ("https://evil.example", 403),
        ("http://app.example", 403),
        ("https://app.example.evil.example", 403),
        ("null", 403),
    ] {
        let head = format!(
            "GET /arcp HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: {origin}\r\n\r\n"
        );
        let answer = request(&mut server.tcp().await, &head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{origin}: {answer}");
    }
    server.stop().await;
}
