//! The stack of services: layers, spans, and its end.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod drain;
mod layers;
mod spans;
