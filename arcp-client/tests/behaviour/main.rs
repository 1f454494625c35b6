//! The client beside a runtime that does as the test says, and beside a real one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod acks;
mod attempts;
mod connect;
mod fake;
mod jobs;
mod list;
mod point;
mod resent;
mod resume;
mod runtime;
mod streams;
mod watching;
