//! A connection on which nothing can be written any more, though it is open: the session notices, and
//! goes on where it was on the next one (§6.3).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use arcp_core::transport::{Close, Memory, Received, RecvError, Transport, memory};
use arcp_tests::sessions::{FEATURES, Stack, contiguous_from, resumed};
use arcp_tests::{ALICE, Memories, Peer, guarded};
use arcp_tower::{Config, serve};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The runtime's side of a connection; it still reads when it is `broken`, and cannot write.
struct OneWay {
    io: Memory,
    broken: Arc<AtomicBool>,
}

impl OneWay {
    fn writable(&self) -> io::Result<()> {
        if self.broken.load(Ordering::Relaxed) { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}

impl Transport for OneWay {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, RecvError>> {
        self.io.poll_recv(cx)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_ready(cx)
    }

    fn send(&mut self, frame: String) -> io::Result<()> {
        self.writable()?;
        self.io.send(frame)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writable()?;
        self.io.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, close: &Close) -> Poll<io::Result<()>> {
        self.writable()?;
        self.io.poll_close(cx, close)
    }
}

/// A session whose connection can be broken.
struct Breakable {
    server: Memories<Stack>,
    peer: Peer<Memory>,
    welcome: Value,
    broken: Arc<AtomicBool>,
    served: JoinHandle<Option<Close>>,
}

async fn breakable() -> Breakable {
    let config = Config::default();
    let stack = guarded(&config);
    let ((ours, theirs), broken) = (memory(64), Arc::new(AtomicBool::new(false)));
    let theirs = OneWay { io: theirs, broken: broken.clone() };
    let served = tokio::spawn(serve(theirs, stack.clone(), http::Extensions::new(), config.clone()));
    let mut peer = Peer::new(ours, Duration::from_secs(86_400));
    let welcome = peer.hello(ALICE, &FEATURES).await;
    Breakable { server: Memories::of(stack, &config), peer, welcome, broken, served }
}

#[tokio::test(start_paused = true)]
async fn t42_a_pong_that_cannot_be_written_ends_the_connection_and_not_the_session() {
    let Breakable { server, mut peer, welcome, broken, served } = breakable().await;
    broken.store(true, Ordering::Relaxed);
    peer.send("session.ping", json!({ "nonce": "n" })).await;
    timeout(Duration::from_secs(5), served).await.expect("it is noticed at once").unwrap();
    let (mut peer, _) = resumed(&server, ALICE, &welcome, 0).await;
    peer.works().await;
}

#[tokio::test(start_paused = true)]
async fn t53_an_event_that_cannot_be_written_ends_the_connection_and_is_there_on_the_next() {
    let Breakable { server, mut peer, welcome, broken, served } = breakable().await;
    let job = peer.submit("chatty", json!({ "count": 20, "delay_ms": 100 })).await;
    let first = peer.kind("job.event").await;
    assert_eq!(first["event_seq"], 1);
    broken.store(true, Ordering::Relaxed);
    timeout(Duration::from_secs(5), served).await.expect("it is noticed at once").unwrap();
    let (mut peer, _) = resumed(&server, ALICE, &welcome, 1).await;
    let rest = peer.job(&job).await;
    assert!(contiguous_from(2, &rest), "nothing was dropped");
    assert_eq!(rest.last().unwrap()["payload"]["result"]["emitted"], 20);
}
