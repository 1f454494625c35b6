//! Requests that are no upgrade, and what comes behind one.

use arcp_core::transport::Close;
use arcp_tests::wire::{Frame, TEXT, frame, request};
use arcp_tests::{ALICE, ALL, BOB, Server, Wire, features};
use arcp_tower::Config;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn bad_input_51_http_that_is_no_upgrade_is_answered_and_harms_nobody() {
    let server = Server::guarded(&Config::default()).await;
    let mut good = server.open(BOB, &ALL).await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let cases = [
        ("GET", String::new(), "426"),
        ("GET", format!("{upgrade}{key}"), "426"),
        ("GET", format!("{upgrade}{key}Sec-WebSocket-Version: 8\r\n"), "426"),
        ("GET", format!("{key}Sec-WebSocket-Version: 13\r\n"), "426"),
        ("GET", format!("Connection: Upgrade\r\nUpgrade: h2c\r\n{key}Sec-WebSocket-Version: 13\r\n"), "426"),
        ("GET", format!("{upgrade}Sec-WebSocket-Version: 13\r\n"), "400"),
        ("POST", format!("{upgrade}{key}Sec-WebSocket-Version: 13\r\nContent-Length: 0\r\n"), "426"),
    ];
    for (method, headers, status) in cases {
        let head = format!("{method} /arcp HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        let answer = request(&mut server.tcp().await, &head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}{answer}");
        let says_how = answer.to_lowercase().contains("upgrade: websocket");
        assert_eq!(says_how, status == "426", "{answer}");
    }
    good.works().await;
    server.stop().await;
}

#[tokio::test]
async fn bad_input_51_a_head_of_64_kib_is_refused_or_taken_and_never_more_than_that() {
    let server = Server::guarded(&Config::default()).await;
    let mut good = server.open(BOB, &ALL).await;
    for kib in [64, 16 << 10] {
        let mut tcp = server.tcp().await;
        let pad = format!("X-Pad: {}\r\n", "p".repeat(1000));
        let head = format!("GET /arcp HTTP/1.1\r\nHost: localhost\r\n{}\r\n", pad.repeat(kib));
        let (mut read, mut write) = tcp.split();
        let writing = async {
            // Who has read enough closes, and what is written after that is lost.
            let _ = write.write_all(head.as_bytes()).await;
        };
        let mut answer = [0; 12];
        let reading = async { read.read_exact(&mut answer).await.is_ok() };
        let (answered, ()) = tokio::join!(reading, writing);
        let status = String::from_utf8_lossy(&answer).into_owned();
        let refused = ["HTTP/1.1 400", "HTTP/1.1 431", "HTTP/1.1 413"].contains(&status.as_str());
        assert!(refused || (kib == 64 && status == "HTTP/1.1 426") || !answered, "{kib} KiB: {status}");
        good.ping("still").await;
    }
    good.works().await;
    server.stop().await;
}

#[tokio::test]
async fn bad_input_51_what_comes_behind_an_upgrade_is_of_the_websocket_and_no_second_request() {
    let server = Server::guarded(&Config::default()).await;
    let upgrade = "GET /arcp HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // A hello in the same packet is heard, and so is a request, as a frame that is none.
    let hello =
        json!({ "arcp": "1.1", "id": "h", "type": "session.hello", "payload": features(ALICE, &ALL) });
    let mut tcp = server.tcp().await;
    tcp.write_all(&[upgrade.as_bytes(), &frame(TEXT, hello.to_string().as_bytes())].concat()).await.unwrap();
    assert!(request(&mut tcp, "").await.starts_with("HTTP/1.1 101 "));
    let welcome = Wire::of(tcp).read().await;
    assert!(matches!(&welcome, Frame::Text(text) if text.contains("session.welcome")), "{welcome:?}");

    let mut tcp = server.tcp().await;
    tcp.write_all(upgrade.repeat(2).as_bytes()).await.unwrap();
    assert!(request(&mut tcp, "").await.starts_with("HTTP/1.1 101 "));
    let frames = Wire::of(tcp).write_until_closed(Vec::new()).await;
    assert!(matches!(frames[..], [Frame::Close(Close::PROTOCOL | Close::TOO_LARGE)]), "{frames:?}");
    server.stop().await;
}
