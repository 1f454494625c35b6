//! Medians, quantiles, and rates.

use std::time::Duration;

/// A count as a float.
#[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub fn float(count: u64) -> f64 {
    count as f64
}

/// `total` over `count`; over one, if there is none.
pub fn each(total: f64, count: u64) -> f64 {
    total / float(count.max(1))
}

/// Whole MiB.
pub fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

/// The value in the middle; with an even number of them, the mean of the two. 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.get(half) {
        None => 0.0,
        Some(upper) if values.len() % 2 == 1 => *upper,
        Some(upper) => f64::midpoint(values[half - 1], *upper),
    }
}

/// Latencies, kept one by one: a run has few enough of them.
#[derive(Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Keeps one.
    pub fn record(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    /// The latency in microseconds that `percent` of all do not pass; 0 of none.
    pub fn percentile_us(&mut self, percent: usize) -> u64 {
        self.0.sort_unstable();
        let at = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        let found = self.0.get(at).copied().unwrap_or_default();
        u64::try_from(found.as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]).to_bits(), 0f64.to_bits());
        assert!((median(vec![9.0, 1.0, 5.0]) - 5.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 9.0]) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn percentiles() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile_us(50), 0);
        for us in (1..=100).rev() {
            latencies.record(Duration::from_micros(us));
        }
        let at = [1, 50, 99, 100].map(|percent| latencies.percentile_us(percent));
        assert_eq!(at, [1, 50, 99, 100]);
    }
}
