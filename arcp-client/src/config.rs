//! The bounds of a client, all of them.

use std::time::Duration;

use arcp_core::transport::WsLimits;
use arcp_core::{Feature, Features};
use tokio::time::Instant;

/// The bounds of a client, all of them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientConfig {
    /// How long opening the connection may take, and again the answer to the hello: 5 s.
    pub hello_timeout: Duration,
    /// How long the answer to a request may take: 10 s.
    pub request_timeout: Duration,
    /// How long a session that was lost is tried to be resumed (§6.3); as long as the runtime holds
    /// it, by its welcome, if not set. With zero it is not resumed.
    pub resume_for: Option<Duration>,
    /// The longest wait before the first attempt to reconnect; each one after that may wait twice as
    /// long. The wait itself is random: 100 ms.
    pub backoff_first: Duration,
    /// The longest wait before any attempt: 10 s.
    pub backoff_most: Duration,
    /// How long a close waits for the runtime's `session.closed`, and for the transport: 1 s.
    pub close_wait: Duration,
    /// Requests that may be unanswered at once: 1,024.
    pub requests: usize,
    /// Events that may wait in handles that are not read while another one is waited for: 1,024. Acks are of
    /// the whole session (§6.5), so that the runtime would in the end stop the job that is waited for. Of more
    /// than these what arrived is acknowledged, as long as no handle is half full; if the runtime says how far
    /// its agents may be ahead, a quarter of that counts if it is less. With `u64::MAX` only what was taken is
    /// ever acknowledged. A [`ResumePoint`](crate::ResumePoint) goes by what was taken, and a runtime may have
    /// forgotten what was acknowledged beyond it.
    pub unread: u64,
    /// Events that may wait to be taken from one handle: 65,536.
    pub job_events: usize,
    /// Bytes of payload that may wait there: 128 MiB.
    pub job_bytes: usize,
    /// The size of a message in bytes, in both directions: 2 MiB and 64 KiB.
    pub message_bytes: usize,
    /// How deep objects and arrays of a message may nest: 128.
    pub message_depth: usize,
    /// Decoded bytes of a streamed result (§8.4): 64 MiB.
    pub streamed_bytes: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            hello_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            resume_for: None,
            backoff_first: Duration::from_millis(100),
            backoff_most: Duration::from_secs(10),
            close_wait: Duration::from_secs(1),
            requests: 1024,
            unread: 1024,
            job_events: 65_536,
            job_bytes: 128 << 20,
            message_bytes: WsLimits::default().message,
            message_depth: 128,
            streamed_bytes: 64 << 20,
        }
    }
}

/// The features that a client names in its hello unless told otherwise: all that it implements but
/// `provisioned_credentials`, which [`Builder::credentials`](crate::Builder::credentials) asks for.
pub fn implemented() -> Features {
    Features::of(&[
        Feature::Heartbeat,
        Feature::Ack,
        Feature::ListJobs,
        Feature::Subscribe,
        Feature::LeaseExpiresAt,
        Feature::CostBudget,
        Feature::ModelUse,
        Feature::Progress,
        Feature::ResultChunk,
        Feature::AgentVersions,
    ])
}

/// Now and `wait`; a wait that no clock can hold is as good as a year.
pub(crate) fn after(wait: Duration) -> Instant {
    Instant::now() + wait.min(Duration::from_secs(365 * 86_400))
}
