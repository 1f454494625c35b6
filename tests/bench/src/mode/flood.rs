//! Strangers by the thousand, and one who pings a thousand times a second: what a good session should
//! not notice.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tokio_tungstenite::{MaybeTlsStream, connect_async};

use crate::args::{Args, Beside};
use crate::process;
use crate::session::Session;

/// Strangers at once.
const STRANGERS: u64 = 2000;
/// Files of a process beside theirs.
const FILES: u64 = 64;
/// How long one that was sent away takes to come again.
const AGAIN: Duration = Duration::from_secs(5);
/// Pings a second.
const PINGS: u32 = 1000;

/// A flood under way, on a thread of its own: strangers do not take turns with who is measured. It ends
/// with this.
pub(super) struct Flood {
    running: JoinSet<Result<()>>,
    thread: Handle,
    /// Taken when it ends.
    runtime: Option<Runtime>,
}

impl Flood {
    /// Begins the flood that `args` ask for.
    pub(super) async fn begin(args: &Args) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let thread = runtime.handle().clone();
        let mut flood = Self { running: JoinSet::new(), thread, runtime: Some(runtime) };
        if args.beside == Beside::Pinging {
            let session = args.clone();
            flood.spawn(async move { pings(Session::open(&session, 2).await?).await });
            return Ok(flood);
        }
        ensure!(
            process::open_files(STRANGERS + FILES) >= STRANGERS + FILES,
            "{STRANGERS} strangers need more files: raise the hard limit (ulimit -Hn)"
        );
        let crawls = args.beside == Beside::Crawling;
        for _ in 0..STRANGERS {
            let url = args.url.clone();
            // One after another, so that none is turned away at the door.
            let tcp = flood.thread.spawn(stranger(url.clone())).await??;
            flood.spawn(async move {
                stay(tcp, crawls).await;
                loop {
                    sleep(AGAIN).await;
                    // The one who came last may be one too many.
                    if let Ok(tcp) = stranger(url.clone()).await {
                        stay(tcp, crawls).await;
                    }
                }
            });
        }
        Ok(flood)
    }

    /// # Errors
    /// If a part of it ended, and how.
    pub(super) fn lasts(&mut self) -> Result<()> {
        match self.running.try_join_next() {
            None => Ok(()),
            Some(ended) => bail!("the flood ended: {ended:?}"),
        }
    }

    fn spawn(&mut self, part: impl Future<Output = Result<()>> + Send + 'static) {
        self.running.spawn_on(part, &self.thread);
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The bytes of a WebSocket that was just opened.
async fn stranger(url: String) -> Result<MaybeTlsStream<TcpStream>> {
    Ok(connect_async(&*url).await?.0.into_inner())
}

/// Stays until it is sent away; says nothing, or a byte a second of a hello that never ends.
async fn stay(mut tcp: MaybeTlsStream<TcpStream>, crawls: bool) {
    let mut scrap = [0; 256];
    // A text of 1,000 bytes, masked with nothing.
    let hello = [0x81, 0xFE, 0x03, 0xE8, 0, 0, 0, 0].into_iter().chain(std::iter::repeat(b' '));
    for byte in hello {
        if crawls && tcp.write_u8(byte).await.is_err() {
            return;
        }
        // Whatever it says, it is said before it closes.
        let gone = async { while tcp.read(&mut scrap).await.is_ok_and(|read| read > 0) {} };
        if timeout(Duration::from_secs(1), gone).await.is_ok() {
            return;
        }
    }
}

async fn pings(mut session: Session) -> Result<()> {
    let mut next = interval(Duration::from_secs(1) / PINGS);
    loop {
        tokio::select! {
            _ = next.tick() => session.ping().await?,
            text = session.text() => drop(text?),
        }
    }
}
