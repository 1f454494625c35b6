//! What carries frames: whole JSON texts, both ways.

#[cfg(any(feature = "stdio", feature = "ws"))]
mod gather;
#[cfg(feature = "stdio")]
mod lines;
mod memory;
#[cfg(feature = "ws")]
mod ws;

use std::fmt;
use std::io;
use std::task::{Context, Poll};

use bytestring::ByteString;

#[cfg(feature = "stdio")]
pub use lines::{LineLimits, Lines, Stray};
pub use memory::{Memory, memory};
#[cfg(feature = "ws")]
pub use ws::{WebSocket, WsLimits};

/// What arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A frame.
    Frame(ByteString),
    /// A control frame of the transport's own, such as a WebSocket's ping. It was dealt with, and carries
    /// nothing; it is here to be counted.
    Control,
    /// The end: with the peer's words if it closed in an orderly way.
    Closed(Option<Close>),
}

/// Why and how a connection is closed: the code and reason of a WebSocket's close frame, which
/// other transports carry as they can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The code of RFC 6455 §7.4, or one of ours.
    pub code: u16,
    /// For people; at most 123 bytes reach the peer.
    pub reason: String,
}

impl Close {
    /// The work is done.
    pub const NORMAL: u16 = 1000;
    /// The peer is going away.
    pub const AWAY: u16 = 1001;
    /// A rule of the WebSocket protocol was broken.
    pub const PROTOCOL: u16 = 1002;
    /// A binary frame came where text is due.
    pub const UNSUPPORTED: u16 = 1003;
    /// The connection ended without a word; never sent.
    pub const ABNORMAL: u16 = 1006;
    /// Text was no UTF-8.
    pub const NOT_UTF8: u16 = 1007;
    /// The session was refused.
    pub const POLICY: u16 = 1008;
    /// A message was too large.
    pub const TOO_LARGE: u16 = 1009;
    /// The runtime failed.
    pub const INTERNAL: u16 = 1011;
    /// The runtime is stopping.
    pub const RESTART: u16 = 1012;
    /// The runtime has too much to do; later it may not.
    pub const TRY_LATER: u16 = 1013;
    /// The consumer is too far behind.
    pub const LAGGING: u16 = 4408;
    /// Another connection took the session over.
    pub const TAKEN_OVER: u16 = 4409;

    /// A close.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}

/// Why nothing more can be received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// A binary frame came where text is due.
    #[error("a binary frame")]
    Binary,
    /// Text was no UTF-8.
    #[error("text that is no UTF-8")]
    NotUtf8,
    /// A message passed its limit.
    #[error("a message that is too large")]
    TooLarge,
    /// A rule of the transport's protocol was broken.
    #[error("a violation of the transport's protocol")]
    Violation,
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
}

impl RecvError {
    /// How to close after it; `None` if there is nothing left to close.
    pub fn close(&self) -> Option<Close> {
        let code = match self {
            Self::Binary => Close::UNSUPPORTED,
            Self::NotUtf8 => Close::NOT_UTF8,
            Self::TooLarge => Close::TOO_LARGE,
            Self::Violation => Close::PROTOCOL,
            Self::Io(_) => return None,
        };
        Some(Close::new(code, self.to_string()))
    }
}

/// A connection that carries frames. One task owns both directions, so nothing is split and nothing
/// is locked. It need not be `Send`: a worker of actix is enough.
pub trait Transport: Unpin {
    /// The next frame. After an error nothing more is received.
    ///
    /// # Errors
    /// What is wrong with the frame, or with the connection.
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, RecvError>>;

    /// Whether a frame may be sent.
    ///
    /// # Errors
    /// If the connection failed.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Sends a frame, after [`Transport::poll_ready`] said that there is room.
    ///
    /// # Errors
    /// If the connection failed.
    fn send(&mut self, frame: String) -> io::Result<()>;

    /// How much the peer has taken so far of what was sent, in whatever unit: while there is more to
    /// send and this stays as it is, the peer takes nothing. `None` if that is only known of whole
    /// frames, by [`Transport::poll_ready`].
    fn taken(&self) -> Option<u64> {
        None
    }

    /// Sees that what was sent leaves.
    ///
    /// # Errors
    /// If the connection failed.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Closes the connection, and waits for the peer to do so too: without that, what was sent last
    /// may not arrive. The caller bounds the wait.
    ///
    /// # Errors
    /// If the connection failed.
    fn poll_close(&mut self, cx: &mut Context<'_>, close: &Close) -> Poll<io::Result<()>>;

    /// Whether the peer learns the code and the reason of [`Transport::poll_close`]. Where it does not,
    /// an error frame has to say why a connection ends.
    fn says_why(&self) -> bool {
        true
    }

    /// The session is open: the narrow limit of the first frame no longer applies.
    fn opened(&mut self) {}

    /// Nothing is to be sent for now: what was held for that may be given back.
    fn rest(&mut self) {}
}

/// A transport of any kind that may move between threads.
pub type BoxTransport = Box<dyn Transport + Send>;

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, RecvError>> {
        (**self).poll_recv(cx)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_ready(cx)
    }

    fn send(&mut self, frame: String) -> io::Result<()> {
        (**self).send(frame)
    }

    fn taken(&self) -> Option<u64> {
        (**self).taken()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, close: &Close) -> Poll<io::Result<()>> {
        (**self).poll_close(cx, close)
    }

    fn says_why(&self) -> bool {
        (**self).says_why()
    }

    fn opened(&mut self) {
        (**self).opened();
    }

    fn rest(&mut self) {
        (**self).rest();
    }
}
