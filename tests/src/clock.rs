//! A wall clock that goes as tokio's does, and so stands still where that is paused.

use arcp_core::Timestamp;
use arcp_tower::{Clock, Config};
use tokio::time::Instant;

/// A wall clock that shows some day in 2027 now, and from then on goes as tokio's.
pub fn clock() -> Clock {
    let start = Instant::now();
    let noon = Timestamp::from_millis(1_800_000_000_000);
    Clock::new(move || noon.plus(start.elapsed()))
}

/// The default bounds with [`clock`], and then changed.
pub fn timed(change: impl FnOnce(&mut Config)) -> Config {
    Config::default().with(|c| c.clock = clock()).with(change)
}
