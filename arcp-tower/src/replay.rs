//! What a session was sent, read from a store without a runtime (§6.3, §8.3).

use std::collections::HashMap;

use arcp_core::event::EventIds;
use arcp_core::store::{Store, StoreError};
use arcp_core::{Code, Error, JobId, SessionId, TraceId};

use crate::profile::by_name;

/// Runs of one read, and bytes of events.
const RUNS: usize = 1024;
const BYTES: usize = 1 << 20;

/// Gives `each` the numbered frames of a session above `after_seq`, as its connections were sent
/// them: the same bytes. Returns how many there were.
///
/// # Errors
/// `RESUME_WINDOW_EXPIRED` if the session is not known or its events are gone, `INTERNAL_ERROR` if
/// the store cannot be read.
pub async fn replay(
    store: &dyn Store,
    session: &SessionId,
    after_seq: u64,
    mut each: impl FnMut(String),
) -> Result<u64, Error> {
    let failed =
        |e: StoreError| Error::new(Code::InternalError, e.to_string()).with_detail("reason", "store");
    let gone = || Error::new(Code::ResumeWindowExpired, "the session or its events are not kept any more");
    let row = store.session(session).await.map_err(failed)?.ok_or_else(gone)?;
    let (ids, profile) = (EventIds::new(&row.secret), by_name(&row.profile));
    let mut jobs: HashMap<JobId, TraceId> = HashMap::new();
    let (mut at, mut count) = (after_seq, 0);
    loop {
        let page = store.runs(session, at, RUNS).await.map_err(failed)?;
        if page.floor > at {
            return Err(gone());
        }
        for run in &page.items {
            if !jobs.contains_key(&run.job) {
                let job = store.job(&row.principal, &run.job).await.map_err(failed)?.ok_or_else(gone)?;
                jobs.insert(run.job.clone(), job.trace_id);
            }
            let trace_id = jobs.get(&run.job).copied().ok_or_else(gone)?;
            let end = run.first + run.len;
            if run.first > at + 1 {
                return Err(gone());
            }
            let mut seq = run.first.max(at + 1);
            while seq < end {
                let from = run.from + (seq - run.first);
                let events = store.job_events(&run.job, from - 1, BYTES).await.map_err(failed)?;
                if events.floor >= from || events.items.is_empty() {
                    return Err(gone());
                }
                for stored in events.items {
                    if seq == end {
                        break;
                    }
                    let event = stored.into_event(run.job.clone(), trace_id);
                    let rewritten = if event.is_terminal() { profile.terminal(&event) } else { None };
                    each(rewritten.as_ref().unwrap_or(&event).encode(session, &ids.id(seq), seq));
                    (seq, count) = (seq + 1, count + 1);
                }
            }
            at = end - 1;
        }
        if !page.more {
            return Ok(count);
        }
    }
}
