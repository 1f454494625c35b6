//! Who a client is: tokens of every kind, and what they allow.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod host_session;
mod jwks;
mod jwt_attacks;
mod scopes;
