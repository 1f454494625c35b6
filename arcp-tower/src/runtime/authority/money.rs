//! What a job may spend, of its own and of what it shares with whoever delegated it (§9.6, §10).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Weak;
use std::sync::atomic::Ordering;

use arcp_core::lease::{Budget, Hold};
use arcp_core::money::{Amount, Currency};
use arcp_core::{Code, Error, Json};

use super::{JobAuthority, Note, ended};
use crate::lock::lock;
use crate::runtime::JobStream;
use crate::telemetry;

impl JobAuthority {
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
    pub(super) fn is_closed(&self) -> bool {
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
    pub(in crate::runtime) fn note_beside(&self, log: Weak<JobStream>) {
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
        if !lock(&self.budget).has(currency) {
            return self.parent.as_ref()?.hold(currency, amount);
        }
        // One that ended this very moment reserves nothing, of its parent's either: it would be settled here.
        Some(self.own(currency, |budget| budget.reserve(currency, amount)).unwrap_or_else(|| Err(ended())))
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Clock;
    use crate::runtime::authority::Policy;

    #[test]
    fn a_job_that_ends_while_it_reserves_holds_nothing_of_its_parents() {
        let lease =
            |text: &str| serde_json::from_str(&format!(r#"{{"cost.budget":["USD:{text}"]}}"#)).unwrap();
        let clock = Clock::default();
        let parent = Arc::new(JobAuthority::new(&lease("5"), None, Policy::default(), &clock).unwrap());
        let child = parent.child(&lease("1"), None).unwrap();
        let usd: Currency = "USD".parse().unwrap();
        // After it was asked whether it is alive.
        child.close();
        let refused = child.hold(&usd, "1".parse().unwrap()).unwrap().unwrap_err();
        assert_eq!(refused.code(), Code::Cancelled);
        assert_eq!(parent.available()[&usd], "5".parse().unwrap());
    }
}
