//! Measuring an ARCP runtime over WebSocket, from outside and without its crates; only `append` has the store in itself.
//!
//! | binary | what it does |
//! |---|---|
//! | `load` | drives any runtime with the agents `chatty` and `echo`, prints one JSON line |
//! | `ceiling` | what a WebSocket server can push when it has nothing to decide |
//! | `append` | what the store keeps when there is no runtime before it |
//! | `bench` | runs all of them beside `arcp serve`, prints medians beside what they should be |
//!
//! The machine is noisy: figures compare only within one run of `bench`.

pub mod append;
pub mod args;
pub mod frame;
pub mod mode;
pub mod process;
pub mod server;
pub mod session;
pub mod stats;
pub mod suite;
pub mod table;
