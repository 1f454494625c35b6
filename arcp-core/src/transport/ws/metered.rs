//! What a peer may send until a message of it is whole.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::first::FirstMessage;

/// A byte stream that fails after a number of bytes, until more are allowed. tungstenite bounds the
/// payload of a message and cannot change that on an open connection; the narrow bound of the first
/// message, and the one of empty fragments without end, are kept here.
#[derive(Debug)]
pub(super) struct Metered<T> {
    io: T,
    /// Bytes that may still be read, if there is a bound.
    left: Option<usize>,
    first: Option<FirstMessage>,
}

impl<T> Metered<T> {
    /// Allows `bytes`, in which a first message may be looked at.
    pub(super) fn new(io: T, bytes: usize, first: Option<FirstMessage>) -> Self {
        Self { io, left: Some(bytes), first }
    }

    /// Allows `bytes` from here on, whatever was allowed before.
    pub(super) fn allow(&mut self, bytes: usize) {
        (self.left, self.first) = (Some(bytes), None);
    }

    /// Lifts the bound: nothing is made of what comes.
    pub(super) fn lift(&mut self) {
        (self.left, self.first) = (None, None);
    }

    pub(super) fn inner_ref(&self) -> &T {
        &self.io
    }

    pub(super) fn inner(&mut self) -> &mut T {
        &mut self.io
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == Some(0) {
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        self.left = self.left.map(|left| left.saturating_sub(read.len()));
        if self.first.as_mut().is_some_and(|first| !first.admits(read)) {
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
