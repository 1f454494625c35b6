//! The reads, each on one snapshot.

use arcp_core::store::{
    CredentialQuery, CredentialRow, FeedRow, Hash, IdempotencyRow, JobQuery, JobRow, Page, RunRow,
    SessionRow, StoreError, StoredEvent,
};
use arcp_core::{JobId, SessionId};
use rusqlite::{Connection, OptionalExtension as _, ToSql, params, params_from_iter};

use crate::error::without_effect;
use crate::row::{self, n};
use crate::segment::{self, Unpack};

pub(crate) enum Fault {
    Engine(rusqlite::Error),
    Damaged(&'static str),
}

impl From<rusqlite::Error> for Fault {
    fn from(e: rusqlite::Error) -> Self {
        Self::Engine(e)
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Engine(e) => without_effect(&e),
            Fault::Damaged(what) => Self::Corrupt(what.to_owned()),
        }
    }
}

type Read<T> = Result<T, Fault>;

fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The first `limit` of the rows, of which one more was asked for.
fn page<T>(mut items: Vec<T>, limit: usize, floor: u64) -> Page<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    Page { items, floor, more }
}

pub(crate) fn session(conn: &Connection, id: &SessionId) -> Read<Option<SessionRow>> {
    let sql = format!("SELECT {} FROM session WHERE id = ?1", row::SESSION);
    Ok(conn.prepare_cached(&sql)?.query_row([id.as_str()], row::session).optional()?)
}

pub(crate) fn session_by_token(conn: &Connection, token: Hash) -> Read<Option<SessionRow>> {
    let sql = format!("SELECT {} FROM session WHERE token = ?1 OR previous_token = ?1", row::SESSION);
    Ok(conn.prepare_cached(&sql)?.query_row([token], row::session).optional()?)
}

pub(crate) fn feeds(conn: &Connection, session: &SessionId) -> Read<Vec<FeedRow>> {
    let sql = "SELECT job, principal, next, own FROM feed WHERE session = ?1";
    let mut sql = conn.prepare_cached(sql)?;
    Ok(sql.query_map([session.as_str()], row::feed)?.collect::<Result<_, _>>()?)
}

pub(crate) fn runs(conn: &Connection, session: &SessionId, after: u64, most: usize) -> Read<Page<RunRow>> {
    let tx = conn.unchecked_transaction()?;
    let sql = "SELECT coalesce((SELECT min(first) - 1 FROM run WHERE session = ?1),
        (SELECT head FROM session WHERE id = ?1), 0)";
    let floor = tx.prepare_cached(sql)?.query_row([session.as_str()], |found| row::number(found, 0))?;
    // The run that `after + 1` is in, if it is there, and those behind it.
    let sql = "SELECT first, len, job, from_seq FROM run WHERE session = ?1 AND first + len > ?2 + 1
        AND first >= coalesce((SELECT max(first) FROM run WHERE session = ?1 AND first <= ?2 + 1), 0)
        ORDER BY first LIMIT ?3";
    let mut sql = tx.prepare_cached(sql)?;
    let after = n(after.min(u64::MAX >> 2));
    let items = sql.query_map(params![session.as_str(), after, limit(most.saturating_add(1))], row::run)?;
    Ok(page(items.collect::<Result<_, _>>()?, most, floor))
}

pub(crate) fn job(conn: &Connection, principal: &str, id: &JobId) -> Read<Option<JobRow>> {
    let sql =
        format!("SELECT {} FROM job JOIN job_body USING (id) WHERE job.id = ?1 AND principal = ?2", row::JOB);
    let mut sql = conn.prepare_cached(&sql)?;
    Ok(sql.query_row(params![id.as_str(), principal], row::job).optional()?)
}

pub(crate) fn job_events(conn: &Connection, job: &JobId, after: u64, max: usize) -> Read<Page<StoredEvent>> {
    let tx = conn.unchecked_transaction()?;
    let sql = "SELECT floor, head FROM job WHERE id = ?1";
    let found = tx
        .prepare_cached(sql)?
        .query_row([job.as_str()], |found| Ok((row::number(found, 0)?, row::number(found, 1)?)));
    let Some((floor, head)) = found.optional()? else {
        return Ok(Page { items: Vec::new(), floor: 0, more: false });
    };
    let mut next = after.max(floor).saturating_add(1);
    let (mut items, mut bytes) = (Vec::new(), 0usize);
    if next > head {
        return Ok(Page { items, floor, more: false });
    }
    let sql = "SELECT first, events, sum FROM segment WHERE job = ?1
        AND first >= (SELECT max(first) FROM segment WHERE job = ?1 AND first <= ?2) ORDER BY first";
    let mut sql = tx.prepare_cached(sql)?;
    let mut rows = sql.query(params![job.as_str(), n(next)])?;
    while let Some(found) = rows.next()? {
        let mut at = row::number(found, 0)?;
        if at > next {
            return Err(Fault::Damaged("a job's log has a hole"));
        }
        let events = found.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        if found.get::<_, Option<u32>>(2)?.is_some_and(|sum| sum != segment::sum(job, at, events)) {
            return Err(Fault::Damaged("a row of a job's log is not what was written"));
        }
        let mut packed = Unpack::new(events);
        while let Some(event) = packed.next() {
            at += 1;
            if at <= next {
                continue;
            }
            bytes = bytes.saturating_add(event.bytes());
            if bytes > max && !items.is_empty() {
                return Ok(Page { items, floor, more: true });
            }
            items.push(event.event().ok_or(Fault::Damaged("an event cannot be read"))?);
            next += 1;
        }
        if !packed.is_whole() {
            return Err(Fault::Damaged("a row of a job's log cannot be read"));
        }
    }
    if next <= head {
        Err(Fault::Damaged("a job's log ends too soon"))
    } else {
        Ok(Page { items, floor, more: false })
    }
}

pub(crate) fn list_jobs(conn: &Connection, principal: &str, query: &JobQuery) -> Read<Page<JobRow>> {
    let mut sql = format!("SELECT {} FROM job JOIN job_body USING (id) WHERE principal = ?", row::JOB);
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(principal.to_owned())];
    if !query.status.is_empty() {
        // One that this version does not know is in no row.
        let codes: Vec<_> = query.status.iter().filter_map(|status| row::status_code(*status)).collect();
        sql.push_str(" AND status IN (");
        for (place, code) in codes.into_iter().enumerate() {
            sql.push_str(if place == 0 { "?" } else { ", ?" });
            values.push(Box::new(code));
        }
        sql.push(')');
    }
    if let Some(agent) = &query.agent {
        sql.push_str(if agent.contains('@') { " AND agent = ?" } else { " AND agent_name = ?" });
        values.push(Box::new(agent.clone()));
    }
    if let Some(after) = query.created_after {
        sql.push_str(" AND created_at >= ?");
        values.push(Box::new(after.as_millis()));
    }
    if let Some(place) = &query.after {
        sql.push_str(" AND (created_at, job.id) < (?, ?)");
        values.push(Box::new(place.created_at.as_millis()));
        values.push(Box::new(place.job.as_str().to_owned()));
    }
    sql.push_str(" ORDER BY created_at DESC, job.id DESC LIMIT ?");
    values.push(Box::new(limit(query.limit.saturating_add(1))));
    let mut sql = conn.prepare_cached(&sql)?;
    let items = sql.query_map(params_from_iter(values), row::job)?.collect::<Result<_, _>>()?;
    Ok(page(items, query.limit, 0))
}

pub(crate) fn idempotency(conn: &Connection, principal: &str, key: &str) -> Read<Option<IdempotencyRow>> {
    let sql = "SELECT key, fingerprint, job, accepted, expires_at FROM idempotency
        WHERE principal = ?1 AND key = ?2";
    Ok(conn.prepare_cached(sql)?.query_row([principal, key], row::key).optional()?)
}

pub(crate) fn orphans(conn: &Connection, owner: u64, most: usize) -> Read<Vec<JobRow>> {
    let sql = format!(
        "SELECT {} FROM job JOIN job_body USING (id) WHERE owner < ?1 AND status < 2 LIMIT ?2",
        row::JOB
    );
    let mut sql = conn.prepare_cached(&sql)?;
    Ok(sql.query_map(params![n(owner), limit(most)], row::job)?.collect::<Result<_, _>>()?)
}

pub(crate) fn credentials(conn: &Connection, query: &CredentialQuery) -> Read<Page<CredentialRow>> {
    let (which, most) = match query {
        CredentialQuery::OfJob { .. } => {
            ("job = ?1 AND principal = ?2 ORDER BY created_at, name", usize::MAX)
        }
        CredentialQuery::Due { limit, .. } => ("due <= ?1 ORDER BY due", *limit),
        CredentialQuery::All { limit, .. } => ("name > ?1 ORDER BY name", *limit),
    };
    let sql = format!(
        "SELECT {} FROM credential WHERE {which} LIMIT {}",
        row::CREDENTIAL,
        limit(most.saturating_add(1))
    );
    let mut sql = conn.prepare_cached(&sql)?;
    let rows = match query {
        CredentialQuery::OfJob { principal, job } => {
            sql.query_map([job.as_str(), principal], row::credential)?
        }
        CredentialQuery::Due { until, .. } => sql.query_map([until.as_millis()], row::credential)?,
        CredentialQuery::All { after, .. } => {
            sql.query_map([after.as_deref().unwrap_or_default()], row::credential)?
        }
    };
    Ok(page(rows.collect::<Result<_, _>>()?, most, 0))
}
