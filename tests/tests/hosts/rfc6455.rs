//! What RFC 6455 lets a peer do, and what comes of it.

use arcp_tests::wire::{Frame, PING, TEXT, frame, request};
use arcp_tests::{ALICE, ALL, Server, Wire, features};
use arcp_tower::Config;
use serde_json::{Value, json};

/// A session by hand.
async fn opened(server: &Server) -> Wire {
    let mut wire = server.wire().await;
    let hello = json!({ "arcp": "1.1", "id": "msg_hello", "type": "session.hello", "payload": features(ALICE, &ALL) });
    wire.write(&frame(TEXT, hello.to_string().as_bytes())).await;
    assert_eq!(text(wire.read().await)["type"], "session.welcome");
    wire
}

fn text(frame: Frame) -> Value {
    match frame {
        Frame::Text(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?} instead of a text"),
    }
}

fn ping(nonce: &str) -> Vec<u8> {
    let ping =
        json!({ "arcp": "1.1", "id": "msg_ping", "type": "session.ping", "payload": { "nonce": nonce } });
    ping.to_string().into_bytes()
}

#[tokio::test]
async fn a_text_in_many_fragments_is_one_message_and_pings_between_them_are_answered_at_once() {
    let server = Server::guarded(&Config::default()).await;
    let mut wire = opened(&server).await;
    let message = ping("whole");
    let pieces: Vec<_> = message.chunks(7).collect();
    for (n, piece) in pieces.iter().enumerate() {
        let fin = if n + 1 == pieces.len() { 0x80 } else { 0 };
        wire.write(&frame(fin | u8::from(n == 0), piece)).await;
        if n + 1 < pieces.len() {
            wire.write(&frame(PING, b"here?")).await;
            assert_eq!(wire.read().await, Frame::Other(0x8A), "a pong, before the message is whole");
        }
    }
    assert_eq!(text(wire.read().await)["payload"]["ping_nonce"], "whole");
    server.stop().await;
}

#[tokio::test]
async fn empty_fragments_and_pongs_that_nobody_asked_for_change_nothing() {
    let server = Server::guarded(&Config::default()).await;
    let mut wire = opened(&server).await;
    wire.write(&frame(0x8A, b"unasked")).await;
    wire.write(&frame(0x01, b"")).await;
    for _ in 0..1000 {
        wire.write(&frame(0x00, b"")).await;
    }
    wire.write(&frame(0x80, &ping("after nothing"))).await;
    assert_eq!(text(wire.read().await)["payload"]["ping_nonce"], "after nothing");
    server.stop().await;
}

#[tokio::test]
async fn a_close_is_answered_with_its_own_code_and_nothing_after_it_is_heard() {
    let server = Server::guarded(&Config::default()).await;
    for (payload, code) in
        [(&1000_u16.to_be_bytes()[..], 1000), (&3999_u16.to_be_bytes()[..], 3999), (b"", 1005)]
    {
        let mut wire = opened(&server).await;
        let close = frame(0x88, payload);
        let frames = {
            wire.write(&close).await;
            wire.write_until_closed(frame(TEXT, &ping("too late"))).await
        };
        assert!(!frames.iter().any(|frame| matches!(frame, Frame::Text(_))), "{frames:?}");
        assert_eq!(frames.last(), Some(&Frame::Close(code)), "{frames:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_sub_protocol_that_is_offered_is_taken_and_one_that_is_not_ours_is_not() {
    let server = Server::guarded(&Config::default()).await;
    for (offer, taken) in [("arcp.v1.1", true), ("chat, arcp.v1.1", true), ("chat", false)] {
        let head = format!(
            "GET /arcp HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: {offer}\r\n\r\n"
        );
        let answer = request(&mut server.tcp().await, &head).await.to_lowercase();
        assert!(answer.starts_with("http/1.1 101 "), "{answer}");
        assert_eq!(answer.contains("sec-websocket-protocol: arcp.v1.1"), taken, "{offer}: {answer}");
        assert_eq!(answer.contains("sec-websocket-protocol:"), taken, "{offer}: {answer}");
    }
    server.stop().await;
}
