//! What is different where sessions are streams of one HTTP/2 connection.

use std::time::Duration;

use arcp_core::transport::{WebSocket, WsLimits};
use arcp_tests::sessions::{FEATURES, resume};
use arcp_tests::{ALICE, Ask, BOB, Http2, Peer, Server, Socket};
use arcp_tower::Config;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::ext::Protocol;
use serde_json::json;

const URI: &str = "http://localhost/arcp";

/// A WebSocket of a connection that may have others.
async fn stream(http2: &mut Http2) -> Socket {
    let io = http2.connect(Ask::default()).await.upgraded();
    Peer::new(WebSocket::client(io, WsLimits::default()).await, Duration::from_secs(20))
}

#[tokio::test]
async fn bad_input_51_an_extended_connect_that_is_none_for_us_is_refused_and_its_connection_goes_on() {
    let server = Server::guarded(&Config::default()).await;
    let mut http2 = Http2::open(server.tcp().await, URI).await;
    for (protocol, version, status) in [
        ("websocket", None, StatusCode::UPGRADE_REQUIRED),
        ("websocket", Some("8"), StatusCode::UPGRADE_REQUIRED),
        ("connect-udp", Some("13"), StatusCode::BAD_REQUEST),
    ] {
        let mut connect = Request::connect(URI).extension(Protocol::from(protocol));
        if let Some(version) = version {
            connect = connect.header("sec-websocket-version", version);
        }
        let answer = http2.request(connect.body(Empty::new()).unwrap()).await;
        assert_eq!(answer.status(), status, "{protocol} {version:?}");
    }
    let answer = http2.connect(Ask::default()).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.headers.contains_key("sec-websocket-accept"), "it has no meaning there");
    server.stop().await;
}

#[tokio::test]
async fn sessions_share_a_connection_and_one_that_never_reads_holds_up_no_other() {
    let server = Server::guarded(&Config::default()).await;
    let mut http2 = Http2::open(server.tcp().await, URI).await;
    let mut deaf = stream(&mut http2).await;
    deaf.hello(ALICE, &FEATURES).await;
    // More than any window has room for.
    deaf.send("job.submit", json!({ "agent": "chatty", "input": { "count": 20_000, "bytes": 1000 } })).await;
    let mut others = Vec::new();
    for token in [ALICE, BOB, BOB] {
        let mut peer = stream(&mut http2).await;
        peer.hello(token, &FEATURES).await;
        others.push(peer);
    }
    for _ in 0..20 {
        for peer in &mut others {
            peer.works().await;
        }
    }
    assert_eq!(server.connections(), 4);
    // A host waits for the streams of a connection, and the deaf one's is full.
    drop((deaf, others, http2));
    server.stop().await;
}

#[tokio::test]
async fn a_stream_that_is_reset_ends_its_connection_only_and_its_session_goes_on_elsewhere() {
    let server = Server::guarded(&Config::default()).await;
    let mut http2 = Http2::open(server.tcp().await, URI).await;
    let mut lost = stream(&mut http2).await;
    let mut welcome = lost.hello(ALICE, &FEATURES).await;
    let job = lost.submit("chatty", json!({ "count": 20 })).await;
    let frames = lost.job(&job).await;
    let mut other = stream(&mut http2).await;
    other.hello(BOB, &FEATURES).await;
    drop(lost);
    server.settles_to(1).await;
    other.works().await;
    // On a stream of the same connection, and then, when that is gone, on another one.
    for gone in [false, true] {
        if gone {
            (http2, other) = {
                drop((http2, other));
                server.settles_to(0).await;
                let mut http2 = Http2::open(server.tcp().await, URI).await;
                let other = stream(&mut http2).await;
                (http2, other)
            };
        }
        let mut again = stream(&mut http2).await;
        let answer = again.say_hello(resume(ALICE, &welcome, 5)).await;
        welcome = again.welcomed(answer);
        let mut replayed = Vec::new();
        while replayed.len() < frames.len() - 5 {
            replayed.push(again.next().await);
        }
        assert!(replayed == frames[5..]);
        again.works().await;
    }
    drop(other);
    server.stop().await;
}
