//! What a job spends (§9.6): charges, reservations, and what is left.

use std::collections::BTreeMap;

use arcp_core::lease::{Hold, charge_of};
use arcp_core::money::{Amount, Currency, InvalidAmount};
use arcp_core::wire::event::{Log, Metric};
use arcp_core::{Error, JobId, Json};

use super::{Job, Level};

type Dimensions = Option<BTreeMap<String, String>>;

impl Job {
    /// What is left of each currency that is counted: by its own lease, or by that of whoever delegated it.
    pub fn budget(&self) -> BTreeMap<Currency, Amount> {
        self.authority().left()
    }

    /// The same without what is reserved: what may be spent or given away now.
    pub fn available_budget(&self) -> BTreeMap<Currency, Amount> {
        self.authority().available()
    }

    /// Sets money aside for what is about to be done, so that nothing else is reserved or delegated
    /// from it meanwhile. Where no budget was set at all, what is reserved is free.
    ///
    /// ```
    /// # use arcp_tower::{AgentError, Job};
    /// async fn ask(job: &Job) -> Result<(), AgentError> {
    ///     let reserved = job.reserve("USD", "0.40")?;
    ///     // Another call may fail here; dropping the reservation gives the money back.
    ///     let spent = "0.35".parse()?;
    ///     Ok(reserved.commit("cost.inference", spent).await?)
    /// }
    /// ```
    ///
    /// # Errors
    /// `BUDGET_EXHAUSTED` if there is less, or the lease has a budget and none in `currency`;
    /// `LEASE_EXPIRED`; and `INVALID_REQUEST` if `currency` or `amount` is none.
    pub fn reserve(&self, currency: &str, amount: &str) -> Result<Reservation, Error> {
        let currency: Currency = currency.parse().map_err(|e| fault("currency", e))?;
        let amount: Amount = amount.parse().map_err(|e| fault("amount", e))?;
        let hold = self.authority().reserve(&currency, amount)?;
        Ok(Reservation { job: self.clone(), currency, amount, hold })
    }

    /// Charges a cost and reports it.
    pub(crate) async fn charge(
        &self,
        metric: &str,
        target: &str,
        currency: Currency,
        amount: Amount,
    ) -> Result<(), Error> {
        self.authority().charge(&currency, amount);
        self.report(metric, target, &currency, amount).await
    }

    /// A job that it delegated has ended: what it spent was taken out of what it was given.
    pub(crate) fn report_child(&self, child: &JobId, currency: &Currency, spent: Amount) {
        let dimensions = Some([("child_job_id".to_owned(), child.to_string())].into());
        self.append_cost("cost.delegate", currency, spent, dimensions);
    }

    /// The same as [`Job::report`] without waiting for room.
    pub(super) fn report_now(&self, metric: &str, target: &str, currency: &Currency, amount: Amount) {
        let dimensions = Some([("target".to_owned(), target.to_owned())].into());
        self.append_cost(metric, currency, amount, dimensions);
    }

    /// A cost, and what that leaves.
    fn append_cost(&self, name: &str, currency: &Currency, amount: Amount, dimensions: Dimensions) {
        self.append_amount(name, currency, amount, dimensions);
        self.tell_remaining_now(currency);
    }

    fn append_amount(&self, name: &str, currency: &Currency, amount: Amount, dimensions: Dimensions) {
        let (name, unit) = (name.to_owned(), Some(currency.as_str().to_owned()));
        if let Ok(value) = Json::of(&amount) {
            self.append("metric", &Metric { name, value, unit, dimensions });
        }
    }

    /// Reports a cost that was charged, and what that leaves. An agent that gives up meanwhile leaves neither
    /// unsaid, and nothing is said twice.
    pub(super) async fn report(
        &self,
        metric: &str,
        target: &str,
        currency: &Currency,
        amount: Amount,
    ) -> Result<(), Error> {
        let dimensions = Some([("target".to_owned(), target.to_owned())].into());
        let unit = Some(currency.as_str().to_owned());
        let body = Metric { name: metric.to_owned(), value: Json::of(&amount)?, unit, dimensions };
        let mut owed = Owed { job: self, currency, cost: Some(body) };
        let said = self.emit_body("metric", &owed.cost).await;
        owed.cost = None;
        said?;
        self.tell_remaining(currency).await
    }

    /// An agent's own metric: it charges if it is a cost (§9.6).
    pub(super) fn charge_metric(&self, metric: &Metric) -> Option<Currency> {
        match charge_of(&metric.name, metric.unit.as_deref(), &metric.value)? {
            Ok((currency, amount)) => {
                self.authority().charge(&currency, amount);
                Some(currency)
            }
            Err(reason) => {
                let (job_id, name) = (self.id(), metric.name.as_str());
                tracing::warn!(%job_id, name, %reason, "a cost charges nothing");
                let message = format!("{name} charges nothing: {reason}");
                let level = std::borrow::Cow::Borrowed(Level::Warn.as_str());
                self.append("log", &Log { level, message });
                None
            }
        }
    }

    /// Says what is left, if that has changed by enough for a gauge to show.
    pub(super) async fn tell_remaining(&self, currency: &Currency) -> Result<(), Error> {
        let Some(left) = self.authority().news(currency) else { return Ok(()) };
        let unit = Some(currency.as_str().to_owned());
        let name = "cost.budget.remaining".to_owned();
        let mut gauge = Gauge { job: self, currency, untold: Some(left) };
        let said =
            self.emit_body("metric", &Metric { name, value: Json::of(&left)?, unit, dimensions: None }).await;
        gauge.untold = None;
        said.inspect_err(|_| self.authority().untold(currency, left))
    }

    /// The same without waiting for room.
    fn tell_remaining_now(&self, currency: &Currency) {
        if let Some(left) = self.authority().news(currency) {
            self.append_amount("cost.budget.remaining", currency, left, None);
        }
    }
}

/// A cost that waits for room. Dropped, it is said without.
struct Owed<'a> {
    job: &'a Job,
    currency: &'a Currency,
    cost: Option<Metric>,
}

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        if let Some(cost) = self.cost.take() {
            self.job.append("metric", &cost);
            self.job.tell_remaining_now(self.currency);
        }
    }
}

/// What is left, and waits for room. Dropped, it is said without, as it stands then.
struct Gauge<'a> {
    job: &'a Job,
    currency: &'a Currency,
    untold: Option<Amount>,
}

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        if let Some(left) = self.untold.take() {
            self.job.authority().untold(self.currency, left);
            self.job.tell_remaining_now(self.currency);
        }
    }
}

fn fault(field: &str, e: InvalidAmount) -> Error {
    Error::fault(field, &e.to_string())
}

/// Money that was set aside. Dropped, it is given back.
#[derive(Debug)]
#[must_use = "a reservation that is dropped is given back"]
pub struct Reservation {
    job: Job,
    currency: Currency,
    amount: Amount,
    /// Nothing, if there is no budget.
    hold: Option<Hold>,
}

impl Reservation {
    /// How much it is.
    pub fn amount(&self) -> Amount {
        self.amount
    }

    /// In what.
    pub fn currency(&self) -> &Currency {
        &self.currency
    }

    /// Spends `spent` of it, gives the rest back, and reports it as `metric`, such as
    /// `cost.inference`. More than was reserved is spent, too: it was.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if `metric` does not begin with `cost.`; as [`Job::log`].
    pub async fn commit(mut self, metric: &str, spent: Amount) -> Result<(), Error> {
        if !metric.starts_with("cost.") || metric.starts_with("cost.budget.") {
            return Err(Error::fault("metric", "must begin with cost. and not with cost.budget."));
        }
        if let Some(hold) = self.hold.take() {
            self.job.authority().spend(hold, spent);
        }
        self.job.report(metric, "reservation", &self.currency, spent).await
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(hold) = self.hold.take() {
            self.job.authority().settle(hold, Amount::ZERO);
        }
    }
}
