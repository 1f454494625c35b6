//! Requests that an agent makes under a lease, and how it would reach what it must not.
#![cfg(feature = "fetch")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod addresses;
mod bounds;
mod headers;
mod redirects;
mod scene;
mod tls;
