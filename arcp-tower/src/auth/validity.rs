//! How long what an authenticator saw counts.

use std::future::pending;
use std::sync::Arc;

use arcp_core::Timestamp;
use tokio_util::sync::CancellationToken;

/// How long credentials count: until a moment that is known, or until they are taken back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Validity {
    pub(crate) until: Option<Timestamp>,
    /// Whoever may take them back sees from its count that there is somebody to take them from.
    pub(crate) revoked: Option<Arc<CancellationToken>>,
}

impl Validity {
    /// Waits until they are taken back; for ever, if nobody may.
    pub(crate) async fn revoked(self) {
        match self.revoked {
            Some(revoked) => revoked.cancelled().await,
            None => pending().await,
        }
    }
}
