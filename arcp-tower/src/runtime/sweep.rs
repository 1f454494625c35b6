//! Forgetting, driven by a clock and not by traffic.

use std::sync::{Arc, Weak};
use std::time::Duration;

use arcp_core::store::Trim;

use super::Inner;

/// Rows of one call.
const ROWS: usize = 10_000;

/// Trims the store now and then, as long as there is a runtime.
pub(super) async fn sweep(runtime: Weak<Inner>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(inner) = runtime.upgrade() else { return };
        let Some(journal) = inner.journal.clone() else { return };
        let retention = i64::try_from(inner.config.retention.as_millis()).unwrap_or(i64::MAX);
        let clock = inner.config.clock.clone();
        drop(inner);
        loop {
            let now = clock.wall();
            let before = arcp_core::Timestamp::from_millis(now.as_millis().saturating_sub(retention));
            match Arc::clone(&journal.store).trim(now, Trim { before, limit: ROWS }).await {
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
