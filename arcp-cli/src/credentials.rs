//! `arcp credentials`.

use arcp_tower::core::Timestamp;
use arcp_tower::core::store::{CredentialQuery, CredentialRow, Store as _};
use serde::Serialize;

use crate::args::Credentials;
use crate::file;
use crate::output;
use crate::plain::plain;

/// Credentials of one read.
const PAGE: usize = 1000;

/// What an operator may see of a credential: everything but its value.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    name: &'a str,
    job_id: &'a str,
    principal: &'a str,
    profile: &'a str,
    state: &'a str,
    since: Timestamp,
    tries: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// Lists credentials, the oldest first.
pub(crate) async fn run(args: Credentials) -> anyhow::Result<()> {
    let store = file::open(&args.db)?;
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = store.credentials(CredentialQuery::All { after, limit: PAGE }).await?;
        after = page.items.last().map(|row| row.name.clone());
        let wanted = |row: &CredentialRow| args.states.is_empty() || args.states.contains(&row.state);
        rows.extend(page.items.into_iter().filter(wanted));
        if !page.more {
            break;
        }
    }
    rows.sort_by_key(|row| row.created_at);
    for row in &rows {
        if args.json {
            output::json(&serde_json::to_string(&line(row))?)?;
        } else {
            output::line(&plain(&text(row)))?;
        }
    }
    Ok(())
}

fn line(row: &CredentialRow) -> Line<'_> {
    Line {
        id: row.id.as_str(),
        name: &row.name,
        job_id: row.job.as_str(),
        principal: &row.principal,
        profile: &row.profile,
        state: row.state.as_str(),
        since: row.since,
        tries: row.tries,
        due: row.due,
        error: row.error.as_deref(),
    }
}

fn text(row: &CredentialRow) -> String {
    let due = row.due.map_or_else(|| "-".to_owned(), |due| due.to_string());
    let error = row.error.as_deref().unwrap_or_default();
    let (state, job, principal) = (row.state.as_str(), &row.job, &row.principal);
    format!("{}  {state:8} {job}  {principal}  {} tries, due {due}  {error}", row.id, row.tries)
}
