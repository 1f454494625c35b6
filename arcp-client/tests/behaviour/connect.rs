//! Opening and closing a session.

use std::future::poll_fn;
use std::time::Duration;

use arcp_client::{Client, ClientConfig, ConnectError, JobError, Reason, RequestError};
use arcp_core::transport::{Close, Received, Transport as _, WebSocket, WsLimits};
use arcp_core::{Code, Feature};
use serde_json::json;
use tokio::time::{Instant, advance};

use crate::fake::{self, opened, pair, quiet, running};

#[tokio::test(start_paused = true)]
async fn t14_the_hello_says_who_calls_and_what_it_can_do() {
    let (builder, mut fake) = pair();
    let answer = async {
        let hello = fake.next().await;
        fake.welcome(&["ack", "progress", "provisioned_credentials", "x-other"]).await;
        hello
    };
    let (client, hello) = tokio::join!(builder.connect(), answer);
    assert_eq!(hello["id"].as_str().unwrap().len(), 26);
    assert!(hello.get("session_id").is_none());
    let payload = json!({
        "client": {"name": "test", "version": "1"},
        "auth": {"scheme": "bearer", "token": "secret"},
        "capabilities": {
            "encodings": ["json"],
            "features": [
                "heartbeat", "ack", "list_jobs", "subscribe", "lease_expires_at", "cost.budget",
                "model.use", "progress", "result_chunk", "agent_versions",
            ],
            "x-vendor.arcp.profile": "draft",
        },
    });
    assert_eq!(hello["payload"], payload);
    let client = client.unwrap();
    let features: Vec<Feature> = client.session().features.iter().collect();
    assert_eq!(features, [Feature::Ack, Feature::Progress], "the intersection");
    assert_eq!(client.session().id.as_str(), fake::SESSION);
    let refused = client.subscribe(fake::JOB.parse().unwrap(), false).await.unwrap_err();
    assert_eq!(refused, RequestError::NotNegotiated(Feature::Subscribe));
    let refused = client.submit("echo").budget("USD", "1").send().await.unwrap_err();
    assert_eq!(refused, RequestError::NotNegotiated(Feature::CostBudget));
    assert_eq!(client.ping().await, Err(RequestError::NotNegotiated(Feature::Heartbeat)));
}

#[tokio::test(start_paused = true)]
async fn a_refused_hello_is_a_typed_error() {
    for kind in ["session.error", "job.error"] {
        let (builder, mut fake) = pair();
        let refuse = async {
            fake.next().await;
            let payload = json!({"code": "UNAUTHENTICATED", "message": "no", "details": null});
            fake.send(kind, json!({}), payload).await;
        };
        let (client, ()) = tokio::join!(builder.connect(), refuse);
        match client.unwrap_err() {
            ConnectError::Refused(error) => assert_eq!(error.code(), Code::Unauthenticated),
            other => panic!("{other}"),
        }
        assert_eq!(fake.recv().await, None, "and the connection is closed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_does_not_answer_is_given_up() {
    let (builder, _fake) = pair();
    let start = Instant::now();
    assert!(matches!(builder.connect().await, Err(ConnectError::TimedOut)));
    assert_eq!(start.elapsed().as_secs(), 5);
    let (builder, mut fake) = pair();
    fake.close(Close::new(Close::POLICY, "go away")).await;
    match builder.connect().await {
        Err(ConnectError::Closed(Some(close))) => assert_eq!(close.code, Close::POLICY),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn close_waits_for_the_runtime_but_not_for_ever() {
    for answers in [true, false] {
        let (client, mut fake) = quiet().await;
        let mut job = running(&client, &mut fake).await;
        let start = Instant::now();
        let say = async {
            let close = fake.next().await;
            assert_eq!(
                (close["type"].as_str(), close["session_id"].as_str()),
                (Some("session.close"), Some(fake::SESSION))
            );
            assert!(close["payload"]["reason"].is_string());
            if answers {
                fake.send("session.closed", json!({}), json!({})).await;
            }
            assert_eq!(fake.recv().await, None);
        };
        tokio::join!(client.close(), say);
        assert_eq!(start.elapsed().as_secs(), u64::from(!answers));
        assert_eq!(client.closed().await.reason(), &Reason::ClosedByUs);
        assert!(matches!(job.result().await, Err(JobError::Cut(why)) if *why.reason() == Reason::ClosedByUs));
        let late = client.submit("echo").send().await.unwrap_err();
        assert!(matches!(late, RequestError::Disconnected(_)), "{late}");
        client.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_session_ends_with_the_last_that_uses_it() {
    let (client, mut fake) = quiet().await;
    let job = running(&client, &mut fake).await;
    drop(client);
    advance(Duration::from_secs(60)).await;
    drop(job);
    assert_eq!(fake.next().await["type"], "session.close");
}

#[tokio::test(start_paused = true)]
async fn t43_two_silent_intervals_are_a_loss() {
    let (client, mut fake) = opened(&["heartbeat"]).await;
    let start = Instant::now();
    assert_eq!(client.closed().await.reason(), &Reason::HeartbeatLost);
    assert_eq!(start.elapsed().as_secs(), 60);
    let ping = fake.next().await;
    assert_eq!(ping["type"], "session.ping");
    assert!(ping["payload"]["nonce"].is_string() && ping["payload"]["sent_at"].is_string());
}

#[tokio::test(start_paused = true)]
async fn pings_go_both_ways() {
    let (client, mut fake) = opened(&["heartbeat"]).await;
    fake.send("session.ping", json!({}), json!({"nonce": "n1", "sent_at": "0001-01-01T00:00:00Z"})).await;
    let pong = fake.next().await;
    assert_eq!(
        (pong["type"].as_str(), pong["payload"]["ping_nonce"].as_str()),
        (Some("session.pong"), Some("n1"))
    );
    let answer = async {
        let ping = fake.next().await;
        advance(Duration::from_millis(40)).await;
        let payload = json!({"ping_nonce": ping["payload"]["nonce"]});
        fake.send("session.pong", json!({}), payload).await;
    };
    let (took, ()) = tokio::join!(client.ping(), answer);
    assert_eq!(took.unwrap().as_millis(), 40);
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_reads_slowly_gets_everything() {
    let (builder, mut fake) = fake::narrow(1);
    let (client, ()) = tokio::join!(builder.connect(), async {
        fake.next().await;
        fake.welcome(&[]).await;
    });
    let client = client.unwrap();
    let submits: Vec<_> = (0..200).map(|n| tokio::spawn(client.submit("echo").input(&n).send())).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    for n in 0..200 {
        let submit = fake.next().await;
        fake.accept(&submit, &format!("job_{n}")).await;
    }
    for submit in submits {
        submit.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_does_not_read_cannot_hold_a_client() {
    let (builder, mut fake) = fake::narrow(1);
    let (client, ()) = tokio::join!(builder.connect(), async {
        fake.next().await;
        fake.welcome(&[]).await;
    });
    let client = client.unwrap();
    let start = Instant::now();
    let submits: Vec<_> = (0..200).map(|n| tokio::spawn(client.submit("echo").input(&n).send())).collect();
    for submit in submits {
        assert_eq!(submit.await.unwrap().unwrap_err(), RequestError::TimedOut);
    }
    assert_eq!(start.elapsed().as_secs(), 10);
    client.close().await;
    assert!(start.elapsed().as_secs() <= 12);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_says_how_it_was_lost() {
    let (client, mut fake) = quiet().await;
    fake.close(Close::new(Close::LAGGING, "too slow")).await;
    match client.closed().await.reason() {
        Reason::ClosedByPeer(close) => assert_eq!(close.code, Close::LAGGING),
        other => panic!("{other}"),
    }
    let (client, fake) = quiet().await;
    drop(fake);
    assert!(matches!(client.closed().await.reason(), Reason::Lost(_)));
}

#[tokio::test(start_paused = true)]
async fn frames_that_mean_nothing_are_ignored() {
    let (client, mut fake) = quiet().await;
    for frame in ["", "no json", "[]", r#"{"arcp":"1.1"}"#] {
        fake.raw(frame.to_owned()).await;
    }
    fake.send("x-vendor.acme.news", json!({}), json!({"a": 1})).await;
    fake.send("session.error", json!({}), json!({"code": "INTERNAL_ERROR", "message": "of nothing"})).await;
    let mut job = running(&client, &mut fake).await;
    fake.result(fake::JOB, json!(1)).await;
    assert_eq!(job.result().await.unwrap().decode::<u8>(), Ok(1));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_whole_session_ends_it() {
    let (client, mut fake) = quiet().await;
    let mut job = running(&client, &mut fake).await;
    fake.send("session.error", json!({}), json!({"code": "UNAUTHENTICATED", "message": "expired"})).await;
    assert!(matches!(client.closed().await.reason(), Reason::Ended(e) if e.code() == Code::Unauthenticated));
    assert!(matches!(job.result().await, Err(JobError::Cut(_))));
}

#[tokio::test]
async fn it_connects_over_websocket() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/arcp", listener.local_addr().unwrap());
    let serve = async {
        let (io, _) = listener.accept().await.unwrap();
        let ws = tokio_tungstenite::accept_async(io).await.unwrap();
        let mut ws = WebSocket::server(ws.into_inner(), WsLimits::default()).await;
        let recv = poll_fn(|cx| ws.poll_recv(cx)).await.unwrap();
        assert!(matches!(recv, Received::Frame(_)));
        poll_fn(|cx| ws.poll_ready(cx)).await.unwrap();
        ws.send(fake::welcome(&[])).unwrap();
        poll_fn(|cx| ws.poll_flush(cx)).await.unwrap();
        ws
    };
    let (client, _socket) = tokio::join!(Client::builder(url).token("secret").connect(), serve);
    assert_eq!(client.unwrap().session().id.as_str(), fake::SESSION);
}

#[tokio::test]
async fn t19_a_server_that_takes_the_connection_and_never_upgrades_it_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/arcp", listener.local_addr().unwrap());
    let mut config = ClientConfig::default();
    config.hello_timeout = Duration::from_millis(200);
    let connect = Client::builder(url).token("secret").config(config).connect();
    let (refused, taken) = tokio::join!(connect, listener.accept());
    assert!(matches!(refused, Err(ConnectError::TimedOut)), "{refused:?}");
    taken.unwrap();
}

#[tokio::test]
async fn addresses_and_servers_that_will_not_do_are_told_apart() {
    let connect = |url: &str| Client::builder(url).connect();
    assert!(matches!(connect("no address at all").await, Err(ConnectError::Url)));
    assert!(matches!(connect("http://127.0.0.1:1/").await, Err(ConnectError::Url)));
    assert!(matches!(connect("wss://127.0.0.1:1/").await, Err(ConnectError::Io(_))));
    let trusting = Client::builder("wss://127.0.0.1:1/").root_certificate("no certificate");
    assert!(matches!(trusting.connect().await, Err(ConnectError::RootCertificate)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let serve = async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut io, _) = listener.accept().await.unwrap();
        let _ = io.read(&mut [0; 1024]).await.unwrap();
        io.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        io
    };
    let (refused, _socket) = tokio::join!(connect(&url), serve);
    assert!(matches!(refused, Err(ConnectError::Status(status)) if status == 403));
    drop(listener);
    assert!(matches!(connect(&url).await, Err(ConnectError::Io(_))));
}
