//! The `metrics` facade.

use std::sync::Once;

use metrics::Unit;

use super::{Counter, Described, Gauge, Histogram, SPENT};
use crate::telemetry::label::Label;

/// Says once what the metrics are.
fn described() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for Described { name, unit, help } in Histogram::ALL.map(Histogram::described) {
            match unit {
                "s" => metrics::describe_histogram!(name, Unit::Seconds, help),
                _ => metrics::describe_histogram!(name, help),
            }
        }
        for Described { name, help, .. } in Counter::ALL.map(Counter::described) {
            metrics::describe_counter!(name, help);
        }
        for Described { name, help, .. } in Gauge::ALL.map(Gauge::described) {
            metrics::describe_gauge!(name, help);
        }
        metrics::describe_gauge!(SPENT.name, SPENT.help);
    });
}

fn labels(labels: &[Label]) -> Vec<metrics::Label> {
    labels.iter().map(|(name, value)| metrics::Label::new(*name, value.clone())).collect()
}

pub(super) fn observe(histogram: Histogram, value: f64, with: &[Label]) {
    described();
    metrics::histogram!(histogram.described().name, labels(with)).record(value);
}

pub(super) fn add(counter: Counter, more: u64, with: &[Label]) {
    described();
    metrics::counter!(counter.described().name, labels(with)).increment(more);
}

pub(super) fn change(gauge: Gauge, by: i8) {
    described();
    metrics::gauge!(gauge.described().name).increment(f64::from(by));
}

pub(super) fn spend(amount: f64, with: &[Label]) {
    described();
    metrics::gauge!(SPENT.name, labels(with)).increment(amount);
}
