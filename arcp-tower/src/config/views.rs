//! What parts of the runtime read of the bounds.

use std::time::Duration;

use arcp_core::transport::WsLimits;

use super::Config;
use crate::door::Most;

impl Config {
    /// Changes some bounds.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The heartbeat interval as it is announced, and kept: whole seconds, at least one (§6.4).
    pub(crate) fn heartbeat_seconds(&self) -> u64 {
        self.heartbeat.as_secs().saturating_add(u64::from(self.heartbeat.subsec_nanos() > 0)).max(1)
    }

    /// How many may wait before they say hello.
    pub(crate) fn most_strangers(&self) -> Most {
        Most { in_all: self.max_handshakes, of_one_address: self.max_handshakes_per_address }
    }

    /// The bounds that concern a WebSocket.
    pub fn ws_limits(&self) -> WsLimits {
        let mut limits = WsLimits::default();
        limits.first_message = self.first_frame;
        limits.message = self.max_frame;
        limits.read_buffer = self.read_buffer;
        limits.write_buffer = self.write_buffer;
        limits
    }

    /// The bounds that concern a line transport.
    #[cfg(feature = "stdio")]
    pub fn line_limits(&self) -> arcp_core::transport::LineLimits {
        let mut limits = arcp_core::transport::LineLimits::default();
        limits.first_message = self.first_frame;
        limits.message = self.max_frame;
        limits.read_buffer = self.read_buffer;
        limits.write_buffer = self.write_buffer;
        limits
    }

    pub(crate) fn json_limits(&self) -> arcp_core::wire::Limits {
        let mut limits = arcp_core::wire::Limits::depth(self.json_depth);
        // What one peer says, another may have to read.
        limits.lone_surrogates = false;
        limits
    }

    pub(crate) fn log_caps(&self) -> arcp_core::log::Caps {
        arcp_core::log::Caps {
            events: self.log_events.max(2 * self.window),
            bytes: self.log_bytes.max(self.backlog_bytes + 2 * self.max_sent_frame),
        }
    }

    /// How long a session is held that has something to come, or to acknowledge (§6.5).
    pub(crate) fn held(&self) -> Duration {
        self.resume_window.max(self.retention)
    }

    pub(crate) fn bounds(&self) -> arcp_core::store::Bounds {
        arcp_core::store::Bounds {
            // What is on its way to a connection must not be forced out under it.
            session_bytes: self.max_session_bytes.max(2 * self.backlog_bytes as u64),
            principal_bytes: self.max_principal_bytes,
            bytes: self.max_kept_bytes,
            session_runs: self.max_runs as u64,
        }
    }

    pub(crate) fn lease_caps(&self) -> arcp_core::lease::Caps {
        arcp_core::lease::Caps {
            patterns: self.lease_patterns,
            pattern_bytes: self.lease_pattern_bytes,
            bytes: self.lease_bytes,
        }
    }
}
