//! `job.submit` (§7.1) and its repeats (§7.2).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use arcp_core::agent::AgentRef;
use arcp_core::idempotency::fingerprint;
use arcp_core::job::Status;
use arcp_core::session::FeedId;
use arcp_core::store::{Batch, Committed, FeedRow, IdempotencyRow, JobRow, Op, OpResult, StoreError};
use arcp_core::wire::job::{Accepted, Submit};
use arcp_core::{Code, Envelope, Error, Feature, JobId, Json, MessageType, TraceId};
use tower_layer::Layer as _;

use super::authority::JobAuthority;
use super::body::JobBody;
use super::registry::{JobRecord, too_many};
use super::unsure::Unsure;
use super::{Commands, JobStream, Journal, Publish, commit_patiently, delegate, refused, supervise};
use crate::agent::{Agent, Job, JobParts};
use crate::layer::AckGateLayer;
use crate::random;
use crate::service::{Response, SessionCtx};

/// Everything about a submit that is in order.
struct Ready {
    record: Arc<JobRecord>,
    authority: Arc<JobAuthority>,
    accepted: Accepted,
    trace_id: TraceId,
    input: Json,
    agent_ref: AgentRef,
    agent: Arc<dyn Agent>,
    max_runtime: Option<Duration>,
    key: Option<IdempotencyRow>,
}

pub(super) fn in_memory(commands: &Commands, message: &Envelope) -> Result<Response, Error> {
    let Commands { runtime, session } = commands;
    let ready = prepare(commands, message)?;
    let feed = session.follow(&ready.record.log, 1, true);
    // One step: whoever finds the key taken finds the job, too.
    match runtime.0.registry.claim(&ready.record, ready.key.as_ref(), feed.is_some()) {
        Ok(None) => start(commands, message, ready, feed.ok_or_else(too_many)?),
        Ok(Some((held, job))) => {
            session.unfollow(&ready.record.id);
            let Some(key) = &ready.key else { return Err(too_many()) };
            repeat(commands, message, &held, key, job)
        }
        Err(e) => {
            session.unfollow(&ready.record.id);
            Err(e)
        }
    }
}

/// A submit that is answered from memory, once its credentials were issued.
async fn with_credentials(commands: &Commands, message: &Envelope) -> Result<Response, Error> {
    let Commands { runtime, session } = commands;
    let ready = prepare(commands, message)?;
    let (registry, record) = (&runtime.0.registry, &ready.record);
    // A repeat, and one too many, cost the services nothing.
    if registry.knows(record, ready.key.as_ref()) {
        return in_memory(commands, message);
    }
    registry.room(record)?;
    let minted = runtime.0.credentials.issue(record).await?;
    minted.record().await?;
    let feed = session.follow(&record.log, 1, true);
    match registry.claim(record, ready.key.as_ref(), feed.is_some()) {
        Ok(None) => {
            minted.keep();
            start(commands, message, ready, feed.ok_or_else(too_many)?)
        }
        Ok(Some((held, job))) => {
            session.unfollow(&record.id);
            let Some(key) = &ready.key else { return Err(too_many()) };
            repeat(commands, message, &held, key, job)
        }
        Err(e) => {
            session.unfollow(&record.id);
            Err(e)
        }
    }
}

pub(super) async fn stored(commands: &Commands, message: &Envelope) -> Result<Response, Error> {
    let Commands { runtime, session } = commands;
    let Some(journal) = &runtime.0.journal else { return with_credentials(commands, message).await };
    let ready = prepare(commands, message)?;
    let record = &ready.record;
    let credentials = &runtime.0.credentials;
    if !credentials.is_idle() {
        // A repeat, and one too many, cost the services nothing.
        if let Some(response) = again(commands, journal, message, &ready).await? {
            return Ok(response);
        }
        runtime.0.registry.room(record)?;
    }
    let minted = credentials.issue(record).await?;
    let body = JobBody::of(record, &ready.input, ready.max_runtime);
    let row = JobRow {
        id: record.id.clone(),
        principal: session.principal().name().to_owned(),
        session: session.id().clone(),
        agent: record.agent.clone(),
        status: Status::Running,
        created_at: record.created_at,
        ended_at: None,
        head: 0,
        last_event_seq: 0,
        cancelling: false,
        note: None,
        owner: journal.owner,
        trace_id: ready.trace_id,
        body: Json::of(&body)?,
    };
    let feed = FeedRow { job: record.id.clone(), principal: row.principal.clone(), next: 1, own: true };
    let mut ops = Vec::new();
    ops.extend(ready.key.clone().map(|row| Op::Idempotency { row, now: runtime.wall() }));
    ops.push(Op::PutJob { row });
    ops.push(Op::PutFeed { session: session.id().clone(), epoch: session.stored_epoch(), feed });
    ops.extend(minted.ops());
    let batch = Batch { id: random::bits(), principal: session.principal().name().to_owned(), ops };
    // Before the commit: what it is refused for must not be kept, and whoever finds the job in the
    // store finds its log here.
    let feed = match enlist(commands, &ready) {
        Ok(feed) => feed,
        // A repeat takes no room: it may be this very job that there is none beside.
        Err(e) => return again(commands, journal, message, &ready).await?.ok_or(e),
    };
    let done = match commit_patiently(journal.store.clone(), batch).await {
        // It may have happened: the store is asked.
        Err(e @ StoreError::Unknown) => match journal.store.job(session.principal().name(), &record.id).await
        {
            Ok(Some(_)) => Committed::default(),
            Ok(None) => {
                delist(commands, &ready);
                return Err(refused(&e));
            }
            Err(_) => {
                session.unfollow(&record.id);
                let (key, registry) = (ready.key.map(|row| row.key), runtime.0.registry.clone());
                let unsure = Unsure { record: record.clone(), key, registry, journal: journal.clone() };
                runtime.0.handle.spawn(unsure.settle(runtime.wall()));
                return Err(refused(&e));
            }
        },
        Err(e) => {
            delist(commands, &ready);
            return Err(refused(&e));
        }
        Ok(done) => done,
    };
    if let (Some(OpResult::Existing(held)), Some(key)) = (done.results.first(), &ready.key) {
        delist(commands, &ready);
        return repeat_stored(commands, journal, message, held, key).await;
    }
    minted.keep();
    start(commands, message, ready, feed)
}

/// The answer to a submit that there is no room for, if it is a repeat.
async fn again(
    commands: &Commands,
    journal: &Journal,
    message: &Envelope,
    ready: &Ready,
) -> Result<Option<Response>, Error> {
    let Some(key) = &ready.key else { return Ok(None) };
    let held = journal.store.idempotency(commands.session.principal().name(), &key.key).await;
    let held = held.map_err(|e| refused(&e))?;
    match held.filter(|held| held.expires_at > commands.runtime.wall()) {
        Some(held) => repeat_stored(commands, journal, message, &held, key).await.map(Some),
        None => Ok(None),
    }
}

async fn repeat_stored(
    commands: &Commands,
    journal: &Journal,
    message: &Envelope,
    held: &IdempotencyRow,
    asked: &IdempotencyRow,
) -> Result<Response, Error> {
    let Commands { runtime, session } = commands;
    let known = match super::known(runtime, session.principal(), &held.job).await {
        Ok(job) => Some(job),
        Err(e) if e.code() == Code::JobNotFound => return Err(forgotten(held)),
        // Accepted without its end, it would be waited for in vain.
        Err(e) => return Err(e),
    };
    if let Some((head, _, true)) = known.as_ref().map(|job| job.log.extent()) {
        let page = journal.store.job_events(&held.job, 0, 1).await.map_err(|e| refused(&e))?;
        if page.floor >= head {
            return Err(forgotten(held));
        }
    }
    let _alone = session.following().await;
    let followed = session.follows(&held.job);
    let response = repeat(commands, message, held, asked, known)?;
    if !followed {
        keep_feed(commands, journal, &held.job).await?;
    }
    Ok(response)
}

/// Keeps that a session follows somebody's job from now on: it does after a resume, too.
async fn keep_feed(commands: &Commands, journal: &Journal, job: &JobId) -> Result<(), Error> {
    let session = &commands.session;
    let Some(next) = session.cursor_of(job) else { return Ok(()) };
    let principal = session.principal().name().to_owned();
    let feed = FeedRow { job: job.clone(), principal: principal.clone(), next, own: false };
    let op = Op::PutFeed { session: session.id().clone(), epoch: session.stored_epoch(), feed };
    let batch = Batch { id: random::bits(), principal, ops: vec![op] };
    let kept = commit_patiently(journal.store.clone(), batch).await.map(drop);
    kept.inspect_err(|_| _ = session.unfollow(job)).map_err(|e| refused(&e))
}

/// Checks a submit, without any effect.
fn prepare(commands: &Commands, message: &Envelope) -> Result<Ready, Error> {
    let Commands { runtime, session } = commands;
    let inner = &*runtime.0;
    let submit: Submit = message.payload.decode()?;
    let max_runtime = check(commands, &submit)?;
    let (agent_ref, agent) = inner.agents.resolve(&submit.agent)?;
    check_input(&**agent, &submit.input)?;

    let id = JobId::from_bits(random::bits());
    let trace_id = message.trace_id.unwrap_or_else(|| TraceId::from_bits(random::bits()));
    let now = runtime.wall();
    let mut accepted = Accepted::new(id.clone(), agent_ref.to_string(), now);
    accepted.lease = submit.lease_request.clone();
    accepted.lease_constraints.clone_from(&submit.lease_constraints);
    accepted.trace_id = Some(trace_id);
    let (lease, constraints) = (&submit.lease_request, submit.lease_constraints.as_ref());
    let authority = JobAuthority::new(lease, constraints, inner.policy, &inner.config.clock)?;
    accepted.budget = Some(authority.remaining()).filter(|budget| !budget.is_empty());
    let key = match &submit.idempotency_key {
        Some(key) => Some(IdempotencyRow {
            key: key.clone(),
            fingerprint: fingerprint(&submit)?,
            job: id.clone(),
            accepted: Json::of(&accepted)?,
            expires_at: now.plus(inner.config.key_lifetime),
        }),
        None => None,
    };
    let log = JobStream::new(
        id.clone(),
        trace_id,
        session.principal().clone(),
        inner.config.log_caps(),
        inner.journal.clone(),
    );
    let authority = Arc::new(authority);
    let record = Arc::new(JobRecord {
        agent: agent_ref.to_string(),
        principal: session.principal().clone(),
        session_id: session.id().clone(),
        session: Some(session.clone()),
        lease: submit.lease_request,
        lease_constraints: submit.lease_constraints,
        authority: Some(authority.clone()),
        created_at: now,
        ..JobRecord::new(id, Arc::new(log))
    });
    let (input, agent) = (submit.input, agent.clone());
    Ok(Ready { record, authority, accepted, trace_id, input, agent_ref, agent, max_runtime, key })
}

/// Whether an agent would take an input. What it reads it with is not ours, and may panic: that costs
/// this request and nothing else.
pub(super) fn check_input(agent: &dyn Agent, input: &Json) -> Result<(), Error> {
    let checked = catch_unwind(AssertUnwindSafe(|| agent.check(input)));
    checked.unwrap_or_else(|_| Err(Error::new(Code::InternalError, "the agent failed")))
}

/// What can be said of a submit before its agent is known. Returns how long the job may run.
fn check(commands: &Commands, submit: &Submit) -> Result<Option<Duration>, Error> {
    let Commands { runtime, session } = commands;
    let (config, features) = (&runtime.0.config, session.features());
    if submit.agent.version().is_some() {
        features.require(Feature::AgentVersions)?;
    }
    submit.lease_request.validate(features, config.lease_caps())?;
    if let Some(constraints) = &submit.lease_constraints {
        if constraints.expires_at.is_some() {
            features.require(Feature::LeaseExpiresAt)?;
        }
        constraints.effective(runtime.wall())?;
    }
    if let Some(key) = &submit.idempotency_key
        && (key.is_empty() || key.len() > 256 || key.contains('\0'))
    {
        return Err(Error::fault("payload.idempotency_key", "must have 1 to 256 bytes and no NUL"));
    }
    let most = config.max_runtime.as_secs();
    match submit.max_runtime_sec {
        Some(seconds) if seconds == 0 || seconds > most => {
            Err(Error::fault("payload.max_runtime_sec", &format!("must be 1 to {most}")))
        }
        seconds => Ok(seconds.map(Duration::from_secs)),
    }
}

/// Takes the job in, if its principal and its session may have one more.
fn enlist(commands: &Commands, ready: &Ready) -> Result<FeedId, Error> {
    let Commands { runtime, session } = commands;
    runtime.0.registry.insert(&ready.record)?;
    session.follow(&ready.record.log, 1, true).ok_or_else(|| {
        runtime.0.registry.remove(&ready.record);
        too_many()
    })
}

/// The job will not be.
fn delist(commands: &Commands, ready: &Ready) {
    commands.session.unfollow(&ready.record.id);
    commands.runtime.0.registry.remove(&ready.record);
}

/// Starts the job once its acceptance is on its way.
fn start(commands: &Commands, message: &Envelope, ready: Ready, feed: FeedId) -> Result<Response, Error> {
    let Commands { runtime, session } = commands;
    let inner = &*runtime.0;
    let Ready { record, authority, mut accepted, trace_id, input, agent_ref, agent, max_runtime, .. } = ready;
    accepted.request_id.clone_from(&message.id);
    inner.credentials.attach(&mut accepted, session);
    let reply = Envelope::new(MessageType::Accepted, &accepted.revealed())?;
    let reply = reply.with_job(record.id.clone()).with_trace(Some(trace_id));
    let job = job_of(runtime, &record, session, Birth { agent: agent_ref, input, authority, followed: true });
    let (registry, credentials) = (inner.registry.clone(), inner.credentials.clone());
    let run = supervise::Run { record, job, agent, registry, credentials, max_runtime, link: None };
    let (handle, session) = (inner.handle.clone(), session.clone());
    Ok(Response::one(reply).then(move || {
        session.tell(feed);
        let jobs = handle.clone();
        handle.spawn(run.supervise(jobs));
    }))
}

/// What a job begins with.
pub(super) struct Birth {
    pub(super) agent: AgentRef,
    pub(super) input: Json,
    pub(super) authority: Arc<JobAuthority>,
    /// Whether its session is sent its events, and so decides how far it may be ahead.
    pub(super) followed: bool,
}

/// What an agent gets to see of a job.
pub(super) fn job_of(
    runtime: &super::Runtime,
    record: &Arc<JobRecord>,
    session: &SessionCtx,
    birth: Birth,
) -> Job {
    let config = &runtime.0.config;
    let max_unwritten = config.max_unwritten.min(config.log_caps().events / 2).max(1);
    let Birth { agent, input, authority, followed } = birth;
    let follower = followed.then(|| session.clone());
    if runtime.0.restartable.contains(&record.agent) && !authority.remaining().is_empty() {
        record.log.note(authority.clone());
    }
    let credits = if followed { session.credits() } else { delegate::unfollowed() };
    let publish = Publish { log: record.log.clone(), session: follower, max_unwritten };
    Job::new(JobParts {
        id: record.id.clone(),
        agent,
        input,
        trace_id: record.log.trace_id(),
        session: session.clone(),
        followed,
        extensions: session.extensions(),
        events: AckGateLayer::spending(credits).layer(publish),
        operations: runtime.0.operations.clone(),
        authority,
        runtime: runtime.clone(),
        record: record.clone(),
        log: record.log.clone(),
        cancel: record.cancel.clone(),
        config: config.clone(),
        credentials: runtime.0.credentials.clone(),
    })
}

/// The answer to a submit whose key is held longer than the job that it made. Running it again is what a
/// key is there to prevent (§7.2).
fn forgotten(held: &IdempotencyRow) -> Error {
    let e =
        Error::new(Code::DuplicateKey, "payload.idempotency_key: the job that has it is not kept any more");
    e.with_detail("existing_job_id", held.job.as_str())
}

/// The answer to a submit whose key was used: the same acceptance, and then what there is to come.
fn repeat(
    commands: &Commands,
    message: &Envelope,
    held: &IdempotencyRow,
    asked: &IdempotencyRow,
    job: Option<Arc<JobRecord>>,
) -> Result<Response, Error> {
    let session = &commands.session;
    // Accepted without an end to come, it would be waited for in vain.
    let job = job.ok_or_else(|| forgotten(held))?;
    if held.fingerprint != asked.fingerprint {
        let e = Error::new(Code::DuplicateKey, "payload.idempotency_key: was used with other parameters");
        return Err(e.with_detail("existing_job_id", held.job.as_str()));
    }
    let mut accepted: Accepted = held.accepted.decode()?;
    accepted.request_id.clone_from(&message.id);
    commands.runtime.0.credentials.attach(&mut accepted, session);
    let reply = Envelope::new(MessageType::Accepted, &accepted.revealed())?.with_job(held.job.clone());
    let reply = Response::one(reply.with_trace(message.trace_id.or(accepted.trace_id)));
    job.control(session.id());
    if session.follows(&job.id) {
        return Ok(reply);
    }
    let (head, _, ended) = job.log.extent();
    let next = if ended { head } else { head + 1 };
    let Some(feed) = session.follow(&job.log, next, false) else { return Ok(reply) };
    let session = session.clone();
    Ok(reply.then(move || session.tell(feed)))
}
