//! A client that watches a job no longer, and whose runtime is not told since the connection is lost first
//! (§7.6): who watches the job next is sent all of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use arcp_client::Client;
use arcp_core::transport::{Close, Memory, Received, RecvError, Transport};
use arcp_tests::ALICE;
use arcp_tests::stores::servers;
use arcp_tower::Config;
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::time::sleep;

/// The client's side of a connection. When it is `silent`, what is sent arrives nowhere; when it is `cut`, so
/// does what comes.
struct Lossy {
    io: Memory,
    silent: Arc<AtomicBool>,
    cut: Arc<AtomicBool>,
}

impl Transport for Lossy {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, RecvError>> {
        if self.cut.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(Received::Closed(None)));
        }
        self.io.poll_recv(cx)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_ready(cx)
    }

    fn send(&mut self, frame: String) -> io::Result<()> {
        if self.silent.load(Ordering::Relaxed) { Ok(()) } else { self.io.send(frame) }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, close: &Close) -> Poll<io::Result<()>> {
        self.io.poll_close(cx, close)
    }
}

#[tokio::test(start_paused = true)]
async fn who_watches_a_job_again_after_the_runtime_did_not_hear_that_it_was_watched_no_longer_has_all_of_it()
{
    for server in servers(&Config::default()).await {
        let (silent, cut) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let owner = Client::over(server.transport(64).0).token(ALICE).connect().await.unwrap();
        let (server, flags) = (Arc::new(server), (silent.clone(), cut.clone()));
        let dial = move || {
            let (server, (silent, cut)) = (server.clone(), flags.clone());
            async move { Ok(Lossy { io: server.transport(64).0, silent, cut }) }
        };
        let watcher = Client::with_connector(dial).token(ALICE).connect().await.unwrap();
        let job = owner.submit("chatty").input(&json!({ "count": 60, "delay_ms": 1000 }));
        let job = job.send().await.unwrap();
        let mut watched = watcher.subscribe(job.id().clone(), true).await.unwrap();
        watched.next().await.unwrap().unwrap();
        silent.store(true, Ordering::Relaxed);
        drop(watched);
        // Longer than what comes is taken for what was under way.
        sleep(Duration::from_secs(15)).await;
        cut.store(true, Ordering::Relaxed);
        // The next event has the driver look.
        sleep(Duration::from_secs(2)).await;
        silent.store(false, Ordering::Relaxed);
        cut.store(false, Ordering::Relaxed);
        sleep(Duration::from_secs(15)).await;
        let mut watched = watcher.subscribe(job.id().clone(), true).await.unwrap();
        assert!(watched.subscribed().replayed);
        assert_eq!(watched.by_ref().count().await, 60);
        assert!(watched.result().await.is_ok());
    }
}
