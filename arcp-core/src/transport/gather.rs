//! Gathers frames before they are written.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A byte stream whose writes are gathered until there are enough of them, or a flush. Each write is
/// taken whole or not at all, so frames of different writers never mix. While nothing is gathered,
/// nothing is held.
#[derive(Debug)]
pub(super) struct Gather<T> {
    io: T,
    gathered: Vec<u8>,
    /// How much of it was written.
    written: usize,
    /// Full: everything is written before anything is added.
    full: bool,
    most: usize,
    /// Bytes that the stream has taken in all.
    taken: u64,
}

/// A buffer that grows beyond this grows to its full size at once.
const SMALL: usize = 4 << 10;

impl<T> Gather<T> {
    pub(super) fn new(io: T, most: usize) -> Self {
        Self { io, gathered: Vec::new(), written: 0, full: false, most, taken: 0 }
    }

    /// Adds bytes, whether there is room or not. What `append` adds is `len` bytes, or a few more.
    pub(super) fn append(&mut self, len: usize, append: impl FnOnce(&mut Vec<u8>)) {
        let needed = self.gathered.len() + len;
        if needed > self.gathered.capacity() {
            let ahead = if needed > SMALL { self.most.saturating_sub(self.gathered.len()) } else { 0 };
            self.gathered.reserve_exact(ahead.max(len));
        }
        append(&mut self.gathered);
    }

    /// Bytes that the stream has taken in all.
    #[cfg(feature = "ws")]
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Gives the buffer back if nothing is in it.
    pub(super) fn rest(&mut self) {
        if self.gathered.is_empty() {
            self.gathered = Vec::new();
        }
    }
}

impl<T: AsyncWrite + Unpin> Gather<T> {
    /// Whether there is room for more.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.full |= self.gathered.len() >= self.most;
        if self.full { self.poll_drain(cx) } else { Poll::Ready(Ok(())) }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.gathered.len() {
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, &self.gathered[self.written..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += n;
            self.taken += n as u64;
        }
        self.gathered.clear();
        // One that holds a single large message is not kept.
        self.gathered.shrink_to(self.most + SMALL);
        (self.written, self.full) = (0, false);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Gather<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gather<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(cx))?;
        self.append(buf.len(), |gathered| gathered.extend_from_slice(buf));
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::task::Waker;

    /// Takes so many bytes, and then no more.
    struct Narrow {
        taken: Vec<u8>,
        room: usize,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            let n = buf.len().min(self.room);
            if n == 0 {
                return Poll::Pending;
            }
            self.taken.extend_from_slice(&buf[..n]);
            self.room -= n;
            Poll::Ready(Ok(n))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn t52_writes_are_taken_whole_and_leave_in_order_whatever_the_stream_takes_at_a_time() {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut gather = Gather::new(Narrow { taken: vec![], room: 0 }, 100);
        let (mut wanted, mut refused) = (vec![], 0);
        for n in 0u8..200 {
            gather.io.room += usize::from(n % 7);
            let frame = vec![n; 30];
            match Pin::new(&mut gather).poll_write(cx, &frame) {
                Poll::Ready(taken) => {
                    assert_eq!(taken.unwrap(), 30);
                    wanted.extend(frame);
                }
                Poll::Pending => refused += 1,
            }
            assert!(gather.gathered.len() < 130, "full, and one more");
        }
        assert!(refused > 50);
        assert!(Pin::new(&mut gather).poll_flush(cx).is_pending());
        gather.io.room = 1000;
        assert!(Pin::new(&mut gather).poll_flush(cx).is_ready());
        assert_eq!(gather.io.taken, wanted);
    }

    #[test]
    fn what_waits_for_nothing_holds_nothing() {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut gather = Gather::new(Narrow { taken: vec![], room: 1 << 20 }, 10_000);
        gather.append(100_000, |gathered| gathered.resize(100_000, 0));
        gather.rest();
        assert_eq!(gather.gathered.len(), 100_000, "it is still to be written");
        assert!(Pin::new(&mut gather).poll_flush(cx).is_ready());
        assert!(gather.gathered.capacity() < 20_000);
        gather.rest();
        assert_eq!(gather.gathered.capacity(), 0);
    }
}
