//! The end of `arcp serve`: the first signal drains the runtime, the second ends the process.

use std::future::IntoFuture;
use std::io;
use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use arcp_tower::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

/// What asks the process to end. It is caught from the beginning, and remembered.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn catch() -> anyhow::Result<Self> {
        let interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be caught")?;
        let terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be caught")?;
        Ok(Self { interrupt, terminate })
    }

    /// The next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Runs a host until a signal comes, and then drains its runtime within `within`; a second signal is
/// not waited with. The host answers while the runtime drains, and ends with its `shutdown`.
pub(crate) async fn serve(
    host: impl IntoFuture<Output = io::Result<()>>,
    mut signals: Signals,
    handle: &Handle,
    within: Duration,
) -> anyhow::Result<()> {
    let mut host = pin!(host.into_future());
    tokio::select! {
        ended = &mut host => return Ok(ended?),
        () = signals.next() => {}
    }
    let stopping = async { tokio::join!(timeout(within, &mut host), handle.drain(within)) };
    tokio::select! {
        biased;
        (_, drained) = stopping => if !drained.is_whole() {
            tracing::warn!(?drained, "not everything was done in time");
        },
        () = signals.next() => tracing::warn!("ended without waiting"),
    }
    Ok(())
}
