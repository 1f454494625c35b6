//! `arcp serve` as a process, driven from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod drain;
mod jwt;
mod litellm;
mod process_agents;
mod process_budgets;
mod process_lives;
mod process_logs;
mod serve;
mod stdio;
#[cfg(target_os = "linux")]
mod strangers;
mod tls;
