//! OpenTelemetry's meters.

use std::sync::LazyLock;

use opentelemetry::metrics as otel;
use opentelemetry::{KeyValue, global};

use super::{Counter, Described, Gauge, Histogram, SPENT};
use crate::telemetry::label::Label;

/// Seconds, from what memory answers to what agents take.
const SECONDS: [f64; 16] =
    [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0, 3600.0];
const EVENTS: [f64; 9] = [0.0, 1.0, 8.0, 32.0, 128.0, 512.0, 1024.0, 2048.0, 4096.0];

struct Instruments {
    histograms: [otel::Histogram<f64>; Histogram::ALL.len()],
    counters: [otel::Counter<u64>; Counter::ALL.len()],
    gauges: [otel::UpDownCounter<i64>; Gauge::ALL.len()],
    spent: otel::Counter<f64>,
}

/// Of the provider that is there when the first of them is used.
static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| {
    let meter = global::meter("arcp");
    let histogram = |Described { name, unit, help }| {
        let bounds = if unit == "s" { SECONDS.to_vec() } else { EVENTS.to_vec() };
        let builder = meter.f64_histogram(name).with_unit(unit).with_description(help);
        builder.with_boundaries(bounds).build()
    };
    let counter = |Described { name, unit, help }| {
        meter.u64_counter(name).with_unit(unit).with_description(help).build()
    };
    let gauge = |Described { name, unit, help }| {
        meter.i64_up_down_counter(name).with_unit(unit).with_description(help).build()
    };
    Instruments {
        histograms: Histogram::ALL.map(|it| histogram(it.described())),
        counters: Counter::ALL.map(|it| counter(it.described())),
        gauges: Gauge::ALL.map(|it| gauge(it.described())),
        spent: meter.f64_counter(SPENT.name).with_description(SPENT.help).build(),
    }
});

fn attributes(labels: &[Label]) -> Vec<KeyValue> {
    let said = labels.iter().filter(|(_, value)| !value.is_empty());
    said.map(|(name, value)| KeyValue::new(*name, value.clone())).collect()
}

pub(super) fn observe(histogram: Histogram, value: f64, labels: &[Label]) {
    INSTRUMENTS.histograms[histogram as usize].record(value, &attributes(labels));
}

pub(super) fn add(counter: Counter, more: u64, labels: &[Label]) {
    INSTRUMENTS.counters[counter as usize].add(more, &attributes(labels));
}

pub(super) fn change(gauge: Gauge, by: i8) {
    INSTRUMENTS.gauges[gauge as usize].add(i64::from(by), &[]);
}

pub(super) fn spend(amount: f64, labels: &[Label]) {
    INSTRUMENTS.spent.add(amount, &attributes(labels));
}
