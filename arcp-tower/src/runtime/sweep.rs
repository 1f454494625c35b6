//! Forgetting, driven by a clock and not by traffic.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arcp_core::store::Trim;
use tokio::sync::Notify;

use super::Inner;

/// Rows of one call.
const ROWS: usize = 10_000;

/// Forgets now and then what is over, here and in the store, as long as there is a runtime; and
/// whenever much was written since.
pub(super) async fn sweep(runtime: Weak<Inner>, every: Duration, written: Option<Arc<Written>>) {
    loop {
        let much = async {
            match &written {
                Some(written) => written.much().await,
                None => std::future::pending().await,
            }
        };
        // Either way it is time.
        let _ = tokio::time::timeout(every, much).await;
        let Some(inner) = runtime.upgrade() else { return };
        inner.registry.forget();
        let store = inner.credentials.store();
        let retention = i64::try_from(inner.config.retention.as_millis()).unwrap_or(i64::MAX);
        let (clock, bounds) = (inner.config.clock.clone(), inner.config.bounds());
        drop(inner);
        loop {
            let now = clock.wall();
            let before = arcp_core::Timestamp::from_millis(now.as_millis().saturating_sub(retention));
            match store.trim(now, Trim { before, bounds, limit: ROWS }).await {
                Ok(gone) if gone >= ROWS as u64 => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "the store could not be trimmed");
                    break;
                }
            }
        }
    }
}

/// Bytes that went to the store. What is kept is bounded, so it is looked after as it grows.
#[derive(Debug)]
pub(crate) struct Written {
    bytes: AtomicU64,
    many: u64,
    notify: Notify,
}

impl Written {
    pub(super) fn new(many: u64) -> Self {
        Self { bytes: AtomicU64::new(0), many, notify: Notify::new() }
    }

    pub(super) fn add(&self, bytes: usize) {
        let before = self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if before.saturating_add(bytes as u64) >= self.many {
            self.bytes.store(0, Ordering::Relaxed);
            self.notify.notify_one();
        }
    }

    async fn much(&self) {
        self.notify.notified().await;
    }
}
