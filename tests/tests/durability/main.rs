//! What a store keeps, and what comes after a restart.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod durable;
mod outlasted;
mod restart;
mod store_faults;
mod unwritten;
