//! The two clocks: monotonic time for deadlines, wall time for what is written down.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arcp_core::Timestamp;

/// tokio's monotonic clock, so that the state machines, the timers and paused tests agree.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The wall clock of a runtime: what it writes down, and what it compares with what was written, by
/// itself or by a process before it. The system's, unless told otherwise.
///
/// ```
/// use arcp_tower::core::Timestamp;
/// use arcp_tower::{Clock, Config};
/// // One that stands still.
/// let noon = Timestamp::from_millis(1_800_000_000_000);
/// let config = Config::default().with(|c| c.clock = Clock::new(move || noon));
/// assert_eq!(config.clock.wall(), noon);
/// ```
#[derive(Clone)]
pub struct Clock(Option<Arc<dyn Fn() -> Timestamp + Send + Sync>>);

/// A year: a wait that no clock can hold is as good as one.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// Now and `wait`.
pub(crate) fn after(wait: Duration) -> Instant {
    now() + wait.min(LONGEST)
}

impl Clock {
    /// A clock that a function reads.
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(read)))
    }

    /// The system's.
    pub const fn system() -> Self {
        Self(None)
    }

    /// The time.
    pub fn wall(&self) -> Timestamp {
        self.0.as_ref().map_or_else(|| SystemTime::now().into(), |read| read())
    }

    /// How long it is until `at`; nothing if that has passed.
    pub(crate) fn until(&self, at: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(at.as_millis() - self.wall().as_millis()).unwrap_or(0))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Clock(of the user)" } else { "Clock(system)" })
    }
}
