//! One session, as users have it.

use std::net::SocketAddr;
use std::time::Duration;

use arcp_client::{Client, ResumePoint};
use arcp_core::transport::{Close, WebSocket, WsLimits};
use arcp_tests::{ALICE, Ask, Http, Peer, Server, Wire, guarded, tokens};
use arcp_tower::upgrade::{Host, Origin};
use arcp_tower::{AuthLayer, Config, HttpInfo, Job, Runtime, agent_fn};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

/// A client of a session that is new, or goes on at `point`.
async fn client(server: &Server, point: Option<ResumePoint>) -> Client {
    if server.http() == Http::One {
        let client = Client::builder(server.url()).token(ALICE);
        let client = if let Some(point) = point { client.resume_from(point) } else { client };
        return client.connect().await.unwrap();
    }
    // It asks over HTTP/1.1 by itself; over HTTP/2 it is given the stream.
    let io = server.ask(Ask::default()).await.upgraded();
    let client = Client::over(WebSocket::client(io, WsLimits::default()).await).token(ALICE);
    let client = if let Some(point) = point { client.resume_from(point) } else { client };
    client.connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_submits_follows_is_cut_off_and_goes_on() {
    let config = Config::default();
    let server = Server::of(guarded(&config), &config).await;
    let client = client(&server, None).await;
    let mut job =
        client.submit("chatty").input(&json!({ "count": 300, "delay_ms": 1 })).send().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..50 {
        seen.push(job.next().await.unwrap().unwrap().event_seq.unwrap());
    }
    // Another process goes on.
    let (point, id) = (client.resume_point().unwrap(), job.id().clone());
    drop((job, client));
    let client = self::client(&server, Some(point)).await;
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
async fn bad_input_52_s16_a_page_of_another_origin_is_refused_with_403_and_one_that_is_listed_is_not() {
    let config = Config::default().with(|config| {
        config.allowed_origins = vec!["https://app.example".parse::<Origin>().unwrap()];
    });
    let server = Server::of(guarded(&config), &config).await;
    for (origin, listed) in [
        ("https://app.example", true),
        ("https://app.example:443", true),
        ("https://evil.example", false),
        ("http://app.example", false),
        ("https://app.example.evil.example", false),
        ("null", false),
    ] {
        let headers = format!("Origin: {origin}\r\n");
        let answer = server.ask(Ask { headers: &headers, ..Ask::default() }).await;
        assert_eq!(answer.is_upgrade(), listed, "{origin}");
        assert!(listed || answer.status == 403, "{origin}: {}", answer.status);
    }
    server.stop().await;
}

#[tokio::test]
async fn bad_input_52_s17_a_name_that_is_not_the_hosts_is_refused_with_421() {
    let config = Config::default().with(|config| config.allowed_hosts = Host::loopback());
    let server = Server::of(guarded(&config), &config).await;
    for (host, listed) in [
        ("localhost", true),
        ("localhost:7777", true),
        ("127.0.0.1", true),
        ("[::1]:80", true),
        ("attacker.test", false),
        ("localhost.attacker.test:80", false),
        ("[::2]", false),
    ] {
        // What a proxy may say of another name changes nothing (S20).
        for headers in ["", "X-Forwarded-Host: localhost\r\nForwarded: host=localhost\r\n"] {
            let answer = server.ask(Ask { host, headers, ..Ask::default() }).await;
            assert_eq!(answer.is_upgrade(), listed, "{host}");
            assert!(listed || answer.status == 421, "{host}: {}", answer.status);
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn s18_a_token_in_the_address_in_a_header_or_in_a_cookie_lets_nobody_in() {
    let server = Server::guarded(&Config::default()).await;
    let path = format!("/arcp?token={ALICE}&access_token={ALICE}");
    let headers = format!("Authorization: Bearer {ALICE}\r\nCookie: token={ALICE}\r\n");
    for auth in [Value::Null, json!({ "scheme": "bearer" }), json!({ "scheme": "bearer", "token": "" })] {
        let mut peer = server.connect_at(&path, &headers).await;
        let answer = peer.say_hello(json!({ "auth": auth, "capabilities": {} })).await;
        assert_eq!(answer["payload"]["code"], "UNAUTHENTICATED", "{answer}");
        assert_eq!(peer.closed().await.code, Close::POLICY);
    }
    server.stop().await;
}

#[tokio::test]
async fn s20_what_a_proxy_says_of_the_peer_is_no_address_of_it() {
    let config = Config::default();
    let agent = agent_fn(|(): (), job: Job| async move {
        Ok(job.extensions().get::<SocketAddr>().is_none_or(|peer| peer.ip().is_loopback()))
    });
    let runtime = Runtime::builder().config(config.clone()).agent("agent", agent).build().unwrap();
    let server = Server::of(runtime.layer(AuthLayer::new(tokens())), &config).await;
    let headers = "X-Forwarded-For: 203.0.113.9\r\nX-Real-IP: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\n";
    let mut peer = server.connect_at("/arcp", headers).await;
    peer.hello(ALICE, &[]).await;
    let job = peer.submit("agent", Value::Null).await;
    assert_eq!(peer.job(&job).await.pop().unwrap()["payload"]["result"], true);
    server.stop().await;
}
