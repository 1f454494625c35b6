//! What the tests share: servers on loopback, clients that speak frames, and agents.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails is a failed test")]

pub mod actor;
pub mod agents;
pub mod ask;
pub mod authority;
pub mod clock;
pub mod command;
pub mod gateway;
pub mod host;
pub mod issuer;
pub mod jwks;
pub mod otlp;
pub mod peer;
pub mod process;
pub mod server;
pub mod sessions;
pub mod stores;
pub mod vault;
pub mod wire;

pub use actor::actor;
pub use ask::{Ask, Http, Http2, Io};
pub use clock::timed;
pub use peer::{ALL, Peer, features};
pub use process::Process;
pub use server::{Memories, Server, Socket, guarded, runtime, socket, tokens};
pub use wire::Wire;

/// The token of a principal called `alice`.
pub const ALICE: &str = "alice-token";
/// The token of a principal called `bob`.
pub const BOB: &str = "bob-token";
