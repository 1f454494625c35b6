//! The two clocks: monotonic time for deadlines, wall time for what is written down.

use std::time::{Instant, SystemTime};

use arcp_core::Timestamp;

/// tokio's monotonic clock, so that the state machines, the timers and paused tests agree.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The wall clock.
pub(crate) fn wall() -> Timestamp {
    SystemTime::now().into()
}
