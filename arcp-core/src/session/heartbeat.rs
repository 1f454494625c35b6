//! Liveness of a connection (§6.4), the same at both ends.

use std::time::{Duration, Instant};

use crate::{Code, Error};

/// Pings every interval whatever the traffic is, since some peers count pings; two silent intervals
/// are a loss.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    interval: Option<Duration>,
    next_ping: Instant,
    last_heard: Instant,
}

impl Heartbeat {
    /// A heartbeat that begins now; without an interval it does nothing, for ever.
    pub fn new(now: Instant, interval: Option<Duration>) -> Self {
        Self { interval, next_ping: now + interval.unwrap_or_default(), last_heard: now }
    }

    /// The peer said something.
    pub fn heard(&mut self, now: Instant) {
        self.last_heard = now;
    }

    /// When to call [`Heartbeat::poll`] next.
    pub fn timeout(&self) -> Option<Instant> {
        self.interval.map(|interval| self.next_ping.min(self.last_heard + interval * 2))
    }

    /// `true` if a ping is due now.
    ///
    /// # Errors
    /// `HEARTBEAT_LOST` after two silent intervals.
    pub fn poll(&mut self, now: Instant) -> Result<bool, Error> {
        let Some(interval) = self.interval else { return Ok(false) };
        if now >= self.last_heard + interval * 2 {
            return Err(Error::new(Code::HeartbeatLost, "nothing was heard for two heartbeat intervals"));
        }
        if now < self.next_ping {
            return Ok(false);
        }
        // From now and not from when it was due: after a pause there is one ping, not a burst.
        self.next_ping = now + interval;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_pings_each_interval_and_gives_up_after_two_silent_ones() {
        let (t0, s) = (Instant::now(), Duration::from_secs(1));
        let mut beat = Heartbeat::new(t0, Some(s * 10));
        assert!(!beat.poll(t0 + s * 9).unwrap());
        assert_eq!(beat.timeout(), Some(t0 + s * 10));
        assert!(beat.poll(t0 + s * 10).unwrap());
        beat.heard(t0 + s * 15);
        assert!(beat.poll(t0 + s * 25).unwrap());
        assert!(!beat.poll(t0 + s * 34).unwrap());
        assert_eq!(beat.timeout(), Some(t0 + s * 35));
        assert_eq!(beat.poll(t0 + s * 35).unwrap_err().code(), Code::HeartbeatLost);
    }

    #[test]
    fn without_an_interval_it_does_nothing() {
        let t0 = Instant::now();
        let mut beat = Heartbeat::new(t0, None);
        assert_eq!(beat.timeout(), None);
        assert!(!beat.poll(t0 + Duration::from_secs(1 << 20)).unwrap());
    }
}
