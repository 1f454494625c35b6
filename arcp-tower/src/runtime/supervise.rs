//! A running job: its agent, its time, and its one terminal message (§7.3).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arcp_core::job::FinalStatus;
use arcp_core::money::{Amount, Currency};
use arcp_core::wire::event::Encoding;
use arcp_core::wire::job::{JobError, JobResult};
use arcp_core::{Code, Error, Event, Feature, Json, MessageType};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{Instrument as _, Span};

use super::Credentials;
use super::credential::Spent;
use super::drain::{self, Over};
use super::registry::{self, Ended, JobRecord, Registry};
use crate::agent::{Agent, AgentError, Job, StreamState};
use crate::fault;
use crate::lock::lock;
use crate::telemetry;

/// Everything that a job needs to run.
pub(super) struct Run {
    pub(super) record: Arc<JobRecord>,
    pub(super) job: Job,
    /// What the agent runs in.
    pub(super) span: Span,
    pub(super) agent: Arc<dyn Agent>,
    pub(super) registry: Arc<Registry>,
    pub(super) credentials: Arc<Credentials>,
    pub(super) max_runtime: Option<Duration>,
    /// What hangs it to the job that delegated it.
    pub(super) link: Option<Link>,
}

/// What a delegated job owes the one that delegated it.
pub(super) struct Link {
    pub(super) parent: Job,
    /// Money that it was given: what it does not spend goes back.
    pub(super) given: BTreeMap<Currency, Amount>,
}

type Outcome = Result<Json, Error>;
/// What an agent says: an error also says how the job ends.
type Said = Result<Json, AgentError>;

impl Run {
    /// Runs the agent to its end. It has a task of its own, so that a panic in it, or a loop that
    /// never yields, costs the job and nothing else.
    pub(super) async fn supervise(self, jobs: Handle) {
        self.record.start();
        let active = telemetry::Active::job();
        let work = work(self.agent.clone(), self.record.clone(), self.job.clone());
        let said = self.wait(jobs.spawn(work.instrument(self.span.clone()))).await;
        let (by_itself, outcome) = match said.map_err(AgentError::into_parts) {
            Ok(result) => (FinalStatus::Success, Ok(result)),
            Err((status, error)) => (status, Err(error)),
        };
        if self.record.stopping() == Some(FinalStatus::Cancelled) {
            // `job.cancelled` leaves before the terminal: the token is cancelled when it is queued.
            self.record.cancel.cancelled().await;
        }
        // No child outlives its parent, and what it leaves is back before the parent's end is there.
        self.record.outlive().await;
        // From here on nothing else decides how it ends.
        let Some(Ended { end, decided }) = self.record.finish(by_itself) else { return };
        self.job.authority().close();
        let halted = self.record.is_halted();
        if halted && self.runs_again() {
            return self.leave();
        }
        let lapsed = decided == Some(FinalStatus::Error);
        self.record.cancel.cancel();
        let outcome = match (halted, lapsed) {
            (true, _) => Err(drain::stopped()),
            (_, true) => Err(self.lapsed()),
            _ => outcome,
        };
        telemetry::job_over(&self.span, end, outcome.as_ref().err(), self.job.authority());
        telemetry::job_ended(&self.record.agent, end, &active);
        let stop = &self.job.runtime().0.stop;
        let spent = tokio::select! {
            biased;
            spent = self.credentials.finish(&self.record.id) => spent,
            // It goes on all the same, and what is not done by then when the store is opened next.
            () = stop.hurry.cancelled() => Spent::UNKNOWN,
        };
        // Only then: what a credential is worth is not to be spent there and given to another child.
        self.conclude(end, &outcome, &spent);
        let terminal = self.terminal(end, outcome);
        let job_id = &self.record.id;
        let append = |event| self.record.log.end(event, end.into()).map_err(|e| Error::limit(e.to_string()));
        match terminal.and_then(append) {
            Ok(_) => tracing::debug!(%job_id, ?end, "job ended"),
            Err(error) => tracing::error!(%job_id, %error, "a terminal message could not be written"),
        }
        self.over(if halted { Over::Stopped } else { Over::Finished });
        self.registry.ended(&self.record);
        self.record.over.cancel();
    }

    /// Whether it runs again when its store is opened next (see [`recover`](super::recover)).
    fn runs_again(&self) -> bool {
        let runtime = &self.job.runtime().0;
        runtime.journal.is_some() && self.link.is_none() && runtime.restartable.contains(&self.record.agent)
    }

    /// Nobody runs it here any more, and it has not ended.
    fn leave(&self) {
        tracing::debug!(job_id = %self.record.id, "job left to run again");
        self.over(Over::Left);
        self.registry.remove(&self.record);
        self.record.over.cancel();
    }

    fn over(&self, over: Over) {
        let runtime = &self.job.runtime().0;
        if runtime.config.door.is_draining() {
            runtime.stop.count(over);
        }
    }

    fn lapsed(&self) -> Error {
        let at = self.job.authority().expires_at().map(|at| at.to_string()).unwrap_or_default();
        Error::new(Code::LeaseExpired, format!("the lease ended at {at}")).with_detail("expires_at", &at)
    }

    /// Tells the job that delegated it how it ended, and gives back what is left. `upstream` is what was spent
    /// with its credentials.
    fn conclude(&self, end: FinalStatus, outcome: &Outcome, upstream: &Spent) {
        let Some(Link { parent, given }) = &self.link else { return };
        let streamed = matches!(self.job.stream(), StreamState::Done { .. });
        let concluded = match (end, outcome) {
            (FinalStatus::Success, Ok(_)) if streamed => registry::Outcome::Streamed,
            (FinalStatus::Success, Ok(result)) => registry::Outcome::Inline(result.clone()),
            (FinalStatus::Cancelled, _) => {
                registry::Outcome::Failed(Error::new(Code::Cancelled, "the job was cancelled"))
            }
            (FinalStatus::TimedOut, _) => {
                registry::Outcome::Failed(Error::new(Code::Timeout, "the job passed its max_runtime_sec"))
            }
            (_, Err(error)) => registry::Outcome::Failed(error.clone()),
            (_, Ok(_)) => return,
        };
        *lock(&self.record.outcome) = Some(concluded);
        let authority = self.job.authority();
        for (currency, given) in given {
            // Where nobody can say, all of it was spent.
            let spent = authority.committed(currency).unwrap_or(*given);
            let spent = spent.max(upstream.of(currency, *given));
            parent.authority().take_back(currency, *given, spent);
            parent.report_child(&self.record.id, currency, spent);
        }
        // Money of its own it had none of: that was taken as it was spent, as far as it was told.
        let mut shared = authority.shared();
        for (currency, spent) in upstream.iter().filter(|(currency, _)| !given.contains_key(currency)) {
            let told = shared.entry(currency.clone()).or_default();
            if let Some(untold) = spent.checked_sub(*told).filter(|untold| *untold > Amount::ZERO) {
                parent.authority().charge(currency, untold);
                *told = spent;
            }
        }
        for (currency, spent) in shared {
            if spent > Amount::ZERO {
                parent.report_child(&self.record.id, &currency, spent);
            }
        }
    }

    /// Waits for the agent and its result, and for no longer than they may take.
    async fn wait(&self, mut agent: JoinHandle<Said>) -> Said {
        let deadline = async {
            match self.max_runtime {
                Some(after) => sleep(after).await,
                None => std::future::pending().await,
            }
        };
        let parent_ends = async {
            match &self.link {
                Some(link) => link.parent.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            joined = &mut agent => return outcome(joined),
            () = self.record.cancel.cancelled() => {}
            () = parent_ends => {
                if self.record.wants_cancel() {
                    self.record.cancel.cancel();
                }
            }
            () = self.record.log.broken().cancelled() => {
                agent.abort();
                let e = Error::new(Code::InternalError, "the job's events could not be kept");
                return Err(e.with_detail("reason", "store").into());
            }
            () = deadline => {
                if self.record.expire() {
                    self.record.cancel.cancel();
                }
            }
            () = self.job.authority().lapsed() => {
                if self.record.lapse() {
                    let (job_id, principal) = (&self.record.id, self.record.principal.name());
                    tracing::info!(target: "arcp::audit", %job_id, principal, "lease expired");
                    let record = serde_json::json!({
                        "what": "lease.expired", "job_id": job_id, "principal": principal,
                        "expires_at": self.job.authority().expires_at(),
                    });
                    self.job.runtime().audit(&self.record.principal, &record);
                    self.record.cancel.cancel();
                }
            }
        }
        // It was told to stop. It may take its time to unwind, but not for ever.
        tokio::select! {
            biased;
            in_time = timeout(self.job.grace(), &mut agent) => if let Ok(joined) = in_time {
                return outcome(joined);
            },
            () = self.job.runtime().0.stop.abort.cancelled() => {}
        }
        agent.abort();
        Err(Error::new(Code::Cancelled, "the agent did not stop in time").into())
    }

    fn terminal(&self, end: FinalStatus, outcome: Outcome) -> Result<Event, Error> {
        let record = &self.record;
        let now = self.job.wall();
        let cut = |e| fault::cut(e, self.job.config());
        let error = |error: &Error| Json::of(&JobError::new(end, error, now));
        let (kind, payload) = match (end, outcome) {
            (FinalStatus::Success, Ok(result)) => (MessageType::Result, self.result(result)?),
            (FinalStatus::Cancelled, _) => {
                let e = Error::new(Code::Cancelled, "the job was cancelled");
                (MessageType::JobError, error(&e)?)
            }
            (FinalStatus::TimedOut, outcome) => {
                // An agent whose work is done elsewhere may know of a time that was up there.
                let theirs = outcome.err().filter(|e| e.code() == Code::Timeout);
                let ours = || Error::new(Code::Timeout, "the job passed its max_runtime_sec");
                (MessageType::JobError, error(&theirs.map_or_else(ours, cut))?)
            }
            (_, Err(e)) => (MessageType::JobError, error(&cut(e))?),
            (_, Ok(_)) => return Err(Error::new(Code::InternalError, "a job cannot fail with a result")),
        };
        Ok(Event::terminal(kind, record.id.clone(), Some(record.log.trace_id()), payload))
    }

    fn result(&self, inline: Json) -> Result<Json, Error> {
        let mut result = JobResult::new(self.record.id.clone(), self.job.wall());
        result.job_id = None;
        match self.job.stream() {
            StreamState::Done { id, size, summary } => {
                if !inline.is_null() {
                    tracing::warn!(job_id = %self.record.id, "a returned result is dropped: one was streamed");
                }
                let summary = summary.map(|summary| fault::cut_summary(&summary, self.job.config()));
                (result.result_id, result.result_size, result.summary) = (Some(id), Some(size), summary);
            }
            _ => result.result = Some(inline),
        }
        Json::of(&result)
    }
}

/// Runs the agent, and sees that its result can be sent. A streamed result stands in for what the agent
/// returned; one that is too large for a frame is streamed by the runtime, as long as the client takes,
/// so this is cancelled and runs out of time like the agent itself.
async fn work(agent: Arc<dyn Agent>, record: Arc<JobRecord>, job: Job) -> Said {
    let result = agent.run(job.clone()).await?;
    match job.stream() {
        StreamState::Done { .. } => return Ok(result),
        StreamState::Begun => {
            return Err(
                Error::new(Code::InternalError, "the agent did not finish its streamed result").into()
            );
        }
        StreamState::None => {}
    }
    if result.as_str().len() <= job.max_inline() || record.stopping().is_some() {
        return Ok(result);
    }
    if !job.features().has(Feature::ResultChunk) {
        let message = format!("an inline result may have at most {} bytes", job.max_inline());
        return Err(Error::limit(message).into());
    }
    let stream = async {
        let mut stream = job.result_stream(Encoding::Utf8)?;
        stream.summary("The result is JSON, streamed because of its size.");
        stream.write(result.as_str()).await?;
        stream.finish().await?;
        Ok(Json::null())
    };
    tokio::select! {
        biased;
        streamed = stream => streamed,
        () = job.cancelled() => Err(Error::new(Code::Cancelled, "the job was told to end").into()),
    }
}

fn outcome(joined: Result<Said, tokio::task::JoinError>) -> Said {
    // What a panic said stays here: it may name anything.
    joined.unwrap_or_else(|_| Err(Error::new(Code::InternalError, "the agent failed").into()))
}
