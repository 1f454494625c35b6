//! The `arcp` command, as a shell sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![cfg(unix)]

mod agents;
mod around;
mod command;
mod examples;
mod exit_codes;
mod held;
mod jobs;
mod pty;
mod running;
mod serve;
mod stores;
mod submit;
mod tail;
mod terminal;
mod tools;
