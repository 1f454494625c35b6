//! What is known of a key set, and when it is fetched: no clock, and no network.

use std::time::Duration;

use tokio::time::Instant;

use super::JwksConfig;
use crate::auth::jwt::JwtKey;

/// A key set, as far as it is known.
#[derive(Default)]
pub(super) struct Cache {
    /// The keys, and when they were fetched.
    keys: Option<(Vec<JwtKey>, Instant)>,
    /// When they were last tried to be fetched.
    tried: Option<Instant>,
    /// Whether that has failed, or lasts.
    failed: bool,
}

/// What is known of one key.
pub(super) enum Look {
    Key(JwtKey),
    /// The issuer has no such key.
    Unknown,
    /// It cannot be said, and it is too early to try again.
    Down,
    /// The keys have to be fetched.
    Fetch,
}

impl Cache {
    pub(super) fn look(&self, kid: &str, now: Instant, config: &JwksConfig) -> Look {
        let (keys, age) = match &self.keys {
            Some((keys, at)) => (&keys[..], Some(now.saturating_duration_since(*at))),
            None => (&[][..], None),
        };
        let key = keys.iter().find(|key| key.name() == Some(kid));
        let fresh = age.is_some_and(|age| age < config.refresh);
        let usable = age.is_some_and(|age| age < config.stale);
        let wait = if fresh { config.unknown_kid } else { config.retry };
        let may_fetch = self.tried.is_none_or(|at| now.saturating_duration_since(at) >= wait);
        match key {
            Some(key) if fresh => Look::Key(key.clone()),
            _ if may_fetch => Look::Fetch,
            Some(key) if usable => Look::Key(key.clone()),
            None if fresh && !self.failed => Look::Unknown,
            _ => Look::Down,
        }
    }

    /// How long the keys still count if none are fetched.
    pub(super) fn left(&self, now: Instant, config: &JwksConfig) -> Duration {
        let age = self.keys.as_ref().map(|(_, at)| now.saturating_duration_since(*at));
        age.map_or(Duration::ZERO, |age| config.stale.saturating_sub(age))
    }

    pub(super) fn begin(&mut self, now: Instant) {
        (self.tried, self.failed) = (Some(now), true);
    }

    pub(super) fn succeed(&mut self, keys: Vec<JwtKey>, now: Instant) {
        (self.keys, self.failed) = (Some((keys, now)), false);
    }
}
