//! Sessions that can be cut and continued, on a store or on none.

use std::sync::Arc;

use arcp_core::Timestamp;
use arcp_core::store::Store;
use arcp_core::transport::Memory;
use arcp_tower::layer::Auth;
use arcp_tower::{AuthLayer, BearerTokens, Clock, Config, Runtime};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::peer::numbers;
use crate::{ALICE, Memories, Peer, agents, features, tokens};

/// A runtime that lets [`ALICE`] and [`BOB`](crate::BOB) in.
pub type Stack = Auth<BearerTokens, Runtime>;

/// What is negotiated.
pub const FEATURES: [&str; 6] =
    ["ack", "subscribe", "list_jobs", "progress", "result_chunk", "agent_versions"];

/// A runtime with every agent of [`agents`]. Dropping it and starting another one on the same store
/// is a restart.
pub async fn start(store: Option<Arc<dyn Store>>, config: &Config) -> Memories<Stack> {
    let builder = agents::all(Runtime::builder()).config(config.clone());
    let runtime = match store {
        Some(store) => builder.store(store).open().await.unwrap(),
        None => builder.build().unwrap(),
    };
    Memories::of(runtime.layer(AuthLayer::new(tokens())), config)
}

/// A hello of `token` that continues the session of `welcome` after `last_event_seq`.
pub fn resume(token: &str, welcome: &Value, last_event_seq: u64) -> Value {
    let mut hello = features(token, &FEATURES);
    hello["resume"] = json!({
        "session_id": welcome["session_id"],
        "resume_token": welcome["payload"]["resume_token"],
        "last_event_seq": last_event_seq,
    });
    hello
}

/// Opens a session of `token`, and keeps its welcome.
pub async fn open(server: &Memories<Stack>, token: &str) -> (Peer<Memory>, Value) {
    let mut peer = server.connect();
    let welcome = peer.hello(token, &FEATURES).await;
    (peer, welcome)
}

/// What a new connection is answered that says `hello`.
pub async fn say(server: &Memories<Stack>, hello: Value) -> (Peer<Memory>, Value) {
    first(server, "session.hello", hello).await
}

/// Continues a session, which must succeed.
pub async fn resumed(
    server: &Memories<Stack>,
    token: &str,
    welcome: &Value,
    last_event_seq: u64,
) -> (Peer<Memory>, Value) {
    let (peer, again) = say(server, resume(token, welcome, last_event_seq)).await;
    assert_eq!(again["type"], "session.welcome", "{again}");
    assert_eq!(again["session_id"], welcome["session_id"]);
    (peer, again)
}

/// The code of a refusal; empty if it is none.
pub fn code(answer: &Value) -> &str {
    match answer["type"].as_str() {
        Some("session.error" | "job.error") => answer["payload"]["code"].as_str().unwrap(),
        _ => "",
    }
}

/// Whether frames are numbered `first` and on, without a gap. A failure on thousands of numbers
/// should not print them.
pub fn contiguous_from(first: u64, frames: &[Value]) -> bool {
    numbers(frames).into_iter().eq(first..first + frames.len() as u64)
}

/// A session that was cut after a job with `count` lines: its welcome, the job, and its frames.
pub async fn cut_after(server: &Memories<Stack>, count: u64) -> (Value, String, Vec<Value>) {
    let (mut peer, welcome) = open(server, ALICE).await;
    let job = peer.submit("chatty", json!({ "count": count })).await;
    let frames = peer.job(&job).await;
    assert!(contiguous_from(1, &frames) && frames.len() as u64 == count + 1);
    (welcome, job, frames)
}

/// What a new connection is answered that sends `payload` as `kind`.
pub async fn first(server: &Memories<Stack>, kind: &str, payload: Value) -> (Peer<Memory>, Value) {
    let mut peer = server.connect();
    peer.send(kind, payload).await;
    let answer = peer.next().await;
    if answer["type"] == "session.welcome" {
        peer.welcomed(answer.clone());
    }
    (peer, answer)
}

/// Bounds whose wall clock is tokio's, so that a paused test moves both.
pub fn timed(change: impl FnOnce(&mut Config)) -> Config {
    let (from, noon) = (Instant::now(), 1_800_000_000_000);
    let passed = move || i64::try_from(from.elapsed().as_millis()).unwrap();
    let clock = Clock::new(move || Timestamp::from_millis(noon + passed()));
    Config::default().with(|config| config.clock = clock).with(change)
}
