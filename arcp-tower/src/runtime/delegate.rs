//! `agent.delegate` (§10): a job that another job started, within its authority.

mod given;
mod kept;

use std::fmt;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use arcp_core::job::Status;
use arcp_core::wire::job::Accepted;
use arcp_core::{Code, Envelope, Error, JobId, Json, MessageType};
use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_service::Service;
use tracing::Instrument as _;

use super::authority::JobAuthority;
use super::body::JobBody;
use super::registry::{JobRecord, Outcome, too_many};
use super::unsure::Unsure;
use super::{JobStream, Runtime, submit, supervise};
use crate::agent::{Delegated, Job, Parent};
use crate::lock::lock;
use crate::operation::{Operation, Output};
use crate::random;
use crate::service::After;
use given::Given;
use kept::{Kept, keep};

/// The backend of `agent.delegate`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delegate;

impl Service<Operation> for Delegate {
    type Response = Output;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Output, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, operation: Operation) -> Self::Future {
        let Some(runtime) = operation.job().map(|job| job.runtime().clone()) else {
            return ready(Err(Error::new(Code::PermissionDenied, "no lease was asked"))).boxed();
        };
        // A task, so that neither a time-out of a layer nor the end of the agent stops it half way: a child
        // is there and known, or it is not.
        let started = runtime.0.handle.spawn(start(operation).in_current_span());
        let failed = |_| Err(Error::new(Code::InternalError, "the delegation failed"));
        started.map(move |outcome| outcome.unwrap_or_else(failed)).boxed()
    }
}

/// A job that was delegated, as the agent that delegated it sees it.
#[derive(Clone)]
pub struct ChildJob(Arc<Child>);

struct Child {
    record: Arc<JobRecord>,
    accepted: Accepted,
    /// Runs it.
    begin: Mutex<Option<After>>,
}

impl Drop for Child {
    /// One that its parent never named was given up: it ends as soon as it begins.
    fn drop(&mut self) {
        if lock(&self.begin).is_some() && self.record.wants_cancel() {
            self.record.cancel.cancel();
        }
    }
}

impl ChildJob {
    /// Its id.
    pub fn id(&self) -> &JobId {
        &self.0.record.id
    }

    /// What it may do, and the rest of its acceptance.
    pub fn accepted(&self) -> &Accepted {
        &self.0.accepted
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.0.record.status()
    }

    /// Asks it to end. It ends as cancelled, after the grace period at the latest.
    pub fn cancel(&self) {
        if self.0.record.wants_cancel() {
            self.0.record.cancel.cancel();
        }
    }

    /// Its result, when it has ended.
    ///
    /// # Errors
    /// What it ended with; `INVALID_REQUEST` with reason `streamed` if its result was streamed:
    /// whoever subscribes to it can read that.
    pub async fn result(&self) -> Result<Output, Error> {
        self.0.record.over.cancelled().await;
        match lock(&self.0.record.outcome).clone() {
            Some(Outcome::Inline(result)) => Ok(Output::from(result)),
            Some(Outcome::Streamed) => {
                let e = Error::new(Code::InvalidRequest, "the child streamed its result");
                Err(e.with_detail("reason", "streamed"))
            }
            Some(Outcome::Failed(error)) => Err(error),
            None => Err(Error::new(Code::InternalError, "the child's end is not known")),
        }
    }

    /// It may run: its parent has named it.
    pub(crate) fn begin(&self) {
        lock(&self.0.begin).take();
    }
}

impl fmt::Debug for ChildJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildJob").field("id", self.id()).finish_non_exhaustive()
    }
}

async fn start(operation: Operation) -> Result<Output, Error> {
    let unasked = || Error::new(Code::PermissionDenied, "no lease was asked");
    let parent = operation.job().cloned().ok_or_else(unasked)?;
    let incomplete = || Error::fault("operation", "is for Job::delegate to make");
    let delegated = operation.extensions.get::<Delegated>().cloned().ok_or_else(incomplete)?;
    let runtime = parent.runtime().clone();
    let ready = prepare(&runtime, &parent, &delegated, operation.args)?;
    let mut unborn = Unborn { record: ready.record.clone(), kept: false };
    // Given back if nothing comes of it.
    let mut given = Given::take(parent.authority(), ready.authority.lease().budget()?)?;
    let Ready { record, authority, agent_ref, agent, input, accepted } = ready;
    let session = parent.session();
    let follows = session.profile().tells_of_children() && !session.is_over();
    runtime.0.registry.insert(&record)?;
    let undo = |e: Error| {
        session.unfollow(&record.id);
        runtime.0.registry.remove(&record);
        e
    };
    // Before anything is waited for: its parent ends when it is over, whatever becomes of it.
    parent.record().adopt(&record, runtime.0.config.max_children).map_err(&undo)?;
    let feed = match follows.then(|| session.follow(&record.log, 1, true)) {
        Some(None) => return Err(undo(too_many())),
        Some(Some(feed)) => Some(feed),
        None => None,
    };
    // Issued before anybody hears of the child, and gone before its end is there (§9.8).
    let minted = tokio::select! {
        biased;
        () = record.cancel.cancelled() => Err(Error::new(Code::Cancelled, "the job is ending")),
        minted = runtime.0.credentials.issue(&record) => minted,
    };
    let minted = minted.map_err(&undo)?;
    let body = JobBody::of(&record, &input, delegated.max_runtime);
    match keep(&runtime, &parent, &record, &body, follows, &minted).await {
        Kept::Yes => {}
        Kept::No(e) => return Err(undo(e)),
        Kept::Unsure(e, journal) => {
            session.unfollow(&record.id);
            let (registry, now) = (runtime.0.registry.clone(), runtime.wall());
            let unsure = Unsure { record: record.clone(), key: None, registry, journal };
            runtime.0.handle.spawn(unsure.settle(now));
            unborn.keep();
            return Err(e);
        }
    }
    minted.keep();
    given.keep();
    unborn.keep();
    // Whoever took the session over meanwhile follows it under another number.
    let feed = feed.and_then(|_| session.follow(&record.log, 1, true));

    let cause = Some(parent.trace_context());
    let birth = submit::Birth { agent: agent_ref, input, authority, followed: follows, cause };
    let (job, span) = submit::job_of(&runtime, &record, session, birth);
    let link = supervise::Link { parent: parent.clone(), given: given.money.clone() };
    let run = supervise::Run {
        record: record.clone(),
        job,
        span,
        agent,
        registry: runtime.0.registry.clone(),
        credentials: runtime.0.credentials.clone(),
        max_runtime: delegated.max_runtime,
        link: Some(link),
    };
    let mut revealed = accepted.clone();
    runtime.0.credentials.attach(&mut revealed, session);
    let reply = Envelope::new(MessageType::Accepted, &revealed.revealed())?.with_job(record.id.clone());
    let reply = reply.with_trace(Some(record.log.trace_id()));
    let (handle, jobs) = (runtime.0.handle.clone(), runtime.0.jobs.clone());
    let session = session.clone();
    let begin = After::new(move || {
        if let Some(feed) = feed {
            session.notify(reply);
            session.tell(feed);
        }
        handle.spawn(run.supervise(jobs));
    });
    let named = Json::of(&serde_json::json!({ "child_job_id": record.id }))?;
    let child = ChildJob(Arc::new(Child { record, accepted, begin: Mutex::new(Some(begin)) }));
    let mut output = Output::from(named);
    output.extensions.insert(child);
    Ok(output)
}

/// Everything about a delegation that is in order.
struct Ready {
    record: Arc<JobRecord>,
    authority: Arc<JobAuthority>,
    agent_ref: arcp_core::agent::AgentRef,
    agent: Arc<dyn crate::agent::Agent>,
    input: Json,
    accepted: Accepted,
}

/// Checks a delegation, without any effect.
fn prepare(runtime: &Runtime, parent: &Job, delegated: &Delegated, input: Json) -> Result<Ready, Error> {
    let (inner, config) = (&*runtime.0, &runtime.0.config);
    let depth = parent.record().parent.as_ref().map_or(0, |parent| parent.depth) + 1;
    if depth > config.max_delegation_depth {
        return Err(Error::limit(format!(
            "at most {} jobs may hang below each other",
            config.max_delegation_depth
        )));
    }
    if parent.is_cancelled() {
        return Err(Error::new(Code::Cancelled, "the job is ending"));
    }
    let (agent_ref, agent) = inner.agents.resolve(&delegated.agent)?;
    submit::check_input(&**agent, &input)?;
    delegated.lease.validate(parent.features(), config.lease_caps())?;
    let authority = parent.authority().child(&delegated.lease, delegated.constraints.as_ref())?;
    let (session, now) = (parent.session(), runtime.wall());
    let id = JobId::from_bits(random::bits());
    let caps = config.log_caps();
    let trace_id = parent.trace_id();
    let principal = session.principal().clone();
    let log = JobStream::new(id.clone(), trace_id, principal.clone(), caps, inner.journal.clone());
    let hangs = Parent { job_id: parent.id().clone(), delegate_id: delegated.delegate_id.clone(), depth };
    let mut accepted = Accepted::new(id.clone(), agent_ref.to_string(), now);
    accepted.lease = authority.lease().clone();
    accepted.lease_constraints = authority.constraints().cloned();
    accepted.budget = Some(authority.remaining()).filter(|budget| !budget.is_empty());
    accepted.trace_id = Some(trace_id);
    accepted.parent_job_id = Some(hangs.job_id.clone());
    accepted.delegate_id = Some(hangs.delegate_id.clone());
    let authority = Arc::new(authority);
    let record = Arc::new(JobRecord {
        agent: agent_ref.to_string(),
        principal,
        session_id: session.id().clone(),
        session: Some(session.clone()),
        lease: authority.lease().clone(),
        lease_constraints: authority.constraints().cloned(),
        authority: Some(authority.clone()),
        parent: Some(hangs),
        created_at: now,
        cancel: CancellationToken::new(),
        ..JobRecord::new(id, Arc::new(log))
    });
    Ok(Ready { record, authority, agent_ref, agent: agent.clone(), input, accepted })
}

/// A child that nothing may come of: it is over then, and its parent waits no longer.
struct Unborn {
    record: Arc<JobRecord>,
    kept: bool,
}

impl Unborn {
    fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Unborn {
    fn drop(&mut self) {
        if !self.kept {
            self.record.over.cancel();
        }
    }
}

/// Credits of a job that no session follows: nobody acknowledges, and nobody waits.
pub(super) fn unfollowed() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(Semaphore::MAX_PERMITS))
}
