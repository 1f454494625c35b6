//! What the runtime tells of itself: traces, metrics, and whether it is well.
#![cfg(unix)]
#![allow(clippy::float_cmp, reason = "counts")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod admin;
mod context;
mod export;
mod logs;

/// What a client says that it can do.
const FEATURES: [&str; 7] =
    ["ack", "subscribe", "progress", "result_chunk", "agent_versions", "cost.budget", "lease_expires_at"];
