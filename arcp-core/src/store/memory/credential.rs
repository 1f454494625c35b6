//! The ledger of credentials.

use super::{OVERHEAD, State};
use crate::Timestamp;
use crate::store::{CredentialQuery, CredentialRow, CredentialState, Page, STUCK_KEPT};

/// What a row takes of the room; it is counted once, whatever becomes of the row.
pub(super) fn cost(row: &CredentialRow) -> usize {
    row.name.len() + row.principal.len() + 2 * OVERHEAD
}

impl State {
    pub(super) fn put_credential(&mut self, row: CredentialRow) {
        let new = cost(&row);
        if self.credentials.insert(row.name.clone(), row).is_none() {
            self.bytes += new;
        }
    }

    pub(super) fn credentials(&self, query: &CredentialQuery) -> Page<CredentialRow> {
        let mut rows: Vec<&CredentialRow> = match query {
            CredentialQuery::OfJob { principal, job } => self
                .credentials
                .values()
                .filter(|row| row.job == *job && row.principal == *principal)
                .collect(),
            CredentialQuery::Due { until, .. } => {
                self.credentials.values().filter(|row| row.due.is_some_and(|due| due <= *until)).collect()
            }
            CredentialQuery::All { after, .. } => {
                let behind = |row: &&CredentialRow| after.as_ref().is_none_or(|after| row.name > *after);
                self.credentials.values().filter(behind).collect()
            }
        };
        let limit = match query {
            CredentialQuery::OfJob { .. } => usize::MAX,
            CredentialQuery::Due { limit, .. } => {
                rows.sort_by_key(|row| row.due);
                *limit
            }
            CredentialQuery::All { limit, .. } => *limit,
        };
        let more = rows.len() > limit;
        Page { items: rows.into_iter().take(limit).cloned().collect(), floor: 0, more }
    }

    pub(super) fn trim_credentials(&mut self, before: Timestamp, limit: u64) -> u64 {
        let (mut gone, mut bytes) = (0, 0);
        self.credentials.retain(|_, row| {
            let over = match row.state {
                CredentialState::Revoked => row.since < before,
                CredentialState::Stuck => row.since.plus(STUCK_KEPT) < before,
                _ => false,
            };
            let goes = over && gone < limit;
            if goes {
                gone += 1;
                bytes += cost(row);
            }
            !goes
        });
        self.bytes -= bytes;
        gone
    }
}
