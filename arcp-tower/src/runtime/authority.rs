//! What a running job may do: its lease, its budget, its time (§9).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use arcp_core::lease::{
    Authority, Budget, Hold, Lease, LeaseConstraints, ModelUse, Namespace, Snapshot, Target,
};
use arcp_core::money::{Amount, Currency};
use arcp_core::{Code, Error, Json, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::lock::lock;
use crate::runtime::JobStream;
use crate::telemetry;

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
            return Err(Error::new(Code::Cancelled, "the job has ended"));
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

    /// Whether there is money left, in every currency that is counted: here, and of what it shares
    /// with whoever delegated it.
    pub(crate) fn solvent(&self) -> Result<(), Error> {
        self.solvent_but(&BTreeSet::new())
    }

    /// The same, but for currencies that a child has counters of its own for: what was given to it is
    /// its own to spend.
    fn solvent_but(&self, own: &BTreeSet<Currency>) -> Result<(), Error> {
        let budget = lock(&self.budget);
        budget.check_but(|currency| own.contains(currency))?;
        let Some(parent) = &self.parent else { return Ok(()) };
        let own = own.iter().chain(budget.iter().map(|(currency, _)| currency)).cloned().collect();
        drop(budget);
        parent.solvent_but(&own)
    }

    /// Whether the job has ended, and what is left of its budget was given back.
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The job has ended: nothing begins any more. What something that it left running costs afterwards is
    /// the money of whoever delegated it, as is what its reservations do not spend.
    pub(crate) fn close(&self) {
        let _budget = lock(&self.budget);
        self.closed.store(true, Ordering::Release);
    }

    /// A change of its own counter of `currency`; `None` if it has none, or has ended.
    fn own<T>(&self, currency: &Currency, change: impl FnOnce(&mut Budget) -> T) -> Option<T> {
        let mut budget = lock(&self.budget);
        if !budget.has(currency) || (self.is_closed() && self.parent.is_some()) {
            return None;
        }
        let changed = change(&mut budget);
        self.changes.fetch_add(1, Ordering::AcqRel);
        drop(budget);
        // Who sees a cost after a crash finds it charged, and what was spent unseen is charged, too.
        if let Some(log) = self.noted.get().and_then(Weak::upgrade) {
            log.noted_anew();
        }
        Some(changed)
    }

    /// Its own counter of `currency`, else that of whoever delegated it, changes so that `more` is spent of it.
    /// `false` if nobody counts.
    fn spend_more(&self, currency: &Currency, more: Amount, change: impl FnOnce(&mut Budget)) -> bool {
        let mut change = Some(change);
        let own = self.own(currency, |budget| change.take().map(|change| change(budget)));
        let (None, Some(change), Some(parent)) = (own, change, &self.parent) else { return own.is_some() };
        let counted = parent.spend_more(currency, more, change);
        if counted {
            self.add_shared(currency, more);
        }
        counted
    }

    fn add_shared(&self, currency: &Currency, more: Amount) {
        let mut shared = lock(&self.shared);
        let spent = shared.entry(currency.clone()).or_default();
        *spent = spent.checked_add(more).unwrap_or(*spent);
    }

    /// What it spent of the money of whoever delegated it.
    pub(crate) fn shared(&self) -> BTreeMap<Currency, Amount> {
        lock(&self.shared).clone()
    }

    /// Its counters are noted beside the events of `log`.
    pub(super) fn note_beside(&self, log: Weak<JobStream>) {
        let _ = self.noted.set(log);
    }

    /// Takes `amount` out of a counter, also below zero. A negative amount takes nothing.
    pub(crate) fn charge(&self, currency: &Currency, amount: Amount) {
        let taken = amount.max(Amount::ZERO);
        if self.spend_more(currency, taken, |budget| _ = budget.charge(currency, amount)) {
            telemetry::spent(currency, amount);
        }
    }

    /// Sets `amount` aside; `None` if nobody counts anything.
    ///
    /// # Errors
    /// `BUDGET_EXHAUSTED` if there is less, or the budget is in other currencies; `LEASE_EXPIRED`.
    pub(crate) fn reserve(&self, currency: &Currency, amount: Amount) -> Result<Option<Hold>, Error> {
        self.alive()?;
        match self.hold(currency, amount) {
            Some(held) => held.map(Some),
            // A lease with a budget is bounded to its currencies, as what it delegates is (§9.4).
            None if self.counts() => {
                let message = format!("the lease has no budget in {currency}");
                Err(Error::new(Code::BudgetExhausted, message).with_detail("currency", currency.as_str()))
            }
            None => Ok(None),
        }
    }

    fn hold(&self, currency: &Currency, amount: Amount) -> Option<Result<Hold, Error>> {
        let own = self.own(currency, |budget| budget.reserve(currency, amount));
        own.or_else(|| self.parent.as_ref()?.hold(currency, amount))
    }

    /// Whether any currency is counted, here or by whoever delegated it.
    fn counts(&self) -> bool {
        !lock(&self.budget).is_empty() || self.parent.as_ref().is_some_and(|parent| parent.counts())
    }

    /// Ends a reservation, of which `spent` was spent.
    pub(crate) fn settle(&self, hold: Hold, spent: Amount) {
        let (currency, held) = (hold.currency().clone(), hold.amount());
        if !lock(&self.budget).has(&currency) {
            let Some(parent) = &self.parent else { return };
            parent.settle(hold, spent);
            return self.add_shared(&currency, spent);
        }
        let mut hold = Some(hold);
        let settle = |budget: &mut Budget| hold.take().map(|hold| budget.settle(hold, spent));
        if self.own(&currency, settle).is_none()
            && let Some(parent) = &self.parent
        {
            // The job has ended, and then all of it counted as spent.
            parent.take_back(&currency, held, spent);
        }
    }

    /// Ends a reservation whose money was spent, and not given on.
    pub(crate) fn spend(&self, hold: Hold, spent: Amount) {
        telemetry::spent(hold.currency(), spent);
        self.settle(hold, spent);
    }

    /// Gives `amount` away to a child.
    ///
    /// # Errors
    /// `BUDGET_EXHAUSTED` if there is less.
    pub(crate) fn give(&self, currency: &Currency, amount: Amount) -> Result<(), Error> {
        if let Some(hold) = self.reserve(currency, amount)? {
            self.settle(hold, amount);
        }
        Ok(())
    }

    /// Takes back what a child left of `given`; one that spent more has spent it here.
    pub(crate) fn take_back(&self, currency: &Currency, given: Amount, spent: Amount) {
        let more = spent.checked_sub(given).unwrap_or_default();
        self.spend_more(currency, more, |budget| budget.take_back(currency, given, spent));
    }

    /// What is left of a currency, if that is news: the first change, one of a hundredth of the whole
    /// or more, and the end of it.
    pub(crate) fn news(&self, currency: &Currency) -> Option<Amount> {
        let left = lock(&self.budget).remaining(currency)?;
        let mut told = lock(&self.told);
        let whole = self.whole.get(currency).copied().unwrap_or_default();
        let news = told.get(currency).is_none_or(|before| {
            let moved = before.checked_sub(left).map_or(whole, Amount::abs);
            moved.is_a_percent_of(whole) || before.is_exhausted() != left.is_exhausted()
        });
        news.then(|| told.insert(currency.clone(), left));
        news.then_some(left)
    }

    /// Whether the budget changed since it was noted as `known`.
    pub(crate) fn is_newer(&self, known: u64) -> bool {
        self.changes.load(Ordering::Acquire) != known
    }

    /// `left` was news and was not told after all: unless something newer was, it is news again.
    pub(crate) fn untold(&self, currency: &Currency, left: Amount) {
        let mut told = lock(&self.told);
        if told.get(currency) == Some(&left) {
            told.remove(currency);
        }
    }

    /// What a process that takes the job over has to know of its budget, if that is newer than
    /// `known`. What is reserved or given away counts as spent: it may have been.
    pub(crate) fn note(&self, known: u64) -> Option<(u64, Json)> {
        // Read before the counters: a change that comes between is noted once more.
        let newest = self.changes.load(Ordering::Acquire);
        if newest == known {
            return None;
        }
        let budget = lock(&self.budget).snapshot();
        Some((newest, Json::of(&Note { budget }).ok()?))
    }

    /// What is left to spend or to give away: reserved money is not.
    pub(crate) fn available(&self) -> BTreeMap<Currency, Amount> {
        let mut available = self.parent.as_ref().map(|parent| parent.available()).unwrap_or_default();
        available.extend(lock(&self.budget).to_available());
        available
    }

    /// The counters that count for it, its own and those that it shares, as they stand.
    pub(crate) fn left(&self) -> BTreeMap<Currency, Amount> {
        let mut left = self.parent.as_ref().map(|parent| parent.left()).unwrap_or_default();
        left.extend(self.remaining());
        left
    }

    /// Its own counters, as they stand.
    pub(crate) fn remaining(&self) -> BTreeMap<Currency, Amount> {
        lock(&self.budget).iter().map(|(currency, left)| (currency.clone(), left)).collect()
    }

    /// What was spent of a counter, and what may be yet; `None` if nobody can say.
    pub(crate) fn committed(&self, currency: &Currency) -> Option<Amount> {
        lock(&self.budget).committed(currency)
    }
}
