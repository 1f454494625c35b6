//! What a running job may do: its lease, its budget, its time (§9).

mod money;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use arcp_core::lease::{Authority, Budget, Lease, LeaseConstraints, ModelUse, Namespace, Snapshot, Target};
use arcp_core::money::{Amount, Currency};
use arcp_core::{Code, Error, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::runtime::JobStream;

/// What a deployment decides about leases.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Policy {
    /// A lease ends this much after its `expires_at`; a minute at the most.
    pub(crate) skew: Duration,
    /// A lease without `model.use` allows no model (§9.7).
    pub(crate) require_model_use: bool,
    /// What patterns would deny is let through, and recorded.
    pub(crate) audit_only: bool,
}

/// What is noted of a job that can run again.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) budget: Snapshot,
}

/// The authority of one job.
#[derive(Debug)]
pub(crate) struct JobAuthority {
    grants: Authority,
    lease: Lease,
    constraints: Option<LeaseConstraints>,
    until: Option<Until>,
    budget: Mutex<Budget>,
    /// The counters at the start, and as they were last reported.
    whole: BTreeMap<Currency, Amount>,
    told: Mutex<BTreeMap<Currency, Amount>>,
    /// The job that delegated it: what it has no counter of its own for is that one's money.
    parent: Option<Arc<JobAuthority>>,
    policy: Policy,
    lapsed: CancellationToken,
    /// The job has ended. Set and read while the budget is locked.
    closed: AtomicBool,
    /// Counted up by every change of the budget.
    changes: AtomicU64,
    /// The log beside which the counters are noted, if they are.
    noted: OnceLock<Weak<JobStream>>,
    /// What was spent of the money of whoever delegated it.
    shared: Mutex<BTreeMap<Currency, Amount>>,
    clock: Clock,
}

/// How long the end of a lease is waited for without a look at the wall clock. No timer hears of one that
/// was turned on, or of a machine that slept.
const GLANCE: Duration = Duration::from_secs(30);

/// When authority ends. The wall clock may be turned back, and the other one stands still while the
/// machine sleeps: whichever comes first counts.
#[derive(Debug, Clone, Copy)]
struct Until {
    at: Timestamp,
    instant: Instant,
}

/// A lease that says which models it allows wherever it is not every one (§9.7): none, if the deployment
/// asks for them to be named, or if whoever delegated it has only some. What comes of it, a child or a key of
/// a gateway, is bounded by that.
fn named(lease: &Lease, parent: Option<&JobAuthority>, policy: Policy) -> Lease {
    let bounded = parent.is_some_and(|parent| parent.lease.0.contains_key(&Namespace::ModelUse));
    let mut lease = lease.clone();
    if bounded || policy.require_model_use {
        lease.0.entry(Namespace::ModelUse).or_default();
    }
    lease
}

/// The refusal of whatever begins when its job is over.
fn ended() -> Error {
    Error::new(Code::Cancelled, "the job has ended")
}

impl JobAuthority {
    /// The authority that a submit asks for.
    ///
    /// # Errors
    /// `INVALID_REQUEST` that names the grant or the bound that cannot be.
    pub(crate) fn new(
        lease: &Lease,
        constraints: Option<&LeaseConstraints>,
        policy: Policy,
        clock: &Clock,
    ) -> Result<Self, Error> {
        let now = clock.wall();
        let expires_at = constraints.map(|c| c.effective(now)).transpose()?.flatten();
        Self::with(lease, constraints, expires_at, Budget::new(lease.budget()?), None, policy, clock)
    }

    /// The authority of a job that a store remembers. Its end may be past.
    pub(crate) fn recalled(
        lease: &Lease,
        constraints: Option<&LeaseConstraints>,
        kept: Option<Snapshot>,
        policy: Policy,
        clock: &Clock,
    ) -> Result<Self, Error> {
        let text = constraints.and_then(|c| c.expires_at.as_deref());
        let expires_at = text.and_then(|text| Timestamp::parse(text).ok());
        let budget = match kept {
            Some(kept) => Budget::from(kept),
            None => Budget::new(lease.budget()?),
        };
        Self::with(lease, constraints, expires_at, budget, None, policy, clock)
    }

    /// The authority of a job that `self` delegates: within this one, or not at all (§9.4). The
    /// child's budget is not taken yet.
    pub(crate) fn child(
        self: &Arc<Self>,
        lease: &Lease,
        constraints: Option<&LeaseConstraints>,
    ) -> Result<Self, Error> {
        let now = self.clock.wall();
        let asked = constraints.map(|c| c.effective(now)).transpose()?.flatten();
        let child = Authority::new(lease, asked)?;
        let models = if self.policy.require_model_use { ModelUse::Required } else { ModelUse::Optional };
        self.grants.covers(&child, &self.available(), models)?;
        // A child without an end of its own ends with its parent.
        let expires_at = [asked, self.expires_at()].into_iter().flatten().min();
        let constraints = expires_at.map(LeaseConstraints::expires_at);
        let parent = Some(self.clone());
        Self::with(
            lease,
            constraints.as_ref(),
            expires_at,
            Budget::new(lease.budget()?),
            parent,
            self.policy,
            &self.clock,
        )
    }

    fn with(
        lease: &Lease,
        constraints: Option<&LeaseConstraints>,
        expires_at: Option<Timestamp>,
        budget: Budget,
        parent: Option<Arc<Self>>,
        policy: Policy,
        clock: &Clock,
    ) -> Result<Self, Error> {
        let lease = named(lease, parent.as_deref(), policy);
        let now = clock.wall();
        let until = expires_at.map(|at| {
            let left = u64::try_from(at.as_millis() - now.as_millis()).unwrap_or(0);
            Until { at, instant: Instant::now() + Duration::from_millis(left) + policy.skew }
        });
        Ok(Self {
            grants: Authority::new(&lease, expires_at)?,
            whole: lease.budget()?,
            lease,
            constraints: constraints.cloned(),
            until,
            told: Mutex::default(),
            budget: Mutex::new(budget),
            parent,
            policy,
            lapsed: CancellationToken::new(),
            closed: AtomicBool::new(false),
            changes: AtomicU64::new(1),
            noted: OnceLock::new(),
            shared: Mutex::default(),
            clock: clock.clone(),
        })
    }

    /// What was asked for, and which models that allows if it is not every one.
    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(crate) fn constraints(&self) -> Option<&LeaseConstraints> {
        self.constraints.as_ref()
    }

    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        self.until.map(|until| until.at)
    }

    /// Whether the lease has not ended, and nor has the job.
    ///
    /// # Errors
    /// `LEASE_EXPIRED`; the job will end with that. `CANCELLED` if it has.
    pub(crate) fn alive(&self) -> Result<(), Error> {
        if self.is_closed() {
            return Err(ended());
        }
        let Some(until) = self.until else { return Ok(()) };
        if Instant::now() < until.instant && self.clock.wall() < until.at.plus(self.policy.skew) {
            return Ok(());
        }
        self.lapsed.cancel();
        Err(Error::new(Code::LeaseExpired, format!("the lease ended at {}", until.at)))
    }

    /// Whether it allows anything at all now, whatever its patterns say.
    ///
    /// # Errors
    /// `LEASE_EXPIRED` or `BUDGET_EXHAUSTED`, in this order.
    pub(crate) fn in_force(&self) -> Result<(), Error> {
        self.alive()?;
        self.solvent()
    }

    /// Resolves when the lease has ended, by either clock; never if it has no end.
    pub(crate) async fn lapsed(&self) {
        let Some(until) = self.until else { return std::future::pending().await };
        let ended = async {
            while self.alive().is_ok() {
                sleep_until(until.instant.min(Instant::now() + GLANCE)).await;
            }
        };
        tokio::select! {
            () = ended => {}
            () = self.lapsed.cancelled() => {}
        }
    }

    /// The grant by which the job may do this now, if it needs one: expiry, budget and pattern are
    /// asked in this order.
    ///
    /// # Errors
    /// `LEASE_EXPIRED`, `BUDGET_EXHAUSTED` or `PERMISSION_DENIED`.
    pub(crate) fn check<'a>(
        &'a self,
        namespace: &'a Namespace,
        target: &'a Target<'_>,
    ) -> Result<Option<&'a str>, Error> {
        self.in_force()?;
        if *namespace == Namespace::ModelUse && !self.lease.0.contains_key(namespace) {
            return Ok(None);
        }
        self.grants.check(namespace, target).into_result().map(Some)
    }

    /// Whether a pattern covers a target, whatever is left of time and money.
    pub(crate) fn covers(&self, namespace: &Namespace, target: &Target<'_>) -> bool {
        self.grants.check(namespace, target).is_allowed()
    }

    /// Whether a denial is only written down. Money and time are never only that.
    pub(crate) fn only_audits(&self, denial: &Error) -> bool {
        self.policy.audit_only && denial.code() == Code::PermissionDenied
    }
}
