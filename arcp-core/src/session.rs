//! The state machines of a session, without IO and without a clock: each takes `now`.
//!
//! [`Outbox`] is the durable half of a session at the runtime, [`Link`] the half that lives as long
//! as a connection, [`Peer`] the client's mirror of both.

mod heartbeat;
mod link;
mod outbox;
mod peer;
mod rate;

pub use heartbeat::Heartbeat;
pub use link::{Inbound, Link, LinkConfig, MAX_TEXT};
pub use outbox::{AckAhead, FeedId, Outbox, Placed, Run};
pub use peer::{Arrival, Peer, PeerConfig};
pub use rate::FrameRate;
