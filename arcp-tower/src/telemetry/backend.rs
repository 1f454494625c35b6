//! From what is measured to whoever wants to know.

#[cfg(feature = "metrics")]
mod facade;
#[cfg(feature = "otel")]
mod meter;

use super::label::Label;
#[cfg(any(feature = "otel", feature = "metrics"))]
use super::names;

/// What is observed value by value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Histogram {
    Operation,
    Session,
    Job,
    Commit,
    AckLag,
    OutboxDepth,
}

/// What is counted up.
#[derive(Debug, Clone, Copy)]
pub(super) enum Counter {
    Events,
    Resumes,
    Denied,
    KeySets,
}

/// What is there at once.
#[derive(Debug, Clone, Copy)]
pub(super) enum Gauge {
    Sessions,
    Jobs,
}

/// What backends are told of a metric.
#[cfg(any(feature = "otel", feature = "metrics"))]
#[derive(Debug, Clone, Copy)]
struct Described {
    name: &'static str,
    unit: &'static str,
    help: &'static str,
}

#[cfg(any(feature = "otel", feature = "metrics"))]
const fn described(name: &'static str, unit: &'static str, help: &'static str) -> Described {
    Described { name, unit, help }
}

#[cfg(any(feature = "otel", feature = "metrics"))]
const SPENT: Described = described(names::BUDGET_SPENT, "", "Money that was charged to budgets.");

#[cfg(any(feature = "otel", feature = "metrics"))]
impl Histogram {
    const ALL: [Self; 6] =
        [Self::Operation, Self::Session, Self::Job, Self::Commit, Self::AckLag, Self::OutboxDepth];

    const fn described(self) -> Described {
        match self {
            Self::Operation => described(names::OPERATION_DURATION, "s", "How long a command took."),
            Self::Session => {
                described(names::SESSION_DURATION, "s", "How long a connection had its session.")
            }
            Self::Job => described(names::JOB_DURATION, "s", "How long a job ran."),
            Self::Commit => described(names::COMMIT_DURATION, "s", "How long a commit to the store took."),
            Self::AckLag => {
                described(names::ACK_LAG, "{event}", "Events sent and not acknowledged when an ack came.")
            }
            Self::OutboxDepth => described(
                names::OUTBOX_DEPTH,
                "{event}",
                "Events not acknowledged, sent or not, when an ack came.",
            ),
        }
    }
}

#[cfg(any(feature = "otel", feature = "metrics"))]
impl Counter {
    const ALL: [Self; 4] = [Self::Events, Self::Resumes, Self::Denied, Self::KeySets];

    const fn described(self) -> Described {
        match self {
            Self::Events => described(names::EVENTS_EMITTED, "{event}", "Events that jobs emitted."),
            Self::Resumes => described(names::RESUME_COUNT, "{resume}", "Resumes of sessions."),
            Self::Denied => {
                described(names::LEASE_DENIED, "{operation}", "Operations that a lease did not allow.")
            }
            Self::KeySets => {
                described(names::JWKS_FETCHES, "{fetch}", "Attempts to fetch the keys of an issuer.")
            }
        }
    }
}

#[cfg(any(feature = "otel", feature = "metrics"))]
impl Gauge {
    const ALL: [Self; 2] = [Self::Sessions, Self::Jobs];

    const fn described(self) -> Described {
        match self {
            Self::Sessions => {
                described(names::SESSIONS_ACTIVE, "{session}", "Sessions that have a connection.")
            }
            Self::Jobs => described(names::JOBS_ACTIVE, "{job}", "Jobs that run."),
        }
    }
}

pub(super) fn observe(histogram: Histogram, value: f64, labels: &[Label]) {
    #[cfg(feature = "metrics")]
    facade::observe(histogram, value, labels);
    #[cfg(feature = "otel")]
    meter::observe(histogram, value, labels);
    let _ = (histogram, value, labels);
}

pub(super) fn add(counter: Counter, more: u64, labels: &[Label]) {
    #[cfg(feature = "metrics")]
    facade::add(counter, more, labels);
    #[cfg(feature = "otel")]
    meter::add(counter, more, labels);
    let _ = (counter, more, labels);
}

pub(super) fn change(gauge: Gauge, by: i8) {
    #[cfg(feature = "metrics")]
    facade::change(gauge, by);
    #[cfg(feature = "otel")]
    meter::change(gauge, by);
    let _ = (gauge, by);
}

pub(super) fn spend(amount: f64, labels: &[Label]) {
    #[cfg(feature = "metrics")]
    facade::spend(amount, labels);
    #[cfg(feature = "otel")]
    meter::spend(amount, labels);
    let _ = (amount, labels);
}
