//! What RFC 6455 lets a peer do, and what comes of it.

use arcp_core::transport::Close;
use arcp_tests::wire::{Frame, PING, TEXT, frame};
use arcp_tests::{ALICE, ALL, Ask, Server, Wire, features};
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
            assert_eq!(wire.read().await, Frame::Pong(b"here?".into()), "before the message is whole");
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
async fn a_close_that_is_none_is_answered_with_1002_and_one_whose_words_are_no_utf8_with_1007() {
    let server = Server::guarded(&Config::default()).await;
    let of = |code: u16, reason: &[u8]| [&code.to_be_bytes()[..], reason].concat();
    let mut cases = vec![
        (vec![3], Close::PROTOCOL),
        (of(1000, &[b'r'; 124]), Close::PROTOCOL),
        (of(1000, b"\xff"), Close::NOT_UTF8),
        (of(1000, b"\xed\xa0\x80"), Close::NOT_UTF8),
        (of(1000, &[b'r'; 123]), 1000),
    ];
    // RFC 6455 §7.4.1 keeps them for itself, or for those who were never there.
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        cases.push((of(code, b""), Close::PROTOCOL));
    }
    for (payload, code) in cases {
        let frames = opened(&server).await.write_until_closed(frame(0x88, &payload)).await;
        assert_eq!(frames, [Frame::Close(code)], "{payload:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_ping_of_up_to_125_bytes_of_any_kind_is_repeated() {
    let server = Server::guarded(&Config::default()).await;
    let mut wire = opened(&server).await;
    for payload in [&b""[..], b"\x00\xff\xfe\xfd", &[0xE2; 125]] {
        wire.write(&frame(PING, payload)).await;
        assert_eq!(wire.read().await, Frame::Pong(payload.into()));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_text_may_be_cut_anywhere_and_have_any_length() {
    let server = Server::guarded(&Config::default()).await;
    let mut wire = opened(&server).await;
    let nonce = "\u{e9}\u{20ac}\u{1f600}";
    let message = ping(nonce);
    for cut in 0..=message.len() {
        wire.write(&[frame(0x01, &message[..cut]), frame(0x80, &message[cut..])].concat()).await;
        assert_eq!(text(wire.read().await)["payload"]["ping_nonce"], nonce, "cut at {cut}");
    }
    for length in [125, 126, 127, 65_535, 65_536, 1 << 20] {
        let mut message = ping(nonce);
        message.resize(length.max(message.len()), b' ');
        wire.write(&frame(TEXT, &message)).await;
        assert_eq!(text(wire.read().await)["payload"]["ping_nonce"], nonce, "{length}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_sub_protocol_that_is_offered_is_taken_and_one_that_is_not_ours_is_not() {
    let server = Server::guarded(&Config::default()).await;
    for (offer, taken) in [("arcp.v1.1", true), ("chat, arcp.v1.1", true), ("chat", false)] {
        let headers = format!("Sec-WebSocket-Protocol: {offer}\r\n");
        let answer = server.ask(Ask { headers: &headers, ..Ask::default() }).await;
        assert!(answer.is_upgrade());
        let protocol = answer.headers.get("sec-websocket-protocol").map(|value| value.to_str().unwrap());
        assert_eq!(protocol, taken.then_some("arcp.v1.1"), "{offer}");
    }
    server.stop().await;
}
