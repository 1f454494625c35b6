//! What an event costs in allocations, counted.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::alloc::System;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use arcp_core::event::EventIds;
use arcp_core::transport::{Transport as _, WebSocket};
use arcp_core::{Event, JobId, Json, SessionId, TraceId};
use arcp_tests::peer::is_terminal;
use arcp_tests::{ALICE, Memories, Peer, tokens};
use arcp_tower::operation::{Operation, Output};
use arcp_tower::{AuthLayer, BoxError, Config, Job, Level, Runtime, agent_fn};
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::io::ReadBuf;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Counts are the process's: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// The fewest allocations that `f` was seen to make: the test harness allocates now and then.
fn fewest<T>(mut f: impl FnMut() -> T) -> usize {
    let count = |f: &mut dyn FnMut() -> T| {
        let region = Region::new(ALLOCATOR);
        let kept = f();
        let change = region.change();
        drop(kept);
        change.allocations + change.reallocations
    };
    (0..7).map(|_| count(&mut f)).min().unwrap()
}

#[test]
fn a_frame_of_an_event_is_one_allocation() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (ids, session) = (EventIds::new(&[7; 32]), SessionId::from_bits(1));
    for bytes in [0, 100, 100_000] {
        let body = json!({ "kind": "log", "body": { "level": "info", "message": "x".repeat(bytes) } });
        let payload = Json::of(&body).unwrap();
        for trace in [None, Some(TraceId::from_bits(1))] {
            let event = Event::new("log", JobId::from_bits(2), trace, payload.clone());
            for seq in [1, 1000, u64::MAX] {
                assert_eq!(fewest(|| event.encode(&session, &ids.id(seq), seq)), 1, "{bytes} {seq}");
            }
        }
    }
}

/// A socket that takes everything, and from which nothing comes.
struct Open(usize);

impl tokio::io::AsyncWrite for Open {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0 += buf.len();
        Poll::Ready(Ok(buf.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncRead for Open {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

/// A copy needs a place: nothing is allocated beside the frame itself and the one buffer that it is
/// gathered in, so there is one copy between a frame and its socket.
#[test]
fn a_frame_is_copied_once_on_its_way_to_the_socket() {
    const FRAME: usize = 50_000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let limits = Config::default().ws_limits();
    let cx = &mut Context::from_waker(Waker::noop());
    let mut fewest = usize::MAX;
    for _ in 0..7 {
        let mut ws = runtime.block_on(WebSocket::server(Open(0), limits));
        let region = Region::new(ALLOCATOR);
        for _ in 0..2 {
            assert!(ws.poll_ready(cx).is_ready());
            ws.send("x".repeat(FRAME)).unwrap();
            assert!(ws.poll_flush(cx).is_ready());
        }
        let change = region.change();
        fewest = fewest.min(change.bytes_allocated);
        drop(ws);
    }
    let gathered = limits.write_buffer + 4096;
    println!("{fewest} bytes for two frames of {FRAME}, and one buffer of at most {gathered}");
    assert!((2 * FRAME..=2 * FRAME + gathered).contains(&fewest), "{fewest} bytes for two frames");
}

#[test]
fn an_allowed_operation_is_one_allocation_beside_its_two_events_and_its_backend() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.unwrap();
    let mut peer = runtime.block_on(async {
        // The backend's own is its future in a box.
        let tool = tower::service_fn(|operation: Operation| {
            std::future::ready(Ok::<_, BoxError>(Output::from(operation.args)))
        });
        let calls = agent_fn(|count: u64, job: Job| async move {
            for _ in 0..count {
                job.tool("tool", "x").await?;
            }
            Ok(())
        });
        let says = agent_fn(|count: u64, job: Job| async move {
            for _ in 0..count {
                let call_id = job.tool_call("tool", "x").await?;
                job.tool_result(&call_id, Ok("x")).await?;
            }
            Ok(())
        });
        let config = Config::default();
        let served = Runtime::builder().tool("tool", tool).agent("calls", calls).agent("says", says);
        let served = served.build().unwrap().layer(AuthLayer::new(tokens()));
        Memories::of(served, &config).open(ALICE, &["ack"]).await
    });
    let mut each = |agent: &'static str| {
        let mut cost = |count| fewest(|| runtime.block_on(stream(&mut peer, agent, count)));
        cost(5_000);
        let (few, many) = (cost(500), cost(2_500));
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let each = (many - few) as f64 / 2_000.0;
        each
    };
    let (calls, says) = (each("calls"), each("says"));
    println!("{calls} allocations for a call, {says} for its events alone");
    assert!(calls - says <= 2.1, "{calls} allocations for a call, {says} for its events alone");
}

/// Runs a job of `count` lines, and drops what it sends.
async fn stream(peer: &mut Peer<arcp_core::transport::Memory>, agent: &str, count: u64) {
    let lease = json!({ "tool.call": ["*"] });
    peer.send("job.submit", json!({ "agent": agent, "input": count, "lease_request": lease })).await;
    loop {
        let frame = peer.text().await.unwrap();
        if !frame.contains("\"type\":\"job.event\"") {
            let frame: Value = serde_json::from_str(&frame).unwrap();
            if is_terminal(&frame) {
                return;
            }
        }
    }
}

#[test]
fn a_steady_stream_makes_few_allocations_for_each_event() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.unwrap();
    let mut peer = runtime.block_on(async {
        let lines = agent_fn(|count: u64, job: Job| async move {
            for _ in 0..count {
                job.log(Level::Info, "a line of a log").await?;
            }
            Ok(())
        });
        let config = Config::default();
        let served = Runtime::builder().agent("lines", lines).build().unwrap();
        Memories::of(served.layer(AuthLayer::new(tokens())), &config).open(ALICE, &["ack"]).await
    });
    let mut cost = |count| fewest(|| runtime.block_on(stream(&mut peer, "lines", count)));
    // Everything grows to its size once.
    cost(20_000);
    let (few, many) = (cost(1000), cost(11_000));
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let each = (many - few) as f64 / 10_000.0;
    println!("{each} allocations for each event");
    assert!(each <= MEASURED + 0.5, "{each} allocations for each event");
}

/// What was measured for a line of a log, from the agent's call to the frame in the client's hands,
/// the memory transport's own included.
const MEASURED: f64 = 6.0;
