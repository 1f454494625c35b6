//! The Agent Runtime Control Protocol, v1.1, without IO.
//!
//! Everything here is a pure function of its arguments: wire types, and the state machines of a
//! session and of a job. There is no tokio, no `async fn` and no clock; time is an argument. The
//! crates around this one add those: `arcp-tower` the runtime, `arcp-client` the client.
//!
//! | section | here |
//! |---|---|
//! | §5 envelope | [`wire::Envelope`], decoded in two steps |
//! | §6 sessions | [`wire::session`], [`session::Link`], [`session::Outbox`], [`session::Peer`] |
//! | §7 jobs | [`wire::job`], [`job::Lifecycle`], [`agent`] |
//! | §8 events | [`wire::event`], [`Event`], [`log::JobLog`], [`chunk`] |
//! | §9 leases, budgets | [`lease::Authority`], [`lease::Budget`], [`lease::glob`], [`money`] |
//! | §12 errors | [`error`] |
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod agent;
pub mod chunk;
pub mod error;
pub mod event;
pub mod feature;
pub mod id;
pub mod idempotency;
pub mod job;
pub mod json;
pub mod lease;
pub mod log;
pub mod money;
pub mod session;
pub mod store;
pub mod time;
pub mod trace;
pub mod transport;
pub mod wire;

pub use error::{Code, Error};
pub use event::Event;
pub use feature::{Feature, Features};
pub use id::{JobId, MessageId, SessionId, TraceId};
pub use json::Json;
pub use time::Timestamp;
pub use trace::TraceContext;
pub use wire::{Envelope, MessageType};
