//! What is known of a key set, and when it is fetched: no clock, and no network.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::JwksConfig;
use crate::auth::jwt::JwtKey;

/// A key that the issuer has.
#[derive(Clone)]
pub(in crate::auth) struct Known {
    pub(in crate::auth) key: JwtKey,
    /// Cancelled when the issuer has it no longer.
    pub(in crate::auth) withdrawn: Arc<CancellationToken>,
}

/// A key set, as far as it is known.
#[derive(Default)]
pub(super) struct Cache {
    /// The keys, and when they were fetched.
    keys: Option<(Vec<Known>, Instant)>,
    /// When they were last tried to be fetched.
    tried: Option<Instant>,
    /// Whether that has failed, or lasts.
    failed: bool,
}

/// What is known of one key.
pub(super) enum Look {
    Key(Known),
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
        let key = keys.iter().find(|known| known.key.name() == Some(kid));
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

    /// Those that are no longer there are withdrawn from whoever was let in by them.
    pub(super) fn succeed(&mut self, keys: Vec<JwtKey>, now: Instant) {
        let before = self.keys.take().map(|(keys, _)| keys).unwrap_or_default();
        // By more than its name: an issuer may give that to the next one.
        for known in before.iter().filter(|known| !keys.iter().any(|key| known.key.is(key))) {
            known.withdrawn.cancel();
        }
        let known = |key: JwtKey| {
            let same = before.iter().find(|known| known.key.is(&key));
            Known { withdrawn: same.map(|known| known.withdrawn.clone()).unwrap_or_default(), key }
        };
        (self.keys, self.failed) = (Some((keys.into_iter().map(known).collect(), now)), false);
    }

    /// How long it is until the last try was `age` ago.
    pub(super) fn wait(&self, now: Instant, age: Duration) -> Duration {
        self.tried.map_or(Duration::ZERO, |at| age.saturating_sub(now.saturating_duration_since(at)))
    }

    /// Whether anybody was let in by one of the keys, and may still be there.
    pub(super) fn is_in_use(&self) -> bool {
        let mut keys = self.keys.iter().flat_map(|(keys, _)| keys);
        keys.any(|known| Arc::strong_count(&known.withdrawn) > 1)
    }
}
