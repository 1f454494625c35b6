//! The program: started when there is work, shared by the jobs, and started anew when it is lost.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use arcp_client::{Client, ConnectError, Program};
use arcp_core::Error;
use futures_util::future::join_all;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::config::ProcessConfig;
use crate::fault;

/// Keeps a program running.
pub(crate) struct Host {
    pub(crate) program: Program,
    pub(crate) token: String,
    pub(crate) config: ProcessConfig,
    state: Mutex<State>,
    stopped: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    live: Option<Arc<Live>>,
    /// Those that were replaced, and have a job still.
    replaced: Vec<Weak<Live>>,
    backoff: Backoff,
    /// Why it did not start the last time it was tried, and when that was.
    failure: Option<(Instant, Error)>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("program", &self.program)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// A program that runs. The last one who has it stops it.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) client: Client,
    since: Instant,
    /// A job has ended in it.
    worked: AtomicBool,
    /// Nothing new is given to it.
    unfit: AtomicBool,
}

impl Live {
    /// A job has ended in it.
    pub(crate) fn worked(&self) {
        self.worked.store(true, Ordering::Relaxed);
    }

    /// It does not do what it is told.
    pub(crate) fn unfit(&self) {
        self.unfit.store(true, Ordering::Relaxed);
    }

    fn is_fit(&self) -> bool {
        !self.unfit.load(Ordering::Relaxed) && self.client.disconnected().is_none()
    }

    fn was_sound(&self, config: &ProcessConfig) -> bool {
        self.worked.load(Ordering::Relaxed) || self.since.elapsed() >= config.sound
    }
}

impl Host {
    pub(crate) fn new(program: &Program, token: String, config: ProcessConfig) -> Self {
        // A clone, so that it has no processes but ours.
        let program = program.clone().env("ARCP_TOKEN", &token);
        Self { program, token, config, state: Mutex::default(), stopped: CancellationToken::new() }
    }

    /// The program that runs; one that is started now if there is none. Who comes while it is being
    /// started waits for the same one.
    ///
    /// # Errors
    /// `AGENT_NOT_AVAILABLE` if it could not be started as often as is tried for one job.
    pub(crate) async fn live(&self) -> Result<Arc<Live>, Error> {
        let live = self.stopped.run_until_cancelled(self.find());
        live.await.unwrap_or_else(|| Err(fault::stopped()))
    }

    async fn find(&self) -> Result<Arc<Live>, Error> {
        let came = Instant::now();
        let mut state = self.state.lock().await;
        // Who waited while it did not start has the same answer, and not a round of its own.
        if let Some((_, error)) = state.failure.as_ref().filter(|(at, _)| *at >= came) {
            return Err(error.clone());
        }
        if let Some(live) = state.live.take() {
            if live.is_fit() {
                state.live = Some(live.clone());
                return Ok(live);
            }
            state.replaced.retain(|live| live.strong_count() > 0);
            state.replaced.push(Arc::downgrade(&live));
            if live.was_sound(&self.config) {
                state.backoff.succeeded();
            }
            state.backoff.failed(Instant::now(), &self.config);
        }
        let mut starts = 0;
        loop {
            if let Some(at) = state.backoff.until() {
                sleep_until(at).await;
            }
            starts += 1;
            match self.start().await {
                Ok(client) => {
                    let [worked, unfit] = [false, false].map(AtomicBool::new);
                    let live = Arc::new(Live { client, since: Instant::now(), worked, unfit });
                    state.live = Some(live.clone());
                    return Ok(live);
                }
                Err(error) => {
                    tracing::warn!(program = %self.program, starts, %error, "an agent's program does not start");
                    state.backoff.failed(Instant::now(), &self.config);
                    if starts >= self.config.starts {
                        let error = fault::unavailable(&error);
                        state.failure = Some((Instant::now(), error.clone()));
                        return Err(error);
                    }
                }
            }
        }
    }

    /// What a program lost it lost: its session is not resumed, and its jobs are told.
    async fn start(&self) -> Result<Client, ConnectError> {
        let client = Client::program(&self.program).token(&self.token).resume(false);
        let client =
            client.client("arcp-process", env!("CARGO_PKG_VERSION")).config(self.config.client.clone());
        client.connect().await
    }

    /// Stops the program, and waits until nothing of it is left.
    pub(crate) async fn stop(&self) {
        self.stopped.cancel();
        let mut state = self.state.lock().await;
        let mut lives: Vec<_> = state.replaced.drain(..).filter_map(|live| live.upgrade()).collect();
        lives.extend(state.live.take());
        join_all(lives.iter().map(|live| live.client.close())).await;
        self.program.ended().await;
    }
}
