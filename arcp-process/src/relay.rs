//! One job: submitted to the program, followed, and ended as it ends there.

use std::sync::Arc;

use arcp_client::{JobError, JobEvent, JobHandle, RequestError};
use arcp_core::wire::event::EventBody;
use arcp_core::{Code, Error, Json};
use arcp_tower::{AgentError, Job};
use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep_until};

use crate::fault;
use crate::grant::submission;
use crate::host::{Host, Live};
use crate::result::Passing;

/// Runs `job` as a job of the program's `agent`.
pub(crate) async fn run(host: Arc<Host>, agent: String, job: Job) -> Result<Json, AgentError> {
    let live = tokio::select! {
        biased;
        () = job.cancelled() => return Err(given_up().into()),
        live = host.live() => live?,
    };
    let submission = submission(&live.client, &agent, &job)?;
    // Not given up in the middle: it may be taken, and would then run for nobody.
    let handle = submission.send().await.map_err(|e| {
        if matches!(e, RequestError::TimedOut) {
            live.unfit();
        }
        fault::not_taken(e)
    })?;
    tracing::debug!(job_id = %job.id(), child = %handle.id(), "an agent's program took the job");
    let unended = Unended(Some(live));
    let mut passing = Passing::of(&job);
    let mut cancel = Cancel { job: &job, until: None };
    let mut following = Following { handle, limit: host.config.cancel };
    let mut overspent = None;
    loop {
        // Why it was told to end is why it ends, also if it does not.
        let next = following.next(&mut cancel).await.map_err(|e| overspent.take().unwrap_or(e));
        let Some(event) = next? else { break };
        let pass = pass(&job, &mut passing, event);
        tokio::pin!(pass);
        // A submitter who is behind must not keep a cancellation from the program.
        let passed = loop {
            tokio::select! {
                biased;
                passed = &mut pass => break passed,
                () = cancel.wanted() => following.cancel(&mut cancel).await,
            }
        };
        match passed {
            // It spent more than it was given, and would spend on. What it reports until it has ended is
            // charged, too.
            Err(e) if e.code() == Code::BudgetExhausted => {
                if overspent.replace(e).is_none() && cancel.until.is_none() {
                    following.cancel(&mut cancel).await;
                }
            }
            passed => passed.map_err(|e| overspent.take().unwrap_or(e))?,
        }
    }
    let end = following.handle.result().await;
    if let Some(live) = unended.ended(&end) {
        live.worked();
    }
    if let Some(overspent) = overspent {
        return Err(overspent.into());
    }
    match end {
        Ok(outcome) => Ok(passing.finish(outcome).await?),
        Err(JobError::Ended(failure)) => Err(AgentError::ended(failure.final_status, failure.error)),
        Err(JobError::Cut(why)) => Err(fault::lost(&why).into()),
        Err(JobError::Damaged(e)) => {
            let message = format!("the result of the agent's program cannot be used: {}", e.message());
            Err(Error::new(Code::InternalError, message).into())
        }
    }
}

/// Emits what the program says of its job.
async fn pass(job: &Job, passing: &mut Passing<'_>, event: JobEvent) -> Result<(), Error> {
    let passed = match &event.body {
        EventBody::ResultChunk(chunk) => return passing.chunk(chunk).await,
        _ => job.relay(&event.payload).await,
    };
    match passed {
        // What has not the form of its kind is no reason to end the job.
        Err(e) if e.code() == Code::InvalidRequest => {
            tracing::warn!(job_id = %job.id(), fault = e.message(), "an event of an agent's program is left out");
            Ok(())
        }
        passed => passed,
    }
}

fn given_up() -> Error {
    Error::new(Code::Cancelled, "the job was told to end")
}

/// The wish that the job end, which is passed on once.
struct Cancel<'a> {
    job: &'a Job,
    /// When the program must have ended its job; set once it was told to.
    until: Option<Instant>,
}

impl Cancel<'_> {
    /// Resolves when the program is to be told.
    async fn wanted(&self) {
        match self.until {
            None => self.job.cancelled().await,
            Some(_) => std::future::pending().await,
        }
    }

    /// Resolves when it took too long.
    async fn overdue(&self) {
        match self.until {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

/// The job of the program.
struct Following {
    handle: JobHandle,
    limit: std::time::Duration,
}

impl Following {
    /// The next event; `None` once there are no more.
    async fn next(&mut self, cancel: &mut Cancel<'_>) -> Result<Option<JobEvent>, Error> {
        loop {
            tokio::select! {
                biased;
                () = cancel.wanted() => self.cancel(cancel).await,
                () = cancel.overdue() => return Err(given_up()),
                // A cut is told by `result`, with the same words.
                event = self.handle.next() => return Ok(event.and_then(Result::ok)),
            }
        }
    }

    async fn cancel(&self, cancel: &mut Cancel<'_>) {
        cancel.until = Some(Instant::now() + self.limit);
        if let Err(error) = self.handle.cancel(Some("the job was told to end")).await {
            tracing::debug!(%error, "an agent's program does not cancel");
        }
    }
}

/// A job of the program that has not ended. If this one is over before, nothing new is given to that
/// program, which is stopped once its other jobs have ended.
struct Unended(Option<Arc<Live>>);

impl Unended {
    /// It has ended, or is lost.
    fn ended<T>(mut self, end: &Result<T, JobError>) -> Option<Arc<Live>> {
        self.0.take().filter(|_| !matches!(end, Err(JobError::Cut(_))))
    }
}

impl Drop for Unended {
    fn drop(&mut self) {
        if let Some(live) = &self.0 {
            live.unfit();
        }
    }
}
