//! Thousands of connections to `arcp serve` that never come as far as a session, over each web server.

use std::time::Duration;

use arcp_core::transport::Close;
use arcp_tests::command::{Serving, arcp};
use arcp_tests::wire::Frame;
use arcp_tests::{ALL, Wire};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Of each form.
const MANY: usize = 2000;
/// Files that a process needs for that, with some to spare.
const FILES: u64 = 3 * MANY as u64 + 256;

/// Whether this process, and those that it starts, may have enough files open.
fn enough_files() -> bool {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum.map_or(FILES, |most| most.min(FILES)).max(limit.current.unwrap_or(FILES));
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum });
    let enough = getrlimit(Resource::Nofile).current.is_none_or(|files| files >= FILES);
    if !enough {
        println!("SKIPPED: {FILES} open files are needed, and more than are allowed here");
    }
    enough
}

/// The most memory that a process ever had, in bytes.
fn peak(serving: &Serving) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", serving.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    1024 * line.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
}

/// Waits until the server has closed; whatever it says before is an answer to nothing.
async fn closed(tcp: &mut TcpStream) {
    let mut scrap = [0; 512];
    while tcp.read(&mut scrap).await.is_ok_and(|read| read > 0) {}
}

/// Says a byte a second of a request that never ends, until the server has closed.
async fn crawl(mut tcp: TcpStream) {
    let head = b"GET /arcp HTTP/1.1\r\nHost: localhost\r\nX-Pad: ".iter().chain(std::iter::repeat(&b'x'));
    for byte in head {
        if tcp.write_u8(*byte).await.is_err()
            || timeout(Duration::from_secs(1), closed(&mut tcp)).await.is_ok()
        {
            return;
        }
    }
}

/// Says nothing on a WebSocket, until the server has closed with 1008, or with 1013 because of the others.
async fn without_hello(wire: Wire) {
    let frames = wire.write_until_closed(Vec::new()).await;
    let close = frames.last();
    let expected = [Close::POLICY, Close::TRY_LATER].map(Frame::Close);
    assert!(close.is_some_and(|close| expected.contains(close)), "{frames:?}");
}

async fn flooded(server: &str) {
    if !enough_files() {
        return;
    }
    let mut serve = arcp(&["serve", "--port", "0", "--store", "memory", "--demo-agents", "--server", server]);
    serve.args(["--token", "secret=me@example.com"]);
    let serving = Serving::of(serve, false);
    let mut good = serving.connect().await;
    good.hello("secret", &ALL).await;
    good.works().await;
    let before = peak(&serving);
    let mut strangers = JoinSet::new();
    for _ in 0..MANY {
        let mut tcp = serving.tcp().await;
        strangers.spawn(async move { closed(&mut tcp).await });
        strangers.spawn(crawl(serving.tcp().await));
        strangers.spawn(without_hello(Wire::upgrade(serving.tcp().await, "/arcp", "").await));
    }
    let last = Instant::now();
    // Who means it is let in meanwhile, and who is in goes on.
    while !strangers.is_empty() {
        good.works().await;
        let mut new = serving.connect().await;
        new.hello("secret", &ALL).await;
        new.works().await;
        while let Some(ended) = strangers.try_join_next() {
            ended.unwrap();
        }
        assert!(last.elapsed() < Duration::from_secs(20), "{} are left", strangers.len());
        sleep(Duration::from_millis(100)).await;
    }
    let each = (peak(&serving) - before) / (3 * MANY);
    println!("{each} bytes for each on {server}");
    assert!(each <= 32 << 10, "{each} bytes for each");
    good.works().await;
}

#[tokio::test]
async fn bad_input_47_six_thousand_that_say_nothing_or_a_byte_a_second_are_sent_away_in_time_by_axum() {
    flooded("axum").await;
}

#[tokio::test]
async fn bad_input_47_six_thousand_that_say_nothing_or_a_byte_a_second_are_sent_away_in_time_by_hyper() {
    flooded("hyper").await;
}

#[tokio::test]
async fn bad_input_47_six_thousand_that_say_nothing_or_a_byte_a_second_are_sent_away_in_time_by_actix() {
    flooded("actix").await;
}
