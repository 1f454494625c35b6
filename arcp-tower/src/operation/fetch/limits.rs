//! Bounds on requests.

use std::time::Duration;

/// How much one request may send, receive and wait, and how many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchLimits {
    /// Bytes of a request's body. 8 MiB.
    pub request: usize,
    /// Bytes of a response's body. 8 MiB.
    pub response: usize,
    /// Bytes of a response's status line and headers; at least 8 KiB. 64 KiB.
    pub header_bytes: usize,
    /// Headers of a response. 128.
    pub headers: usize,
    /// Everything from the call to the last byte. 30 s.
    pub timeout: Duration,
    /// Connecting, over all addresses of a host. 10 s.
    pub connect_timeout: Duration,
    /// Addresses of one host that are tried. 32.
    pub addresses: usize,
    /// Redirects that are followed. 5.
    pub hops: usize,
    /// Requests at once; the others wait. 64.
    pub concurrent: usize,
    /// How long an unused connection is kept. 30 s.
    pub idle: Duration,
    /// Unused connections that are kept for one scheme, host and port. 4.
    pub idle_per_host: usize,
    /// Unused connections that are kept in all. 256.
    pub idle_in_all: usize,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            request: 8 << 20,
            response: 8 << 20,
            header_bytes: 64 << 10,
            headers: 128,
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            addresses: 32,
            hops: 5,
            concurrent: 64,
            idle: Duration::from_secs(30),
            idle_per_host: 4,
            idle_in_all: 256,
        }
    }
}

impl FetchLimits {
    /// Changes some bounds.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}
