//! What an application can see of its connection.

use std::time::Instant;

use crate::error::Disconnected;

/// How the connection is. [`Client::status`](crate::Client::status) watches it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ConnectionStatus {
    /// There is one.
    Connected,
    /// It was lost, and the session is about to be resumed. Handles notice nothing; requests wait,
    /// each for its own time.
    #[non_exhaustive]
    Reconnecting {
        /// Which attempt is next, or under way: 1 for the first since `since`.
        attempt: u32,
        /// When it was lost.
        since: Instant,
        /// Why.
        why: Disconnected,
    },
    /// It has ended for good.
    Closed(Disconnected),
}

impl ConnectionStatus {
    pub(crate) fn closed(&self) -> Option<&Disconnected> {
        match self {
            Self::Closed(why) => Some(why),
            _ => None,
        }
    }
}
