//! A command of a session, and the replies to it.

use std::fmt;

use arcp_core::Envelope;
use http::Extensions;
use smallvec::SmallVec;

use super::SessionCtx;

/// One command: `job.submit`, `job.subscribe`, `job.unsubscribe`, `session.list_jobs`, and types that only a
/// layer of the user's knows.
#[derive(Debug)]
#[non_exhaustive]
pub struct Request {
    /// The message.
    pub message: Envelope,
    /// The session it came from.
    pub session: SessionCtx,
    /// What layers tell each other about this command.
    pub extensions: Extensions,
}

impl Request {
    /// A command of `session`.
    pub fn new(message: Envelope, session: SessionCtx) -> Self {
        Self { message, session, extensions: Extensions::new() }
    }
}

/// The direct replies to a command. Events take another way: through the session's outbox.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Response {
    /// The replies; they leave in the order of the requests.
    pub replies: SmallVec<[Envelope; 1]>,
    /// What happens once they are on their way.
    pub after: Option<After>,
}

impl Response {
    /// One reply.
    pub fn one(reply: Envelope) -> Self {
        Self { replies: SmallVec::from_buf([reply]), after: None }
    }

    /// And then `effect`.
    pub fn then(mut self, effect: impl FnOnce() + Send + 'static) -> Self {
        self.after = Some(After::new(effect));
        self
    }
}

/// An effect that waits for the replies to be queued, and runs at the latest when it is dropped: an
/// accepted job starts even if its connection is gone by then, and never before its acceptance.
pub struct After(Option<Box<dyn FnOnce() + Send>>);

impl After {
    /// Defers `effect`.
    pub fn new(effect: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(effect)))
    }
}

impl Drop for After {
    fn drop(&mut self) {
        if let Some(effect) = self.0.take() {
            effect();
        }
    }
}

impl fmt::Debug for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("After")
    }
}
