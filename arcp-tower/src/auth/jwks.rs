//! Key sets that are fetched (RFC 7517): the keys of an issuer, as it rotates them.

mod cache;
mod config;
mod failure;
mod fetch;
mod set;
mod watch;

use std::fmt;
use std::sync::{Arc, Mutex};

use arcp_core::{Code, Error};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

pub use config::{InvalidJwks, JwksConfig};

use crate::lock::lock;
use crate::telemetry;
use cache::{Cache, Known, Look};
use failure::Failure;
use fetch::Source;

/// The keys of an issuer, by the address that it publishes them at.
///
/// They are fetched when the first token comes, and again when they are as old as
/// [`JwksConfig::refresh`] says; by one request at a time, whatever number of tokens waits for it. A
/// token with the name of a key that is not known has them fetched early, once in
/// [`JwksConfig::unknown_kid`] for all such tokens together. While they cannot be fetched, those of
/// before count, up to [`JwksConfig::stale`]: whoever has a token notices nothing until then. Operators
/// do by a warning in the log, which says how long that is, and by the metric
/// [`JWKS_FETCHES`](crate::telemetry::names::JWKS_FETCHES).
///
/// A key that is no longer among them is withdrawn: connections of tokens that it signed are closed. For
/// that, keys are fetched every [`JwksConfig::withdrawal`] while there are such sessions.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use arcp_tower::auth::jwks::{Jwks, JwksConfig};
/// use arcp_tower::auth::jwt::JwtVerifier;
///
/// let keys = Jwks::new("https://login.example.com/.well-known/jwks.json", JwksConfig::default())?;
/// let verifier = JwtVerifier::builder()
///     .jwks(keys)
///     .issuer("https://login.example.com")
///     .audience("arcp")
///     .build()?;
/// # let _ = verifier;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Jwks(Arc<Shared>);

struct Shared {
    source: Source,
    config: JwksConfig,
    cache: Mutex<Cache>,
    /// Held by who fetches.
    flight: tokio::sync::Mutex<()>,
    /// Sees to it that keys are withdrawn from those who were let in by them.
    watch: Mutex<Option<JoinHandle<()>>>,
}

impl Jwks {
    /// The key set at `url`, which is of the form `https://`, or `http://` on loopback. Nothing is
    /// fetched yet.
    ///
    /// # Errors
    /// If the address is another one, or a root certificate cannot be read.
    pub fn new(url: &str, config: JwksConfig) -> Result<Self, InvalidJwks> {
        let source = Source::new(url, &config)?;
        let (cache, flight, watch) = (Mutex::default(), tokio::sync::Mutex::default(), Mutex::default());
        Ok(Self(Arc::new(Shared { source, config, cache, flight, watch })))
    }

    /// The key with a name; `None` if there is none.
    ///
    /// # Errors
    /// `INTERNAL_ERROR`, which may pass, if that cannot be said now.
    pub(super) async fn key(&self, kid: &str) -> Result<Option<Known>, Error> {
        let shared = &*self.0;
        match shared.look(kid) {
            Some(Ok(Some(key))) => return Ok(Some(key)),
            // Less than a key is final only while nobody fetches any.
            Some(known) if shared.flight.try_lock().is_ok() => return known,
            _ => {}
        }
        let _alone = shared.flight.lock().await;
        // Who was before us may have fetched it.
        if let Some(known) = shared.look(kid) {
            return known;
        }
        shared.fetch().await;
        shared.look(kid).unwrap_or_else(|| Err(down()))
    }
}

impl Shared {
    /// Fetches the keys. The flight must be held.
    async fn fetch(&self) {
        // It counts from its beginning, and as failed until it is not: whoever waits may give up.
        lock(&self.cache).begin(Instant::now());
        let fetched = timeout(self.config.timeout, self.source.fetch(&self.config)).await;
        let fetched = fetched.unwrap_or(Err(Failure::TimedOut));
        telemetry::keys_fetched(fetched.as_ref().err().map(|why| why.kind()));
        match fetched {
            Ok(keys) => {
                tracing::debug!(keys = keys.len(), url = %self.source, "the key set was fetched");
                lock(&self.cache).succeed(keys, Instant::now());
            }
            Err(why) => {
                let old_keys_count_for = lock(&self.cache).left(Instant::now(), &self.config);
                tracing::warn!(%why, url = %self.source, ?old_keys_count_for, "the key set could not be fetched");
            }
        }
    }

    /// What is known of a key now; `None` if it has to be fetched.
    fn look(&self, kid: &str) -> Option<Result<Option<Known>, Error>> {
        match lock(&self.cache).look(kid, Instant::now(), &self.config) {
            Look::Key(key) => Some(Ok(Some(key))),
            Look::Unknown => Some(Ok(None)),
            Look::Down => Some(Err(down())),
            Look::Fetch => None,
        }
    }
}

fn down() -> Error {
    Error::new(Code::InternalError, "tokens cannot be verified at the moment; try again")
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks").field("url", &self.0.source.to_string()).finish_non_exhaustive()
    }
}
