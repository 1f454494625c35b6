//! Connections that hold what they have and do nothing: those whose peer takes nothing, and those on
//! which nothing is said. And those whose credentials have ended.

use std::time::{Duration, Instant};

use arcp_core::transport::Close;

use crate::clock;
use crate::config::Config;

/// Watches one connection.
#[derive(Debug)]
pub(super) struct Watch {
    stall: Duration,
    /// Since when its peer has taken nothing, and what it had taken by then.
    stuck: Option<(Instant, u64)>,
    /// For how long nothing may be said; heartbeats say something.
    idle: Option<Duration>,
    moved: Instant,
    /// When its credentials end.
    until: Option<Instant>,
}

impl Watch {
    pub(super) fn new(now: Instant, heartbeats: bool, config: &Config) -> Self {
        let idle = (!heartbeats).then_some(config.idle_timeout);
        Self { stall: config.stall_timeout, stuck: None, idle, moved: now, until: None }
    }

    /// Its credentials end then.
    pub(super) fn until(&mut self, end: Option<Instant>) {
        self.until = end;
    }

    /// Whether its credentials have ended.
    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.until.is_some_and(|end| end <= now)
    }

    /// Something was said, by either side.
    pub(super) fn moved(&mut self, now: Instant) {
        self.moved = now;
    }

    /// There is more to send than the peer takes, which has taken so much by now. What a slow peer
    /// takes is little, and counts; where only whole frames are known of, one that `left` does.
    pub(super) fn stuck(&mut self, now: Instant, taken: Option<u64>, left: bool) {
        let (same, taken) = match (self.stuck, taken) {
            (Some((_, before)), Some(taken)) => (before == taken, taken),
            (Some(_), None) => (!left, 0),
            (None, taken) => (false, taken.unwrap_or(0)),
        };
        let since = self.stuck.filter(|_| same).map_or(now, |(since, _)| since);
        self.stuck = Some((since, taken));
    }

    /// The peer has taken all there is.
    pub(super) fn flows(&mut self) {
        self.stuck = None;
    }

    /// When to look at it.
    pub(super) fn timeout(&self) -> Option<Instant> {
        let stuck = self.stuck.map(|(since, _)| at(since, self.stall));
        let idle = self.idle.map(|idle| at(self.moved, idle));
        [stuck, idle, self.until].into_iter().flatten().min()
    }

    /// Whether it is to be closed now. One that waits for a job is not idle.
    pub(super) fn over(&mut self, now: Instant, waits: bool) -> Option<Close> {
        if self.stuck.is_some_and(|(since, _)| at(since, self.stall) <= now) {
            let reason = "nothing of what was sent is taken; resume, and read";
            return Some(Close::new(Close::LAGGING, reason));
        }
        if self.idle.is_some_and(|idle| at(self.moved, idle) <= now) {
            if waits {
                self.moved = now;
                return None;
            }
            return Some(Close::new(Close::AWAY, "nothing was said for long"));
        }
        None
    }
}

/// A wait that no clock can hold is as good as one that is over much later.
fn at(since: Instant, wait: Duration) -> Instant {
    since.checked_add(wait).unwrap_or_else(|| clock::after(wait))
}
