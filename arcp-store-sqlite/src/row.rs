//! Rows to values and back.

use std::str::FromStr;

use arcp_core::job::Status;
use arcp_core::store::{CredentialRow, CredentialState, FeedRow, IdempotencyRow, JobRow, RunRow, SessionRow};
use arcp_core::{Features, Json, Timestamp};
use rusqlite::types::Type;
use rusqlite::{Error, Row};

/// SQLite's integers are signed. Numbers are counted up from 1 and never get near the difference.
pub(crate) fn n(value: u64) -> i64 {
    value.cast_signed()
}

pub(crate) fn number(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(at).map(i64::cast_unsigned)
}

pub(crate) fn time(row: &Row<'_>, at: usize) -> rusqlite::Result<Timestamp> {
    row.get(at).map(Timestamp::from_millis)
}

fn maybe_time(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(at)?.map(Timestamp::from_millis))
}

fn damaged<E: std::error::Error + Send + Sync + 'static>(at: usize, e: E) -> Error {
    Error::FromSqlConversionFailure(at, Type::Text, Box::new(e))
}

/// A text that says something of the file's owner's: an id, a trace.
pub(crate) fn text<T>(row: &Row<'_>, at: usize) -> rusqlite::Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    row.get_ref(at)?.as_str()?.parse().map_err(|e| damaged(at, e))
}

fn json(row: &Row<'_>, at: usize) -> rusqlite::Result<Json> {
    Json::parse(row.get::<_, String>(at)?).map_err(|e| damaged(at, e))
}

fn maybe_json(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Json>> {
    let text: Option<String> = row.get(at)?;
    text.map(|text| Json::parse(text).map_err(|e| damaged(at, e))).transpose()
}

/// The place of a status in the file; `None` for one that this version does not know.
pub(crate) fn status_code(status: Status) -> Option<i64> {
    Some(match status {
        Status::Pending => 0,
        Status::Running => 1,
        Status::Success => 2,
        Status::Error => 3,
        Status::Cancelled => 4,
        Status::TimedOut => 5,
        _ => return None,
    })
}

fn status(row: &Row<'_>, at: usize) -> rusqlite::Result<Status> {
    Ok(match row.get(at)? {
        0 => Status::Pending,
        1 => Status::Running,
        2 => Status::Success,
        3 => Status::Error,
        4 => Status::Cancelled,
        5 => Status::TimedOut,
        other => return Err(Error::IntegralValueOutOfRange(at, other)),
    })
}

/// The name of an agent without its version.
pub(crate) fn bare(agent: &str) -> &str {
    agent.split_once('@').map_or(agent, |(name, _)| name)
}

pub(crate) const SESSION: &str = "id, principal, epoch, features, profile, secret, token, previous_token, \
    head, acked, created_at, expires_at";

pub(crate) fn session(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    let features: Features = json(row, 3)?.decode().map_err(|e| damaged(3, e))?;
    Ok(SessionRow {
        id: text(row, 0)?,
        principal: row.get(1)?,
        epoch: number(row, 2)?,
        features,
        profile: row.get(4)?,
        secret: row.get(5)?,
        token: row.get(6)?,
        previous_token: row.get(7)?,
        head: number(row, 8)?,
        acked: number(row, 9)?,
        created_at: time(row, 10)?,
        expires_at: maybe_time(row, 11)?,
    })
}

/// The columns of a job, of `job` joined with `job_body`.
pub(crate) const JOB: &str = "job.id, principal, session, agent, status, created_at, ended_at, head, \
    owner, trace, body, cancelling, (SELECT first + len - 1 FROM run WHERE run.job = job.id \
        AND run.session = job.session ORDER BY first DESC LIMIT 1), \
    (SELECT note FROM job_note WHERE job_note.id = job.id)";

pub(crate) fn job(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    Ok(JobRow {
        id: text(row, 0)?,
        principal: row.get(1)?,
        session: text(row, 2)?,
        agent: row.get(3)?,
        status: status(row, 4)?,
        created_at: time(row, 5)?,
        ended_at: maybe_time(row, 6)?,
        head: number(row, 7)?,
        owner: number(row, 8)?,
        trace_id: text(row, 9)?,
        body: json(row, 10)?,
        cancelling: row.get(11)?,
        note: maybe_json(row, 13)?,
        last_event_seq: row.get::<_, Option<i64>>(12)?.map_or(0, i64::cast_unsigned),
    })
}

/// `job, principal, next, own`.
pub(crate) fn feed(row: &Row<'_>) -> rusqlite::Result<FeedRow> {
    Ok(FeedRow { job: text(row, 0)?, principal: row.get(1)?, next: number(row, 2)?, own: row.get(3)? })
}

/// `first, len, job, from_seq`.
pub(crate) fn run(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow { first: number(row, 0)?, len: number(row, 1)?, job: text(row, 2)?, from: number(row, 3)? })
}

/// `key, fingerprint, job, accepted, expires_at`.
pub(crate) fn key(row: &Row<'_>) -> rusqlite::Result<IdempotencyRow> {
    Ok(IdempotencyRow {
        key: row.get(0)?,
        fingerprint: row.get(1)?,
        job: text(row, 2)?,
        accepted: json(row, 3)?,
        expires_at: time(row, 4)?,
    })
}

pub(crate) const CREDENTIAL: &str = "name, id, job, principal, profile, state, since, owner, handle, \
    sealed, due, tries, error, created_at";

pub(crate) fn credential(row: &Row<'_>) -> rusqlite::Result<CredentialRow> {
    let state = row.get_ref(5)?.as_str()?;
    let state = CredentialState::ALL.into_iter().find(|known| known.as_str() == state);
    Ok(CredentialRow {
        name: row.get(0)?,
        id: text(row, 1)?,
        job: text(row, 2)?,
        principal: row.get(3)?,
        profile: row.get(4)?,
        state: state.ok_or_else(|| Error::InvalidColumnType(5, "state".to_owned(), Type::Text))?,
        since: time(row, 6)?,
        owner: number(row, 7)?,
        handle: row.get(8)?,
        sealed: row.get(9)?,
        due: maybe_time(row, 10)?,
        tries: row.get(11)?,
        error: row.get(12)?,
        created_at: time(row, 13)?,
    })
}
