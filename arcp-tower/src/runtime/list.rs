//! `session.list_jobs` (§6.6).

use arcp_core::job::Status;
use arcp_core::store::{JobQuery, JobRow, Position};
use arcp_core::wire::session::{JobEntry, Jobs, ListJobs};
use arcp_core::{Envelope, Error, Feature, Json, MessageType};

use super::body::JobBody;
use super::cursor::Cursors;
use super::registry::JobRecord;
use super::{Commands, Runtime, refused};
use crate::auth::Principal;
use crate::service::Response;

pub(super) fn in_memory(commands: &Commands, message: &Envelope) -> Result<Response, Error> {
    let (query, cursors) = read(commands, message)?;
    let Commands { runtime, session } = commands;
    let observed = runtime.observed(&session.caller()).into_iter();
    let mut jobs: Vec<_> = observed.flat_map(|whose| runtime.0.registry.of(&whose.principal)).collect();
    jobs.retain(|job| matches(&query, job));
    jobs.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    let more = jobs.len() > query.limit;
    jobs.truncate(query.limit);
    let end = jobs.last().filter(|_| more);
    let end = end.map(|job| Position { created_at: job.created_at, job: job.id.clone() });
    let entries = jobs.iter().map(|job| entry(runtime, job)).collect();
    answer(message, entries, end.and_then(|end| cursors.write(&end)))
}

pub(super) async fn stored(commands: &Commands, message: &Envelope) -> Result<Response, Error> {
    let Commands { runtime, session } = commands;
    let Some(journal) = &runtime.0.journal else { return in_memory(commands, message) };
    let (query, cursors) = read(commands, message)?;
    let (limit, mut more, mut items) = (query.limit, false, Vec::new());
    for whose in runtime.observed(&session.caller()) {
        let page = journal.store.list_jobs(whose.principal.name(), query.clone()).await;
        let page = page.map_err(|e| refused(&e))?;
        more |= page.more;
        items.extend(page.items);
    }
    items.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    more |= items.len() > limit;
    items.truncate(limit);
    let end = items.last().filter(|_| more);
    let end = end.map(|row| Position { created_at: row.created_at, job: row.id.clone() });
    let mut entries = Vec::with_capacity(items.len());
    for row in items {
        // What runs here is known better here.
        match runtime.0.registry.visible(&Principal::new(row.principal.as_str()), &row.id) {
            Some(record) => entries.push(entry(runtime, &record)),
            None => entries.push(stored_entry(row)?),
        }
    }
    answer(message, entries, end.and_then(|end| cursors.write(&end)))
}

fn read(commands: &Commands, message: &Envelope) -> Result<(JobQuery, Cursors), Error> {
    let Commands { runtime, session } = commands;
    session.features().require(Feature::ListJobs)?;
    let ListJobs { filter, limit, cursor, .. } = message.payload.decode()?;
    let filter = filter.unwrap_or_default();
    let config = &runtime.0.config;
    let limit = limit.unwrap_or(config.listed.max(1));
    if limit == 0 {
        return Err(Error::fault("payload.limit", "must be 1 or more"));
    }
    // A cursor is good for the same principal and the same filter only.
    let scope = format!("{}\n{}", session.principal(), Json::of(&filter)?.as_str());
    let secret = runtime.0.journal.as_ref().map_or(runtime.0.secret, |journal| journal.secret);
    let cursors = Cursors::new(&secret, scope);
    let after = cursor.map(|text| cursors.read(&text)).transpose()?;
    let query = JobQuery {
        status: filter.status.unwrap_or_default(),
        agent: filter.agent,
        created_after: filter.created_after,
        after,
        limit: limit.min(config.max_listed).max(1) as usize,
    };
    Ok((query, cursors))
}

fn matches(query: &JobQuery, job: &JobRecord) -> bool {
    let bare = |agent: &str| job.agent.split('@').next() == Some(agent);
    (query.status.is_empty() || query.status.contains(&job.status()))
        && query.agent.as_deref().is_none_or(|agent| job.agent == agent || bare(agent))
        && query.created_after.is_none_or(|after| job.created_at >= after)
        && query.after.as_ref().is_none_or(|at| (job.created_at, &job.id) < (at.created_at, &at.job))
}

fn entry(runtime: &Runtime, job: &JobRecord) -> JobEntry {
    let mut entry = JobEntry::new(job.id.clone(), job.agent.clone(), job.status(), job.created_at);
    entry.lease = job.lease.clone();
    entry.trace_id = Some(job.log.trace_id());
    entry.last_event_seq = runtime.submitter(job).map_or(0, |session| session.last_of(&job.id));
    entry
}

fn stored_entry(row: JobRow) -> Result<JobEntry, Error> {
    let body: JobBody = row.body.decode()?;
    let status = if row.status == Status::Pending { Status::Running } else { row.status };
    let mut entry = JobEntry::new(row.id, row.agent, status, row.created_at);
    entry.lease = body.lease;
    entry.trace_id = Some(row.trace_id);
    entry.last_event_seq = row.last_event_seq;
    Ok(entry)
}

fn answer(message: &Envelope, jobs: Vec<JobEntry>, next_cursor: Option<String>) -> Result<Response, Error> {
    let page = Jobs::new(message.id.clone(), jobs, next_cursor);
    Envelope::new(MessageType::Jobs, &page).map(Response::one)
}
