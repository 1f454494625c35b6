//! Forgetting, driven by a clock and not by traffic.

use std::sync::Weak;
use std::time::Duration;

use arcp_core::store::Trim;

use super::Inner;

/// Rows of one call.
const ROWS: usize = 10_000;

/// Forgets now and then what is over, here and in the store, as long as there is a runtime.
pub(super) async fn sweep(runtime: Weak<Inner>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(inner) = runtime.upgrade() else { return };
        inner.registry.forget();
        let store = inner.credentials.store();
        let retention = i64::try_from(inner.config.retention.as_millis()).unwrap_or(i64::MAX);
        let clock = inner.config.clock.clone();
        drop(inner);
        loop {
            let now = clock.wall();
            let before = arcp_core::Timestamp::from_millis(now.as_millis().saturating_sub(retention));
            match store.trim(now, Trim { before, limit: ROWS }).await {
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
