//! `arcp tail`: live, from the beginning, across cuts, at a pace.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::spawn;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::jobs::{as_user, demo_agents, open};
use super::running::Running;

/// The number in a line of the agent `slow`.
fn tick(event: &Value) -> Option<u64> {
    event["body"]["message"].as_str()?.strip_prefix("tick ")?.parse().ok()
}

#[tokio::test]
async fn tail_follows_a_job_live_and_with_from_0_from_its_beginning() {
    let serving = demo_agents(&[]);
    let mut peer = open(&serving, "secret").await;
    let job = peer.submit("slow", json!({ "seconds": 3600, "tick_ms": 20 })).await;
    let seen = peer.pick(|frame| tick(&frame["payload"]) == Some(3)).await;
    assert_eq!(seen["event_seq"], 5);

    let mut live = Running::start(as_user(&serving.url, "secret", &["tail", &job, "--json"]));
    let first = live.json();
    let from = ["tail", "--job-id", &job, "--from", "0", "--json"];
    let mut whole = Running::start(as_user(&serving.url, "secret", &from));
    let head = [whole.json(), whole.json(), whole.json()];
    peer.cancel(&job).await;
    let (live, exit) = live.rest();
    assert_eq!(exit, Some(11), "the job was cancelled");
    let (whole, exit) = whole.rest();
    assert_eq!(exit, Some(11));

    // Live is what came after tail did; from 0 is all of it; both are without a gap, and end alike.
    let live: Vec<_> = std::iter::once(first).chain(live).collect();
    let whole: Vec<_> = head.into_iter().chain(whole).collect();
    assert_eq!(whole[0]["kind"], "status");
    let ticks = |events: &[Value]| events.iter().filter_map(tick).collect::<Vec<_>>();
    let (late, all) = (ticks(&live), ticks(&whole));
    assert!(late[0] > 3 && late.iter().copied().eq(late[0]..=*all.last().unwrap()), "{late:?}");
    assert!(all.iter().copied().eq(0..all.len() as u64), "{all:?}");
    for tail in [&live, &whole] {
        assert_eq!(tail.last().unwrap()["final_status"], "cancelled");
        assert_eq!(tail.last().unwrap()["job_id"], json!(job));
    }
}

/// Passes connections on, until they are cut.
struct Proxy {
    url: String,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    fn before(url: &str) -> Self {
        let upstream = url.strip_prefix("ws://").unwrap().strip_suffix("/arcp").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/arcp", listener.local_addr().unwrap());
        let open = Arc::new(Mutex::new(Vec::new()));
        let held = Arc::clone(&open);
        spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(&upstream).unwrap();
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    spawn(move || std::io::copy(&mut from, &mut to));
                }
                held.lock().unwrap().extend([client, server]);
            }
        });
        Self { url, open }
    }

    fn cut(&self) {
        let open = std::mem::take(&mut *self.open.lock().unwrap());
        assert!(!open.is_empty());
        open.iter().for_each(|tcp| _ = tcp.shutdown(Shutdown::Both));
    }
}

#[tokio::test]
async fn tail_goes_on_after_its_connection_was_cut() {
    let serving = demo_agents(&[]);
    let mut peer = open(&serving, "secret").await;
    let job = peer.submit("slow", json!({ "seconds": 3600, "tick_ms": 20 })).await;
    let proxy = Proxy::before(&serving.url);
    let mut tail = Running::noted(as_user(&proxy.url, "secret", &["tail", &job, "--from", "0"]));
    let mut lines = Vec::new();
    for _ in 0..2 {
        lines.extend(tail.until("tick"));
        proxy.cut();
        lines.extend(tail.until("; resuming]"));
        lines.extend(tail.until("[resumed]"));
    }
    lines.extend(tail.until("tick"));
    peer.cancel(&job).await;
    lines.extend(tail.until("error:"));
    assert_eq!(tail.child.wait().unwrap().code(), Some(11));
    let ticks: Vec<u64> = lines.iter().filter_map(|l| l.split_once("tick ")?.1.parse().ok()).collect();
    assert!(ticks.iter().copied().eq(0..ticks.len() as u64), "{ticks:?}");
}

#[tokio::test]
async fn tail_with_speed_keeps_the_pace() {
    let serving = demo_agents(&[]);
    let mut peer = open(&serving, "secret").await;
    let job = peer.submit("progress", json!({ "total": 4, "delay_ms": 400 })).await;
    peer.job(&job).await;
    // From the first event to the last, which were 1.2 s apart.
    let shown = |speed: &str| {
        let args = ["tail", &job, "--from", "0", "--speed", speed, "--json"];
        let mut tail = Running::start(as_user(&serving.url, "secret", &args));
        assert_eq!(tail.json()["body"]["current"], 1);
        let began = Instant::now();
        for current in 2..=4 {
            assert_eq!(tail.json()["body"]["current"], current);
        }
        let took = began.elapsed();
        assert_eq!(tail.rest().1, Some(0));
        took
    };
    // A clock that is read in milliseconds may be a few of them off.
    let (as_it_was, twice, at_once) = (shown("1"), shown("2"), shown("1000"));
    assert!(as_it_was >= Duration::from_millis(1150), "{as_it_was:?}");
    assert!(twice >= Duration::from_millis(550), "{twice:?}");
    assert!(at_once < Duration::from_millis(550), "{at_once:?}");
}
