//! Breaches of the WebSocket, and their close codes.

use std::time::Duration;

use arcp_core::transport::Close;
use arcp_tests::wire::{BINARY, Frame, PING, TEXT, frame, header};
use arcp_tests::{ALICE, ALL, Ask, BOB, Server, Wire, features};
use arcp_tower::Config;
use serde_json::json;

use super::{closed_after, closes_with, ended_by, greeted, refusal, with};

#[tokio::test]
async fn bad_input_02_a_session_whose_connection_a_bad_frame_ended_goes_on_with_the_next() {
    let server = Server::guarded(&Config::default()).await;
    let cases = [
        (header(TEXT, 65 << 20), Close::TOO_LARGE),
        (frame(TEXT, b"\"\xff\xfe\""), Close::NOT_UTF8),
        (frame(0x83, b"{}"), Close::PROTOCOL),
        (frame(BINARY, b"{}"), Close::UNSUPPORTED),
    ];
    for (bytes, wanted) in cases {
        let (code, _, welcome) = ended_by(&server, bytes).await;
        assert_eq!(code, wanted);
        let mut next = server.connect().await;
        let mut hello = features(ALICE, &ALL);
        hello["resume"] = json!({
            "session_id": welcome["session_id"],
            "resume_token": welcome["payload"]["resume_token"],
            "last_event_seq": 0,
        });
        let again = next.say_hello(hello).await;
        let again = next.welcomed(again);
        assert_eq!(again["session_id"], welcome["session_id"], "{code}");
        next.works().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn bad_input_01_a_binary_frame_is_refused_and_closes_with_1003() {
    let server = Server::guarded(&Config::default()).await;
    for bytes in [frame(BINARY, b"{}"), frame(BINARY, b""), [frame(0x02, b"{"), frame(0x80, b"}")].concat()] {
        let (code, texts) = closed_after(&server, bytes).await;
        assert_eq!(code, Close::UNSUPPORTED);
        assert_eq!(refusal(&texts[0]), ("INVALID_REQUEST", "message: must be a text frame"));
    }
    server.stop().await;
}

#[tokio::test]
async fn bad_input_02_text_that_is_no_utf8_closes_with_1007_in_one_frame_or_in_fragments() {
    let cut = |bytes: &[u8], at: usize| [frame(0x01, &bytes[..at]), frame(0x80, &bytes[at..])].concat();
    closes_with(
        Close::NOT_UTF8,
        vec![
            ("no UTF-8", frame(TEXT, b"\"\xff\xfe\"")),
            ("a surrogate", frame(TEXT, b"\"\xed\xa0\x80\"")),
            ("longer than it need be", frame(TEXT, b"\"\xc0\xaf\"")),
            ("beyond the last character", frame(TEXT, b"\"\xf4\x90\x80\x80\"")),
            ("a character that does not end", frame(TEXT, b"\"\xe2\x82")),
            ("cut, and wrong after it", cut(b"\"\xc3(\"", 2)),
            ("a first fragment that cannot become right", cut(b"\"\xff\"", 2)),
            (
                "a character that another fragment was to end",
                [frame(0x01, b"\"\xe2"), frame(0x00, b""), frame(0x80, b"\x82\"")].concat(),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn bad_input_07_what_is_too_large_closes_with_1009_whether_or_not_it_comes() {
    let most = Config::default().max_frame;
    let whole = |length: usize| frame(TEXT, &vec![b' '; length]);
    let mut large = frame(0x01, b"{\"arcp\":");
    for _ in 0..40 {
        large.extend(frame(0x00, &vec![b' '; 64 << 10]));
    }
    let endless = |payload: &[u8], count: usize| {
        let mut bytes = frame(0x01, b"[");
        let fragment = frame(0x00, payload);
        (0..count).for_each(|_| bytes.extend(&fragment));
        bytes
    };
    closes_with(
        Close::TOO_LARGE,
        vec![
            ("one byte too many", whole(most + 1)),
            ("65 MiB", whole(65 << 20)),
            ("16 MiB that never come", header(TEXT, 16 << 20)),
            ("2^63 bytes that never come", header(TEXT, usize::MAX >> 1)),
            ("fragments that pass the limit together", large),
            ("fragments of one byte without end", endless(b" ", 400_000)),
            ("empty fragments without end", endless(b"", 400_000)),
        ],
    )
    .await;
}

#[tokio::test]
async fn bad_input_07_a_hundred_thousand_fragments_of_one_byte_are_too_many_before_a_hello_and_one_message_after_it()
 {
    let server = Server::guarded(&Config::default()).await;
    let (mut fragments, mut message) = (Vec::new(), with("\"payload\":{\"nonce\":\"n\"}"));
    message.push_str(&" ".repeat(100_000 - message.len()));
    for (n, byte) in message.bytes().enumerate() {
        let fin = if n == 99_999 { 0x80 } else { 0 };
        fragments.extend(frame(fin | u8::from(n == 0), &[byte]));
    }
    let frames = server.wire().await.write_until_closed(fragments.clone()).await;
    assert_eq!(frames, [Frame::Close(Close::TOO_LARGE)]);
    let began = std::time::Instant::now();
    let (mut wire, _) = greeted(&server).await;
    wire.write(&fragments).await;
    assert!(matches!(wire.read().await, Frame::Text(pong) if pong.contains("\"ping_nonce\":\"n\"")));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    server.stop().await;
}

#[tokio::test]
async fn bad_input_08_a_breach_of_the_websocket_closes_with_1002_and_harms_nobody_else() {
    closes_with(
        Close::PROTOCOL,
        vec![
            ("an unmasked frame", [&[TEXT, 2][..], b"{}"].concat()),
            ("the first reserved bit", frame(0xC1, b"{}")),
            ("the second", frame(0xA1, b"{}")),
            ("the third", frame(0x91, b"{}")),
            ("a reserved bit of a ping", frame(0xC9, b"")),
            ("a reserved opcode", frame(0x83, b"{}")),
            ("the last of them", frame(0x87, b"{}")),
            ("a reserved control opcode", frame(0x8B, b"")),
            ("the last of those", frame(0x8F, b"")),
            ("a fragmented ping", frame(0x09, b"hi")),
            ("a fragmented close", frame(0x08, b"")),
            ("a ping of 126 bytes", frame(PING, &[b'p'; 126])),
            ("a pong of 126 bytes", frame(0x8A, &[b'p'; 126])),
            ("a continuation of nothing", frame(0x80, b"{}")),
            ("a text within a text", [frame(0x01, b"{"), frame(TEXT, b"{}")].concat()),
        ],
    )
    .await;
}

#[tokio::test]
async fn bad_input_09_compression_is_not_negotiated_and_a_compressed_frame_closes_with_1002() {
    let server = Server::guarded(&Config::default()).await;
    let headers = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let answer = server.ask(Ask { headers, ..Ask::default() }).await;
    assert!(answer.is_upgrade() && !answer.headers.contains_key("sec-websocket-extensions"));
    // The beginning of much that is small.
    let bomb = frame(0xC1, &[0xEC, 0xC1, 0x01, 0x01, 0x00, 0x00, 0x00, 0x80, 0x90, 0xFE]);
    let frames = Wire::of(answer.upgraded()).write_until_closed(bomb).await;
    assert_eq!(frames.last(), Some(&Frame::Close(Close::PROTOCOL)));
    server.stop().await;
}

#[tokio::test]
async fn a_message_just_below_2_mib_is_taken() {
    let server = Server::guarded(&Config::default()).await;
    let mut peer = server.open(ALICE, &ALL).await;
    let length = (2 << 20) - 512;
    let job = peer.submit("length", json!("é".repeat(length / 2))).await;
    assert_eq!(peer.job(&job).await.last().unwrap()["payload"]["result"], length);
    server.stop().await;
}

#[tokio::test]
async fn a_frame_that_the_peer_cuts_off_ends_its_connection_only() {
    let server = Server::guarded(&Config::default()).await;
    let mut good = server.open(BOB, &ALL).await;
    let hello =
        json!({ "arcp": "1.1", "id": "h", "type": "session.hello", "payload": features(ALICE, &ALL) });
    let hello = frame(TEXT, hello.to_string().as_bytes());
    for cut in [0, 1, 5, hello.len() / 2, hello.len() - 1] {
        let mut wire = server.wire().await;
        wire.write(&hello[..cut]).await;
        drop(wire);
    }
    for cut in [1, 7, 1000] {
        let mut wire = server.wire().await;
        wire.write(&hello).await;
        assert!(matches!(wire.read().await, Frame::Text(_)));
        wire.write(&[header(TEXT, 2000), vec![b' '; 1000]].concat()[..cut]).await;
        drop(wire);
    }
    server.settles_to(1).await;
    good.works().await;
    server.stop().await;
}
