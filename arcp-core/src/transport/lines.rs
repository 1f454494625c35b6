//! Frames as lines of a byte stream: standard input and output, a child process, a Unix socket.

mod limits;
mod reader;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use bytestring::ByteString;
use tokio::io::{AsyncRead, AsyncWrite};

use super::gather::Gather;
use super::{Close, Received, RecvError, Transport};
use crate::Envelope;
use crate::wire::Limits;
pub use limits::LineLimits;
use reader::{Cut, Reader};

/// A line that is no frame; see [`Lines::tolerant`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Stray<'a> {
    /// Its bytes, without the end of the line.
    pub bytes: &'a [u8],
    /// Whether it was longer than a message may be: then these are its first bytes.
    pub cut: bool,
}

type Strays = Box<dyn FnMut(Stray<'_>) + Send>;

/// A line of JSON for each frame, as a [`Transport`] (§4).
///
/// Lines end with `\n` or `\r\n`; empty ones mean nothing. There are no close codes: a connection ends
/// where the stream does, and an error frame before that says why.
///
/// ```
/// use arcp_core::transport::{LineLimits, Lines};
/// # fn f(reader: impl tokio::io::AsyncRead + Unpin, writer: impl tokio::io::AsyncWrite + Unpin) {
/// let transport = Lines::new(reader, writer, LineLimits::default());
/// # let _ = transport;
/// # }
/// ```
pub struct Lines<R, W> {
    reader: Reader<R>,
    /// None once it is closed.
    writer: Option<Gather<W>>,
    message: usize,
    strays: Option<Strays>,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Lines<R, W> {
    /// Frames what `reader` brings, and writes frames to `writer`.
    pub fn new(reader: R, writer: W, limits: LineLimits) -> Self {
        Self {
            reader: Reader::new(reader, limits.first_message, limits.read_buffer),
            writer: Some(Gather::new(writer, limits.write_buffer)),
            message: limits.message,
            strays: None,
        }
    }

    /// Hands lines that are no envelopes to `strays`, and goes on after them. It is for a peer that
    /// prints on the same stream; without, such a line is a fault, or the end.
    pub fn tolerant(mut self, strays: impl FnMut(Stray<'_>) + Send + 'static) -> Self {
        self.strays = Some(Box::new(strays));
        self
    }
}

/// Strays that are handed on before other tasks of the thread have their turn.
const TURN: usize = 128;

/// What most envelopes begin with: these need not be read twice.
const USUAL: &str = r#"{"arcp":""#;

/// Whether a line is an envelope, and not a word of the program's own, which may be JSON, too.
fn is_envelope(line: &ByteString) -> bool {
    line.starts_with(USUAL) || Envelope::decode(line, Limits::default()).is_ok()
}

fn text(line: Bytes) -> Result<ByteString, Bytes> {
    // Clones share the bytes.
    ByteString::try_from(line.clone()).map_err(|_| line)
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Transport for Lines<R, W> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, RecvError>> {
        for _ in 0..TURN {
            let cut = ready!(self.reader.poll_line(cx)).map_err(RecvError::Io)?;
            let Some(strays) = &mut self.strays else {
                return Poll::Ready(match cut {
                    None => Ok(Received::Closed(None)),
                    Some(Cut::Line(line)) => text(line).map(Received::Frame).map_err(|_| RecvError::NotUtf8),
                    Some(Cut::Head(_)) => Err(RecvError::TooLarge),
                });
            };
            let (bytes, cut) = match cut {
                None => return Poll::Ready(Ok(Received::Closed(None))),
                Some(Cut::Head(head)) => (head, true),
                Some(Cut::Line(line)) => match text(line) {
                    Ok(frame) if is_envelope(&frame) => return Poll::Ready(Ok(Received::Frame(frame))),
                    Ok(stray) => (stray.into_bytes(), false),
                    Err(stray) => (stray, false),
                },
            };
            strays(Stray { bytes: &bytes, cut });
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.writer {
            Some(writer) => writer.poll_room(cx),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn send(&mut self, frame: String) -> io::Result<()> {
        let writer = self.writer.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        writer.append(frame.len() + 1, |gathered| {
            let from = gathered.len();
            gathered.extend_from_slice(frame.as_bytes());
            // JSON that was passed through keeps its white space. A raw end of a line is never inside
            // of a string, so another white space in its place changes nothing.
            let mut rest = &mut gathered[from..];
            while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
                rest[at] = b' ';
                rest = &mut rest[at + 1..];
            }
            gathered.push(b'\n');
        });
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.writer {
            Some(writer) => Pin::new(writer).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, _: &Close) -> Poll<io::Result<()>> {
        if let Some(writer) = &mut self.writer {
            let written = ready!(Pin::new(writer).poll_shutdown(cx));
            // A pipe is closed when it is dropped, and not before.
            self.writer = None;
            written?;
        }
        self.reader.poll_end(cx)
    }

    fn says_why(&self) -> bool {
        false
    }

    fn opened(&mut self) {
        self.reader.widen(self.message);
    }

    fn rest(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.rest();
        }
    }
}

impl<R, W> fmt::Debug for Lines<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("open", &self.writer.is_some()).finish_non_exhaustive()
    }
}
