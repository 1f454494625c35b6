//! How many frames a connection may send: the one bound that control traffic has.

use std::time::{Duration, Instant};

/// A bucket of frames that refills with time. An empty one stops the reading, so the transport
/// pushes back; nothing is dropped and nothing is refused.
#[derive(Debug, Clone)]
pub struct FrameRate {
    per_frame: Duration,
    burst: Duration,
    /// When the bucket would be full: the later, the emptier it is.
    full_at: Instant,
}

impl FrameRate {
    /// `per_second` frames, `burst` of them at once.
    pub fn new(now: Instant, per_second: u32, burst: u32) -> Self {
        let per_frame = Duration::from_secs(1) / per_second.max(1);
        Self { per_frame, burst: per_frame * burst.max(1), full_at: now }
    }

    /// When a frame may be read; `None` means now.
    pub fn blocked_until(&self, now: Instant) -> Option<Instant> {
        let room_at = (self.full_at + self.per_frame).checked_sub(self.burst)?;
        (room_at > now).then_some(room_at)
    }

    /// A frame was read.
    pub fn spend(&mut self, now: Instant) {
        self.full_at = self.full_at.max(now) + self.per_frame;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_the_rest_waits_its_turn() {
        let t0 = Instant::now() + Duration::from_secs(100);
        let mut rate = FrameRate::new(t0, 10, 5);
        let mut read = 0;
        while rate.blocked_until(t0).is_none() {
            rate.spend(t0);
            read += 1;
        }
        assert_eq!(read, 5);
        let next = rate.blocked_until(t0).unwrap();
        assert_eq!(next, t0 + Duration::from_millis(100));
        assert_eq!(rate.blocked_until(next), None);
    }
}
