//! A tungstenite WebSocket, at either end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use bytestring::ByteString;
use futures_core::Stream as _;
use futures_sink::Sink as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Close, Received, RecvError, Transport};

/// The bounds of a WebSocket, all of them.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct WsLimits {
    /// The first message: what a stranger may make us hold.
    pub first_message: usize,
    /// Every later message, and each frame of it.
    pub message: usize,
    /// Bytes read at once. A connection holds that much as long as it lives.
    pub read_buffer: usize,
    /// Bytes gathered before they are written.
    pub write_buffer: usize,
}

impl Default for WsLimits {
    fn default() -> Self {
        Self {
            first_message: 16 << 10,
            message: (2 << 20) + (64 << 10),
            read_buffer: 4 << 10,
            write_buffer: 64 << 10,
        }
    }
}

impl WsLimits {
    fn config(self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(self.read_buffer)
            .write_buffer_size(self.write_buffer)
            // One message may be added to a buffer that is full; the default is no bound at all.
            .max_write_buffer_size(self.write_buffer + 2 * self.message)
            .max_message_size(Some(self.message))
            .max_frame_size(Some(self.message))
    }
}

/// A byte stream that stops after a number of bytes, until the bound is lifted. tungstenite cannot
/// change its limits on an open connection, so the narrow one of the first message is kept here.
#[derive(Debug)]
pub struct Metered<T> {
    io: T,
    left: Option<usize>,
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
        let read = buf.filled().len() - before;
        self.left = self.left.map(|left| left.saturating_sub(read));
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

/// A WebSocket as a [`Transport`].
#[derive(Debug)]
pub struct WebSocket<T> {
    ws: WebSocketStream<Metered<T>>,
    closing: Closing,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Closing {
    No,
    Said,
    Flushed,
    ShutDown,
}

impl<T: AsyncRead + AsyncWrite + Unpin> WebSocket<T> {
    /// The runtime's end of a connection that was upgraded already.
    pub async fn server(io: T, limits: WsLimits) -> Self {
        // Headers of the frames and what one read may bring beyond the message are not counted.
        let left = Some(limits.first_message + limits.read_buffer + 64);
        let io = Metered { io, left };
        let ws = WebSocketStream::from_raw_socket(io, Role::Server, Some(limits.config())).await;
        Self { ws, closing: Closing::No }
    }

    /// The client's end of a connection that was upgraded already.
    pub async fn client(io: T, limits: WsLimits) -> Self {
        let io = Metered { io, left: None };
        let ws = WebSocketStream::from_raw_socket(io, Role::Client, Some(limits.config())).await;
        Self { ws, closing: Closing::No }
    }
}

fn recv_error(e: Error) -> RecvError {
    match e {
        Error::Io(e) if e.kind() == io::ErrorKind::FileTooLarge => RecvError::TooLarge,
        Error::Io(e) => RecvError::Io(e),
        Error::Capacity(_) => RecvError::TooLarge,
        Error::Utf8(_) => RecvError::NotUtf8,
        Error::Protocol(
            tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        ) => RecvError::Io(io::ErrorKind::ConnectionReset.into()),
        Error::Protocol(_) => RecvError::Violation,
        other => RecvError::Io(io::Error::other(other)),
    }
}

fn send_error(e: Error) -> io::Error {
    match e {
        Error::Io(e) => e,
        other => io::Error::other(other),
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Transport for WebSocket<T> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, RecvError>> {
        loop {
            match ready!(Pin::new(&mut self.ws).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => {
                    // One pass to carry the proof over: neither crate has an unchecked way in or out.
                    let text = ByteString::try_from(Bytes::from(text)).map_err(|_| RecvError::NotUtf8)?;
                    return Poll::Ready(Ok(Received::Frame(text)));
                }
                Some(Ok(Message::Binary(_))) => return Poll::Ready(Err(RecvError::Binary)),
                Some(Ok(Message::Close(frame))) => {
                    let close = frame.map(|f| Close::new(f.code.into(), f.reason.as_str()));
                    return Poll::Ready(Ok(Received::Closed(close)));
                }
                // tungstenite has queued the pong; the driver's flush sends it.
                Some(Ok(_)) => {}
                Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) | None => {
                    return Poll::Ready(Ok(Received::Closed(None)));
                }
                Some(Err(e)) => return Poll::Ready(Err(recv_error(e))),
            }
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.ws).poll_ready(cx).map_err(send_error)
    }

    fn send(&mut self, frame: String) -> io::Result<()> {
        Pin::new(&mut self.ws).start_send(Message::Text(frame.into())).map_err(send_error)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.ws).poll_flush(cx).map_err(send_error)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, close: &Close) -> Poll<io::Result<()>> {
        if self.closing == Closing::No {
            ready!(self.poll_ready(cx))?;
            let mut end = close.reason.len().min(123);
            while !close.reason.is_char_boundary(end) {
                end -= 1;
            }
            let frame = CloseFrame { code: CloseCode::from(close.code), reason: close.reason[..end].into() };
            // It fails if the peer closed first, and then tungstenite has queued the answer.
            let _ = Pin::new(&mut self.ws).start_send(Message::Close(Some(frame)));
            self.closing = Closing::Said;
        }
        if self.closing == Closing::Said {
            ready!(self.poll_flush(cx))?;
            self.closing = Closing::Flushed;
        }
        if self.closing == Closing::Flushed {
            ready!(Pin::new(self.ws.get_mut()).poll_shutdown(cx))?;
            self.closing = Closing::ShutDown;
            self.ws.get_mut().left = None;
        }
        // What is still under way is read and dropped: closing a socket with unread bytes resets
        // it, and a reset can overtake the close frame.
        let mut scrap = [0; 1024];
        loop {
            let mut buf = ReadBuf::new(&mut scrap);
            ready!(Pin::new(self.ws.get_mut()).poll_read(cx, &mut buf))?;
            if buf.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn opened(&mut self) {
        self.ws.get_mut().left = None;
    }
}
