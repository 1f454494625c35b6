//! What is wrong with a batch whatever a store holds.

use super::{Batch, Caps, CredentialState, Op, RunRow, SessionRow, StoreError, StoredEvent};
use crate::MessageType;
use crate::job::Status;

impl Batch {
    /// Checks what needs no look at what is there, so that every store refuses the same: caps, rows
    /// of somebody else, runs with gaps, terminals in the middle. Returns the bytes of payload.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] with the first operation that is not well formed.
    pub fn check(&self, caps: &Caps) -> Result<usize, StoreError> {
        let mut bytes = 0usize;
        for (op, write) in self.ops.iter().enumerate() {
            bytes = bytes.saturating_add(write.payload());
            if op >= caps.max_ops || bytes > caps.max_bytes || !write.is_well_formed(&self.principal) {
                return Err(StoreError::Conflict { op });
            }
        }
        Ok(bytes)
    }
}

impl Op {
    /// Bytes of payload, as [`Caps::max_bytes`] counts them.
    pub fn payload(&self) -> usize {
        match self {
            Self::PutJob { row } => row.body.as_str().len(),
            Self::NoteJob { note, .. } => note.as_str().len(),
            Self::Append { events, .. } => events.iter().map(|event| event.payload.as_str().len()).sum(),
            Self::Idempotency { row, .. } => row.accepted.as_str().len(),
            Self::Credential { row, .. } => row.sealed.as_ref().map_or(0, Vec::len),
            Self::Audit { record, .. } => record.as_str().len(),
            _ => 0,
        }
    }

    fn is_well_formed(&self, principal: &str) -> bool {
        match self {
            Self::PutSession { row, expect } => is_session(row, *expect) && row.principal == principal,
            Self::Number { after, runs, .. } => are_contiguous(*after, runs),
            Self::PutJob { row } => {
                row.head == 0
                    && row.owner != 0
                    && !row.cancelling
                    && row.note.is_none()
                    && row.principal == principal
            }
            Self::TakeJob { to, .. } => *to != 0,
            Self::Credential { row, expect } => {
                let follows = expect
                    .map_or(row.state == CredentialState::Intent, |before| before.may_become(row.state));
                follows && row.principal == principal && !row.name.is_empty()
            }
            Self::Append { events, ended, .. } => {
                ended.is_none_or(Status::is_terminal) && ends(events) == Some(ended.is_some())
            }
            _ => true,
        }
    }
}

fn is_session(row: &SessionRow, expect: u64) -> bool {
    row.epoch != 0 && row.epoch >= expect && (expect != 0 || row.acked <= row.head)
}

fn are_contiguous(after: u64, runs: &[RunRow]) -> bool {
    let head = runs.iter().try_fold(after, |head, run| {
        let fits = run.len > 0 && run.from > 0 && head.checked_add(1) == Some(run.first);
        // What ends beyond every number is not contiguous with anything.
        run.from.checked_add(run.len)?;
        if fits { head.checked_add(run.len) } else { None }
    });
    head.is_some()
}

/// Whether the last event is a terminal one; `None` if another is.
fn ends(events: &[StoredEvent]) -> Option<bool> {
    let terminal = |event: &StoredEvent| event.kind != MessageType::Event;
    let Some((last, before)) = events.split_last() else { return Some(false) };
    if before.iter().any(terminal) { None } else { Some(terminal(last)) }
}
