//! What floods hold, and leave behind: of strangers, of refused hellos, of pings.

use std::time::Duration;

use arcp_tests::wire::{Frame, PING, TEXT, frame, header};
use arcp_tests::{ALICE, Memories, features, guarded, socket};
use arcp_tower::Config;
use serde_json::json;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::{alone, held};

/// A runtime whose time is virtual.
pub(super) fn timeless() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// Writes as far as it is taken.
async fn write(io: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    let _ = tokio::time::timeout(Duration::from_millis(10), io.write_all(bytes)).await;
}

#[test]
fn s15_s40_two_thousand_strangers_hold_little_whatever_they_declare_and_nothing_after_five_seconds() {
    const STRANGERS: usize = 2000;
    let _alone = alone();
    timeless().block_on(async {
        // All of them at once, and not only as many as there are places for.
        let config = Config::default().with(|c| c.max_handshakes = STRANGERS);
        let mount = guarded(&config);
        // What a first message may have, and a buffer for each way.
        let most = config.first_frame + (16 << 10);
        let forms: [(&str, Vec<u8>); 5] = [
            ("say nothing", vec![]),
            ("say one byte", vec![TEXT]),
            ("declare 2 MiB", header(TEXT, 2 << 20)),
            ("declare 2 MiB in a fragment", [frame(0x01, b"{"), header(0x00, 2 << 20)].concat()),
            ("say almost all of a first message", [header(TEXT, 16 << 10), vec![b' '; 16_000]].concat()),
        ];
        // Everything grows to its size once.
        let mut before = held();
        for round in 0..2 {
            for (what, bytes) in &forms {
                let mut strangers = Vec::new();
                for _ in 0..STRANGERS {
                    let mut io = socket(mount.clone(), &config).into_inner();
                    write(&mut io, bytes).await;
                    strangers.push(io);
                }
                let each = held().saturating_sub(before) / STRANGERS;
                println!("{each} bytes for each of those that {what}");
                assert!(each <= most, "{each} bytes for each of those that {what}");
                tokio::time::sleep(config.handshake_timeout + 3 * config.close_timeout).await;
                assert_eq!(config.door.strangers(), 0);
                drop(strangers);
                tokio::task::yield_now().await;
            }
            let left = held().saturating_sub(before);
            assert!(round == 0 || left < 64 << 10, "{left} bytes are left");
            before = held();
        }
    });
}

#[test]
fn bad_input_47_ten_thousand_hellos_with_a_bad_token_are_each_refused_and_leave_nothing() {
    let _alone = alone();
    timeless().block_on(async {
        let config = Config::default();
        let server = Memories::of(guarded(&config), &config);
        let mut before = 0;
        for n in 0..11_000 {
            if n == 1000 {
                before = held();
            }
            let refused = server.connect().say_hello(features("wrong", &["ack"])).await;
            assert_eq!(refused["payload"]["code"], "UNAUTHENTICATED");
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let left = held().saturating_sub(before);
        assert!(left < 64 << 10, "{left} bytes are left");
        server.open(ALICE, &["progress"]).await.works().await;
    });
}

#[test]
fn s40_a_thousand_pings_a_second_hold_no_more_after_two_minutes_whether_or_not_their_pongs_are_read() {
    let _alone = alone();
    timeless().block_on(async {
        let config = Config::default();
        let message = |kind: &str, payload: serde_json::Value| {
            let message = json!({ "arcp": "1.1", "id": "a", "type": kind, "payload": payload });
            frame(TEXT, message.to_string().as_bytes())
        };
        let hello = message("session.hello", features(ALICE, &["ack"]));
        let session_ping = message("session.ping", json!({ "nonce": "n".repeat(1000) }));
        for (ping, reads) in
            [(frame(PING, &[b'p'; 125]), true), (frame(PING, b""), false), (session_ping, false)]
        {
            let thousand = ping.repeat(1000);
            let before = held();
            let mut wire = socket(guarded(&config), &config);
            wire.write(&hello).await;
            assert!(matches!(wire.read().await, Frame::Text(_)));
            let (mut read, mut write) = tokio::io::split(wire.into_inner());
            let pinging = tokio::spawn(async move {
                while write.write_all(&thousand).await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
            let reading = tokio::spawn(async move {
                if !reads {
                    return std::future::pending().await;
                }
                let _ = tokio::io::copy(&mut read, &mut tokio::io::sink()).await;
            });
            let mut most = [0, 0];
            for minute in &mut most {
                for _ in 0..55 {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    *minute = held().max(*minute);
                }
            }
            assert!(most[1] < most[0] + (16 << 10), "{most:?}");
            assert!(most[0] < before + (1 << 20), "{} bytes", most[0] - before);
            assert!(!pinging.is_finished(), "nobody is sent away for it");
            pinging.abort();
            reading.abort();
        }
    });
}
