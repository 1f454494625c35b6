//! `job.submit` (§7.1) and its repeats (§7.2).

mod birth;
mod repeat;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use arcp_core::agent::AgentRef;
use arcp_core::idempotency::fingerprint;
use arcp_core::session::FeedId;
use arcp_core::store::{Batch, Committed, FeedRow, IdempotencyRow, Op, OpResult, StoreError};
use arcp_core::wire::job::{Accepted, Submit};
use arcp_core::{Code, Envelope, Error, Feature, JobId, Json, MessageType, TraceId};

use super::authority::JobAuthority;
use super::body::JobBody;
use super::registry::{JobRecord, too_many};
use super::unsure::Unsure;
use super::{Commands, JobStream, commit_patiently, refused, supervise};
use crate::agent::Agent;
use crate::random;
use crate::service::Response;
use crate::telemetry;
pub(super) use birth::{Birth, job_of};
use repeat::{again, repeat, repeat_stored};

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
        if let Some(response) = again(commands, journal, message, ready.key.as_ref()).await? {
            return Ok(response);
        }
        runtime.0.registry.room(record)?;
    }
    let minted = credentials.issue(record).await?;
    let row = JobBody::of(record, &ready.input, ready.max_runtime).row(record, journal.owner)?;
    let feed = FeedRow { job: record.id.clone(), principal: row.principal.clone(), next: 1, own: true };
    // What the job was accepted with is kept as long as its events.
    let acceptance = ready.key.as_ref().map_or(0, |key| key.accepted.as_str().len());
    journal.written.add(row.body.as_str().len() + acceptance);
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
        Err(e) => return again(commands, journal, message, ready.key.as_ref()).await?.ok_or(e),
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
        && (key.is_empty() || key.len() > config.key_bytes || key.contains('\0'))
    {
        let rule = format!("must have 1 to {} bytes and no NUL", config.key_bytes);
        return Err(Error::fault("payload.idempotency_key", &rule));
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
    let cause = Some(telemetry::caused_by(message, trace_id));
    let birth = Birth { agent: agent_ref, input, authority, followed: true, cause };
    let (job, span) = job_of(runtime, &record, session, birth);
    let (registry, credentials) = (inner.registry.clone(), inner.credentials.clone());
    let run = supervise::Run { record, job, span, agent, registry, credentials, max_runtime, link: None };
    let (handle, jobs, session) = (inner.handle.clone(), inner.jobs.clone(), session.clone());
    Ok(Response::one(reply).then(move || {
        session.tell(feed);
        handle.spawn(run.supervise(jobs));
    }))
}
