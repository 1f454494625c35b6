//! How long a program that failed is left alone.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::ProcessConfig;

/// Failures in a row, and when the next start may be.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// It did not start, or ended too soon.
    pub(crate) fn failed(&mut self, now: Instant, config: &ProcessConfig) {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let wait = config.backoff_first.saturating_mul(factor).min(config.backoff_most);
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + wait.min(Duration::from_secs(86_400)));
    }

    /// It works.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Until when nothing is started.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_their_bound_and_begin_anew_after_a_success() {
        let (config, now) = (ProcessConfig::default(), Instant::now());
        let mut backoff = Backoff::default();
        let wait = |backoff: &mut Backoff| {
            backoff.failed(now, &config);
            backoff.until().unwrap() - now
        };
        let waits: Vec<_> = (0..12).map(|_| wait(&mut backoff).as_millis()).collect();
        assert_eq!(waits[..5], [100, 200, 400, 800, 1600]);
        assert_eq!(waits[11], 30_000);
        for _ in 0..40 {
            assert_eq!(wait(&mut backoff).as_millis(), 30_000);
        }
        backoff.succeeded();
        assert_eq!(backoff.until(), None);
        assert_eq!(wait(&mut backoff).as_millis(), 100);
    }
}
