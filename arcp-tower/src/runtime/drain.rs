//! A graceful stop: nothing new, what runs may end, everybody is told, and nothing is lost.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arcp_core::wire::event::{self, Status};
use arcp_core::{Code, Error, Event};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::registry::JobRecord;
use super::{Inner, Runtime};

/// The end of the time is kept for what comes after the jobs: at most so much of it.
const MOST_KEPT: Duration = Duration::from_secs(4);

/// A hold on a runtime that is mounted somewhere, to end it. It is cheap to clone.
///
/// ```
/// use arcp_tower::Runtime;
/// use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let runtime = Runtime::builder().build().unwrap();
/// let handle = runtime.handle();
/// // Mount `runtime` in a host; when the host is to stop:
/// let drained = handle.drain(Duration::from_secs(10)).await;
/// assert!(drained.is_whole() && handle.is_draining());
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Handle(Runtime);

/// What a drain came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Drained {
    /// Connections that were sent everything and closed with 1012.
    pub sessions_closed: usize,
    /// Connections that were closed when the time was over; their clients resume elsewhere or later.
    pub sessions_cut: usize,
    /// Jobs that ended by themselves in time.
    pub jobs_finished: usize,
    /// Jobs that were ended, with a retryable `INTERNAL_ERROR` of reason `runtime_stopped`.
    pub jobs_stopped: usize,
    /// Jobs of restartable agents: they run again when their store is opened next.
    pub jobs_left: usize,
    /// Jobs whose end could not be written in time. What opens the store next ends them.
    pub jobs_unsettled: usize,
    /// Whether all that was to be written was.
    pub written: bool,
}

impl Drained {
    /// Whether everything was done in time.
    pub fn is_whole(&self) -> bool {
        self.sessions_cut == 0 && self.jobs_unsettled == 0 && self.written
    }
}

impl Handle {
    pub(super) fn new(runtime: Runtime) -> Self {
        Self(runtime)
    }

    /// Whether the runtime takes nothing new any more.
    pub fn is_draining(&self) -> bool {
        self.0.0.config.door.is_draining()
    }

    /// Ends the runtime within `within`, and says what became of what it did.
    ///
    /// From now on upgrades are answered with 503 (by a route with bounds of its own once it opened a session
    /// here), and hellos, resumes and submits are refused with
    /// a retryable `INTERNAL_ERROR` of reason `draining`. Each session that follows a running job is
    /// told once, by a `status` event of phase `draining`. Jobs may end by themselves, and delegate,
    /// until the last quarter of the time (4 s at most); what runs then is told to stop, and ends with
    /// a retryable `INTERNAL_ERROR` of reason `runtime_stopped`, or is left to run again if its agent
    /// is restartable and there is a store. A connection is closed with 1012 as soon as its jobs are
    /// over and it was sent everything; those that are left are closed when the time is over, by
    /// [`Config::shutdown`](crate::Config::shutdown). Whoever is closed can resume.
    ///
    /// With a route that was mounted with a clone of the runtime's own [`Config`](crate::Config) it also closes
    /// connections that have not said hello, and waits for them; others do that themselves, after their
    /// [`handshake_timeout`](crate::Config::handshake_timeout). A host's own graceful shutdown knows nothing of upgraded
    /// connections: drain first, then end the host.
    ///
    /// If the future is dropped, the runtime stays as it is then, and takes nothing new.
    pub async fn drain(&self, within: Duration) -> Drained {
        let inner = &*self.0.0;
        let times = Times::of(Instant::now(), within);
        tracing::info!(?within, "draining");
        inner.config.door.shut(times.end.into_std());
        inner.registry.close();
        let sessions = inner.open.len();
        inner.tell_draining(&self.0);
        inner.sessions.wake();

        inner.end_jobs(&times).await;
        let mut written = timeout_at(times.shut, inner.written()).await.is_ok();
        inner.config.door.settle();
        inner.sessions.wake();
        inner.open.close();
        let _ = timeout_at(times.shut, inner.open.wait()).await;
        let sessions_cut = inner.open.len();

        // What is left: those who do not read, and those who never said hello.
        inner.config.shutdown.cancel();
        inner.config.tracker.close();
        let out = async {
            inner.open.wait().await;
            inner.config.tracker.wait().await;
        };
        let _ = timeout_at(times.end, out).await;
        // Of each session, that it has no connection any more.
        written &= timeout_at(times.end, inner.written()).await.is_ok();
        let drained = Drained {
            sessions_closed: sessions.saturating_sub(sessions_cut),
            sessions_cut,
            jobs_unsettled: inner.registry.active(),
            written,
            ..inner.stop.counted()
        };
        tracing::info!(?drained, "drained");
        drained
    }
}

/// When what is over.
struct Times {
    /// Jobs run until then.
    cut: Instant,
    /// Agents may take so long to stop.
    abort: Instant,
    /// Services may take so long to revoke.
    hurry: Instant,
    /// Clients may take so long to read.
    shut: Instant,
    end: Instant,
}

impl Times {
    fn of(now: Instant, within: Duration) -> Self {
        let end = Instant::from_std(crate::clock::after(within));
        let kept = (within / 4).min(MOST_KEPT);
        let before = |part: u32| end.checked_sub(kept * part / 4).unwrap_or(now).max(now);
        Self { cut: before(4), abort: before(3), hurry: before(2), shut: before(1), end }
    }
}

/// What running jobs are told when their runtime ends, and what became of them.
#[derive(Debug, Default)]
pub(super) struct Stop {
    /// Agents that were told to stop are not waited for any longer.
    pub(super) abort: CancellationToken,
    /// Ends are written although services have not answered.
    pub(super) hurry: CancellationToken,
    finished: AtomicUsize,
    stopped: AtomicUsize,
    left: AtomicUsize,
}

/// How a job was over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Over {
    /// By itself.
    Finished,
    /// It was ended.
    Stopped,
    /// It runs again elsewhere.
    Left,
}

impl Stop {
    pub(super) fn count(&self, over: Over) {
        let counter = match over {
            Over::Finished => &self.finished,
            Over::Stopped => &self.stopped,
            Over::Left => &self.left,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn counted(&self) -> Drained {
        let of = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        Drained {
            jobs_finished: of(&self.finished),
            jobs_stopped: of(&self.stopped),
            jobs_left: of(&self.left),
            ..Drained::default()
        }
    }
}

/// What a job is ended with whose runtime stops (§12).
pub(super) fn stopped() -> Error {
    let error = Error::new(Code::InternalError, "the runtime was stopped while the job ran");
    error.with_retryable(true).with_detail("reason", "runtime_stopped")
}

const DRAINING: &str = "draining";

/// The refusal of whatever is new.
pub(super) fn draining() -> Error {
    let error = Error::new(Code::InternalError, "the runtime is about to stop; try again later");
    error.with_retryable(true).with_detail("reason", DRAINING)
}

/// Whether a handshake was refused because the runtime is about to stop.
pub(crate) fn is_draining(error: &Error) -> bool {
    error.retryable() && error.details() == draining().details()
}

impl Inner {
    /// Says that it drains in the log of a running job, for each session that follows one: a number
    /// of a session always stands for an event of a log. Who follows several is told by one of them.
    fn tell_draining(&self, runtime: &Runtime) {
        let mut told = HashSet::new();
        let mut running = self.registry.running();
        // The oldest, where one will do.
        running.sort_unstable_by_key(|job| job.created_at);
        for job in running {
            let followers = job.log.followers();
            if followers.iter().all(|session| told.contains(session)) {
                continue;
            }
            if let Err(error) = say(runtime, &job) {
                tracing::debug!(job_id = %job.id, %error, "nobody could be told by this job");
                continue;
            }
            told.extend(followers);
        }
    }

    /// Waits for the jobs, and ends those that take too long.
    async fn end_jobs(&self, times: &Times) {
        let over = |at| async move { timeout_at(at, self.registry.idle()).await.is_ok() };
        if over(times.cut).await {
            return;
        }
        for job in self.registry.running() {
            job.halt();
        }
        if over(times.abort).await {
            return;
        }
        self.stop.abort.cancel();
        if over(times.hurry).await {
            return;
        }
        self.stop.hurry.cancel();
        over(times.shut).await;
    }

    /// Waits until everything that is to be written is.
    async fn written(&self) {
        if let Some(journal) = &self.journal {
            journal.writes.close();
            journal.writes.wait().await;
        }
    }
}

fn say(runtime: &Runtime, job: &Arc<JobRecord>) -> Result<(), Error> {
    let body = Status { phase: "draining".to_owned(), message: None };
    let payload = event::payload("status", runtime.wall(), &body)?;
    let event = Event::new("status", job.id.clone(), Some(job.log.trace_id()), payload);
    job.log.append(event).map(drop).map_err(|e| Error::limit(e.to_string()))
}

/// Counts the connections that have a session.
pub(super) type Open = TaskTracker;
