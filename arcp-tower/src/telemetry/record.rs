//! The one place that measures. What is measured goes to every backend that is compiled in.

use std::time::{Duration, Instant};

use arcp_core::job::FinalStatus;
use arcp_core::lease::Namespace;
use arcp_core::money::{Amount, Currency};
use arcp_core::store::StoreError;
use arcp_core::{Error, MessageType};

use super::backend::{self, Counter, Gauge, Histogram};
use super::{label, names};
use crate::clock;

/// Whether anybody is told.
const MEASURES: bool = cfg!(any(feature = "otel", feature = "metrics"));

/// A moment from which on something takes time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timer(Option<Instant>);

impl Timer {
    pub(crate) fn start() -> Self {
        Self(MEASURES.then(clock::now))
    }

    fn took(self) -> Duration {
        self.0.map_or(Duration::ZERO, |since| clock::now().saturating_duration_since(since))
    }
}

/// Something that counts as active for as long as it is there.
#[derive(Debug)]
pub(crate) struct Active {
    gauge: Gauge,
    since: Timer,
}

impl Active {
    /// A session that has a connection.
    pub(crate) fn session() -> Self {
        Self::of(Gauge::Sessions)
    }

    /// A job that runs.
    pub(crate) fn job() -> Self {
        Self::of(Gauge::Jobs)
    }

    fn of(gauge: Gauge) -> Self {
        if MEASURES {
            backend::change(gauge, 1);
        }
        Self { gauge, since: Timer::start() }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if !MEASURES {
            return;
        }
        backend::change(self.gauge, -1);
        if matches!(self.gauge, Gauge::Sessions) {
            backend::observe(Histogram::Session, self.since.took().as_secs_f64(), &[]);
        }
    }
}

/// A command was answered.
pub(crate) fn command(kind: Option<&MessageType>, error: Option<&Error>, since: Timer) {
    if MEASURES {
        let labels = [(names::MESSAGE_TYPE, label::message(kind)), (names::ERROR_TYPE, label::error(error))];
        backend::observe(Histogram::Operation, since.took().as_secs_f64(), &labels);
    }
}

/// A job ended.
pub(crate) fn job_ended(agent: &str, end: FinalStatus, active: &Active) {
    if MEASURES {
        let labels = [(names::AGENT, agent.to_owned().into()), (names::FINAL_STATUS, end.as_str().into())];
        backend::observe(Histogram::Job, active.since.took().as_secs_f64(), &labels);
    }
}

/// How many events of a job were counted. They are counted together: it is cheaper.
#[derive(Debug)]
pub(crate) struct Tally(u64);

impl From<u64> for Tally {
    /// Events of before are somebody else's to count.
    fn from(head: u64) -> Self {
        Self(head)
    }
}

impl Tally {
    /// Events that wait to be counted, where nothing else gathers them.
    const GROUP: u64 = 64;

    /// Counts all events up to `head`.
    pub(crate) fn reach(&mut self, head: u64) {
        let new = head.saturating_sub(self.0);
        if MEASURES && new > 0 {
            backend::add(Counter::Events, new, &[]);
            self.0 = head;
        }
    }

    /// The same, if there are enough of them.
    pub(crate) fn pass(&mut self, head: u64) {
        if head.saturating_sub(self.0) >= Self::GROUP {
            self.reach(head);
        }
    }
}

/// An ack came: what is still not acknowledged, and what there is of the session's jobs beside.
pub(crate) fn acknowledged(lag: impl FnOnce() -> (u64, usize)) {
    if MEASURES {
        let (lag, depth) = lag();
        #[allow(clippy::cast_precision_loss, reason = "both are bounded by the window")]
        let (lag, depth) = (lag as f64, depth as f64);
        backend::observe(Histogram::AckLag, lag, &[]);
        backend::observe(Histogram::OutboxDepth, depth, &[]);
    }
}

/// A session was resumed, or not.
pub(crate) fn resumed(refused: Option<&'static str>) {
    if MEASURES {
        backend::add(Counter::Resumes, 1, &[(names::OUTCOME, refused.unwrap_or("resumed").into())]);
    }
}

/// A lease did not allow an operation.
pub(crate) fn denied(namespace: &Namespace, denial: &Error) {
    if MEASURES {
        let labels = [
            (names::CAPABILITY, label::namespace(namespace)),
            (names::ERROR_TYPE, label::error(Some(denial))),
        ];
        backend::add(Counter::Denied, 1, &labels);
    }
}

/// A budget was charged.
pub(crate) fn spent(currency: &Currency, amount: Amount) {
    if MEASURES && !amount.is_negative() {
        // A measurement and no account: here a float will do.
        let amount = amount.to_string().parse().unwrap_or(0.0);
        backend::spend(amount, &[(names::CURRENCY, label::currency(currency))]);
    }
}

/// The keys of an issuer were fetched, or why not.
#[cfg_attr(
    not(all(feature = "jwks", any(feature = "jwt-aws-lc-rs", feature = "jwt-rust-crypto"))),
    allow(dead_code, reason = "there is nobody to fetch them")
)]
pub(crate) fn keys_fetched(failure: Option<&'static str>) {
    if MEASURES {
        backend::add(Counter::KeySets, 1, &[(names::ERROR_TYPE, failure.unwrap_or_default().into())]);
    }
}

/// A commit was made, or failed.
pub(crate) fn commit(failure: Option<&StoreError>, since: Timer) {
    if MEASURES {
        let labels = [(names::ERROR_TYPE, label::store(failure))];
        backend::observe(Histogram::Commit, since.took().as_secs_f64(), &labels);
    }
}
