//! The file of a store: what it promises, what it takes, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod commits;
mod counts;
mod damage;
mod migration;
mod opening;
mod room;
mod rows;
