//! Records of who came back, or tried to, for auditors (§14).

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use arcp_core::store::{Batch, Op};
use arcp_core::{Json, SessionId, Timestamp};
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use serde::Serialize;

use super::{Runtime, commit_patiently};
use crate::auth::Principal;
use crate::layer::rate::Limiter;
use crate::random;
use crate::telemetry;

/// Principals that are remembered before those with full quota are forgotten.
const SWEEP: usize = 10_000;

/// Bounds the records of resumes: whoever may ask must not be able to fill the store by asking.
pub(super) struct Resumes {
    limiter: Limiter,
    unrecorded: AtomicU64,
}

/// What came of a resume, as auditors read it. A client is not told why.
#[derive(Serialize)]
struct Record<'a> {
    what: &'static str,
    principal: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a SessionId>,
    last_event_seq: u64,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    /// Resumes since the record before this one that left none, of whichever principals.
    #[serde(skip_serializing_if = "is_zero")]
    unrecorded: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// A resume.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) principal: &'a Principal,
    /// The session, where the peer named one.
    pub(super) session_id: Option<&'a SessionId>,
    pub(super) last_event_seq: u64,
}

impl Resumes {
    /// So many records a second of one principal, and as many at once.
    pub(super) fn new(rate: u32) -> Self {
        let quota = Quota::per_second(NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN));
        let limiter = RateLimiter::new(quota, DashMapStateStore::default(), crate::layer::rate::TokioClock);
        Self { limiter, unrecorded: AtomicU64::new(0) }
    }

    /// Writes a resume to the log; what is to be kept of it, unless its principal has had its share.
    pub(super) fn record(
        &self,
        attempt: Attempt<'_>,
        at: Timestamp,
        refused: Option<&'static str>,
    ) -> Option<Op> {
        let Attempt { principal, session_id, last_event_seq } = attempt;
        telemetry::resumed(refused);
        if self.limiter.len() > SWEEP {
            self.limiter.retain_recent();
        }
        if self.limiter.check_key(principal).is_err() {
            self.unrecorded.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let unrecorded = self.unrecorded.swap(0, Ordering::Relaxed);
        let principal = principal.name();
        tracing::info!(
            target: "arcp::audit", principal, ?session_id, last_event_seq, refused, unrecorded, "session.resume"
        );
        let (what, allowed, why) = ("session.resume", refused.is_none(), refused);
        let record = Record { what, principal, session_id, last_event_seq, allowed, why, unrecorded };
        Json::of(&record).ok().map(|record| Op::Audit { at, record })
    }
}

impl Runtime {
    /// A resume was refused. The peer does not wait until the record is kept.
    pub(super) fn resume_refused(&self, attempt: Attempt<'_>, why: &'static str) {
        let record = self.0.resumes.record(attempt, self.wall(), Some(why));
        let (Some(op), Some(journal)) = (record, &self.0.journal) else { return };
        let (store, principal) = (journal.store.clone(), attempt.principal.name().to_owned());
        journal.spawn(async move {
            let batch = Batch { id: random::bits(), principal, ops: vec![op] };
            if let Err(error) = commit_patiently(store, batch).await {
                tracing::warn!(%error, "the refusal of a resume was not kept");
            }
        });
    }
}
