//! What a job may still spend (§9.6): exact counters, one for each currency.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::money::{Amount, Currency};
use crate::{Code, Error};

/// A job's counters. They are exact; only where a cost needs more digits than can be kept beside what is
/// left, it counts as the least that can and is more, and one too large for that exhausts its counter.
///
/// A reservation holds a part back, for an operation under way or for a child job, so that several
/// of them cannot all spend the same. It is a [`Hold`], which is settled or released once.
///
/// ```
/// use arcp_core::lease::{Budget, Lease};
/// use arcp_core::money::{Amount, Currency};
/// let lease: Lease = serde_json::from_str(r#"{"cost.budget":["USD:5.00"]}"#).unwrap();
/// let mut budget = Budget::new(lease.budget().unwrap());
/// let usd: Currency = "USD".parse().unwrap();
/// let amount = |text| Amount::parse_budget(text).unwrap();
/// let hold = budget.reserve(&usd, amount("4")).unwrap();
/// assert!(budget.reserve(&usd, amount("1.01")).is_err(), "only 1 is left of 5");
/// budget.settle(hold, amount("0.25"));
/// assert_eq!(budget.remaining(&usd), Some(amount("4.75")));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budget(BTreeMap<Currency, Counter>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counter {
    limit: Amount,
    remaining: Amount,
    reserved: Amount,
}

/// What a [`Budget`] holds back until it is settled or released there.
///
/// It cannot be copied, and ending it takes it: what another hold keeps is never freed by ending this
/// one twice.
///
/// ```compile_fail,E0382
/// # fn f(mut budget: arcp_core::lease::Budget, usd: arcp_core::money::Currency) {
/// let hold = budget.reserve(&usd, "1".parse().unwrap()).unwrap();
/// budget.release(hold);
/// budget.release(hold); // it is over
/// # }
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is held back stays so until it is settled or released"]
pub struct Hold {
    currency: Currency,
    amount: Amount,
}

impl Hold {
    /// How much it is.
    pub fn amount(&self) -> Amount {
        self.amount
    }

    /// In what.
    pub fn currency(&self) -> &Currency {
        &self.currency
    }
}

/// What came of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charged {
    /// It was taken.
    Taken {
        /// What is left now; below zero after an overspend.
        remaining: Amount,
    },
    /// It was zero or negative: nothing was taken.
    Nothing,
    /// There is no counter for the currency.
    Unbudgeted,
}

impl Counter {
    fn available(&self) -> Amount {
        // Inexact is exhausted.
        self.remaining.checked_sub(self.reserved).unwrap_or_default()
    }

    fn take(&mut self, amount: Amount) {
        let left = self.remaining.checked_sub_down(amount);
        self.remaining = left.unwrap_or_else(|| self.remaining.min(Amount::ZERO));
    }
}

impl Budget {
    /// Counters at `limits`.
    pub fn new(limits: BTreeMap<Currency, Amount>) -> Self {
        let counter = |limit| Counter { limit, remaining: limit, reserved: Amount::ZERO };
        Self(limits.into_iter().map(|(currency, limit)| (currency, counter(limit))).collect())
    }

    /// Whether an operation may begin: each counter has something left that is not spent (§9.6). What
    /// is reserved may be reserved for this very operation.
    ///
    /// # Errors
    /// `BUDGET_EXHAUSTED` that names the first currency without.
    pub fn check(&self) -> Result<(), Error> {
        self.check_but(|_| false)
    }

    /// [`Budget::check`], without the currencies that `but` picks.
    ///
    /// # Errors
    /// As [`Budget::check`].
    pub fn check_but(&self, but: impl Fn(&Currency) -> bool) -> Result<(), Error> {
        let mut counted = self.0.iter().filter(|(currency, _)| !but(currency));
        match counted.find(|(_, counter)| counter.remaining.is_exhausted()) {
            Some((currency, counter)) => Err(exhausted(currency, counter.remaining)),
            None => Ok(()),
        }
    }

    /// Takes a cost, whatever is left: it was spent already (§9.6).
    pub fn charge(&mut self, currency: &Currency, amount: Amount) -> Charged {
        if amount.is_exhausted() {
            return Charged::Nothing;
        }
        let Some(counter) = self.0.get_mut(currency) else { return Charged::Unbudgeted };
        counter.take(amount);
        Charged::Taken { remaining: counter.remaining }
    }

    /// Holds `amount` back. Without a counter for the currency there is nothing to hold.
    ///
    /// # Errors
    /// `BUDGET_EXHAUSTED` if less is left, `INVALID_REQUEST` if the amount is negative.
    pub fn reserve(&mut self, currency: &Currency, amount: Amount) -> Result<Hold, Error> {
        if amount.is_negative() {
            return Err(Error::fault("amount", "must not be negative"));
        }
        let hold = Hold { currency: currency.clone(), amount };
        let Some(counter) = self.0.get_mut(currency) else { return Ok(hold) };
        match counter.reserved.checked_add(amount) {
            Some(reserved) if amount <= counter.available() => counter.reserved = reserved,
            _ => return Err(exhausted(currency, counter.available())),
        }
        Ok(hold)
    }

    /// Ends a reservation of which `spent` was spent; it may have been more.
    pub fn settle(&mut self, hold: Hold, spent: Amount) -> Charged {
        let currency = hold.currency.clone();
        self.release(hold);
        self.charge(&currency, spent)
    }

    /// Ends a reservation of which nothing was spent.
    pub fn release(&mut self, hold: Hold) {
        let Hold { currency, amount } = hold;
        let Some(counter) = self.0.get_mut(&currency) else { return };
        // Counters of a snapshot have no holds: one of before frees nothing there.
        if let Some(held) = counter.reserved.checked_sub(amount) {
            counter.reserved = held.max(Amount::ZERO);
        }
    }

    /// Puts back what is left of `given`, which was charged when a child job got it; a child that
    /// spent more has spent it here.
    pub fn take_back(&mut self, currency: &Currency, given: Amount, spent: Amount) {
        let Some(counter) = self.0.get_mut(currency) else { return };
        // Inexact gives nothing back.
        if let Some(left) = given.checked_sub(spent).and_then(|left| counter.remaining.checked_add(left)) {
            counter.remaining = left;
        }
    }

    /// Whether there is a counter for `currency`.
    pub fn has(&self, currency: &Currency) -> bool {
        self.0.contains_key(currency)
    }

    /// Whether there is no counter at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was not spent, reservations included; below zero after an overspend.
    pub fn remaining(&self, currency: &Currency) -> Option<Amount> {
        self.0.get(currency).map(|counter| counter.remaining)
    }

    /// What was neither spent nor reserved.
    pub fn available(&self, currency: &Currency) -> Option<Amount> {
        self.0.get(currency).map(Counter::available)
    }

    /// What was spent; `None` too if it cannot be said exactly.
    pub fn spent(&self, currency: &Currency) -> Option<Amount> {
        self.0.get(currency).and_then(|counter| counter.limit.checked_sub(counter.remaining))
    }

    /// What was spent, and what is reserved for what may be spent yet; `None` if there is no counter, or it
    /// cannot be said exactly.
    pub fn committed(&self, currency: &Currency) -> Option<Amount> {
        self.0.get(currency).and_then(|counter| counter.limit.checked_sub(counter.available()))
    }

    /// Each currency and what was not spent of it: `budget` in `job.subscribed`.
    pub fn iter(&self) -> impl Iterator<Item = (&Currency, Amount)> {
        self.0.iter().map(|(currency, counter)| (currency, counter.remaining))
    }

    /// What a child job may be given: `remaining` of [`Authority::covers`](super::Authority::covers).
    pub fn to_available(&self) -> BTreeMap<Currency, Amount> {
        self.0.iter().map(|(currency, counter)| (currency.clone(), counter.available())).collect()
    }

    /// The counters as they are kept. What is reserved counts as spent: after a crash nobody knows.
    pub fn snapshot(&self) -> Snapshot {
        let keep = |counter: &Counter| Kept { limit: counter.limit, remaining: counter.available() };
        Snapshot(self.0.iter().map(|(currency, counter)| (currency.clone(), keep(counter))).collect())
    }
}

impl From<Snapshot> for Budget {
    fn from(snapshot: Snapshot) -> Self {
        let counter =
            |kept: Kept| Counter { limit: kept.limit, remaining: kept.remaining, reserved: Amount::ZERO };
        Self(snapshot.0.into_iter().map(|(currency, kept)| (currency, counter(kept))).collect())
    }
}

/// A [`Budget`] as it is kept in a store: an object by currency.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Snapshot(BTreeMap<Currency, Kept>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    limit: Amount,
    remaining: Amount,
}

fn exhausted(currency: &Currency, left: Amount) -> Error {
    let currency = currency.as_str();
    Error::new(Code::BudgetExhausted, format!("the {currency} budget has {left} left"))
        .with_detail("currency", currency)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd() -> Currency {
        "USD".parse().unwrap()
    }

    fn amount(text: &str) -> Amount {
        Amount::parse_number(text).unwrap()
    }

    fn budget(limit: &str) -> Budget {
        Budget::new([(usd(), amount(limit))].into())
    }

    #[test]
    fn an_overspend_is_taken_and_the_next_operation_fails() {
        let mut budget = budget("1");
        assert_eq!(budget.check(), Ok(()));
        assert_eq!(budget.charge(&usd(), amount("1.5")), Charged::Taken { remaining: amount("-0.5") });
        let refused = budget.check().unwrap_err();
        assert_eq!((refused.code(), refused.retryable()), (Code::BudgetExhausted, false));
        assert_eq!(refused.message(), "the USD budget has -0.5 left");
        assert_eq!(budget.spent(&usd()), Some(amount("1.5")));
    }

    #[test]
    fn one_exhausted_counter_stops_all_operations() {
        let eur: Currency = "EUR".parse().unwrap();
        let budget = Budget::new([(usd(), amount("5")), (eur, Amount::ZERO)].into());
        assert!(budget.check().unwrap_err().message().contains("EUR"));
        assert_eq!(Budget::default().check(), Ok(()));
    }

    #[test]
    fn nothing_negative_charges_and_nothing_unknown_counts() {
        let mut budget = budget("1");
        for nothing in ["0", "-0", "-1", "-1e-28"] {
            assert_eq!(budget.charge(&usd(), amount(nothing)), Charged::Nothing, "{nothing}");
        }
        assert_eq!(budget.charge(&"EUR".parse().unwrap(), amount("1")), Charged::Unbudgeted);
        assert_eq!(budget.remaining(&usd()), Some(amount("1")));
        assert!(!budget.has(&"EUR".parse().unwrap()) && budget.has(&usd()));
    }

    #[test]
    fn s37_two_children_of_two_fit_into_five_and_a_third_does_not() {
        let mut budget = budget("5.00");
        let held: Vec<_> = (0..1000).filter_map(|_| budget.reserve(&usd(), amount("2.00")).ok()).collect();
        let [first, second] = <[Hold; 2]>::try_from(held).unwrap();
        assert_eq!(budget.available(&usd()), Some(amount("1")));
        budget.settle(first, amount("0.5"));
        budget.release(second);
        assert_eq!(budget.available(&usd()), Some(amount("4.5")));
    }

    #[test]
    fn what_is_reserved_is_not_reserved_again_and_lets_the_operation_begin_that_it_is_for() {
        let mut budget = budget("5");
        let hold = budget.reserve(&usd(), amount("5")).unwrap();
        assert_eq!(budget.check(), Ok(()));
        assert!(budget.reserve(&usd(), amount("0.01")).is_err());
        budget.release(hold);
        let hold = budget.reserve(&usd(), amount("0.01")).unwrap();
        assert_eq!((hold.currency(), hold.amount()), (&usd(), amount("0.01")));
        assert!(budget.reserve(&usd(), amount("-1")).is_err());
    }

    #[test]
    fn s35_a_sum_that_cannot_be_kept_exhausts_and_never_wraps() {
        let mut huge = budget("9999999999999999999999999999");
        huge.charge(&usd(), amount("1e-28"));
        assert_eq!(huge.remaining(&usd()), Some(amount("9999999999999999999999999998")));
        let mut deep = budget("0");
        for _ in 0..3 {
            deep.charge(&usd(), amount("9999999999999999999999999999"));
            assert!(deep.remaining(&usd()).unwrap().is_exhausted());
        }
    }

    #[test]
    fn s36_a_cost_with_more_digits_than_fit_beside_what_is_left_is_rounded_up_and_takes_no_more() {
        // What a float makes of 1.05e-9.
        let noise = amount("1.0500000000000001e-9");
        let mut large = budget("100000");
        large.charge(&usd(), noise);
        assert_eq!(large.remaining(&usd()), Some(amount("99999.99999999894999999999999")));
        for _ in 1..1000 {
            large.charge(&usd(), noise);
        }
        let spent = large.spent(&usd()).unwrap();
        assert!(
            spent >= amount("0.0000010500000000000001") && spent < amount("0.00000105000000001"),
            "{spent}"
        );
        // Where the digits are in what is left.
        let mut small = budget("0.0000000000000000000000000001");
        small.charge(&usd(), amount("10"));
        assert_eq!(small.remaining(&usd()), Some(amount("-10")));
    }

    #[test]
    fn after_a_crash_what_was_reserved_is_spent() {
        let mut budget = budget("5");
        budget.charge(&usd(), amount("1.25"));
        let _lost = budget.reserve(&usd(), amount("2")).unwrap();
        let kept = serde_json::to_string(&budget.snapshot()).unwrap();
        assert_eq!(kept, r#"{"USD":{"limit":5,"remaining":1.75}}"#);
        let restored = Budget::from(serde_json::from_str::<Snapshot>(&kept).unwrap());
        assert_eq!(restored.available(&usd()), Some(amount("1.75")));
        assert_eq!(restored.spent(&usd()), Some(amount("3.25")));
    }
}
