//! Measuring an ARCP runtime over WebSocket, from outside and without its crates.
//!
//! | binary | what it does |
//! |---|---|
//! | `load` | drives any runtime with the agents `chatty` and `echo`, prints one JSON line |
//! | `ceiling` | what a WebSocket server can push when it has nothing to decide |
//! | `bench` | runs `load` against `ceiling` and `arcp serve` in turn, prints medians |
//!
//! The machine is noisy: figures compare only within one run of `bench`.

pub mod args;
pub mod frame;
pub mod mode;
pub mod process;
pub mod server;
pub mod session;
pub mod stats;
