//! Jobs: submitting, following, watching and cancelling them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod cancel;
mod control;
mod forgotten_numbers;
mod idempotency;
mod idempotent_repeats;
mod listing;
mod misbehaving;
mod observe;
mod observers;
mod privacy;
mod properties;
mod restartable;
mod results;
mod schemas;
mod subscribe;
mod words;
