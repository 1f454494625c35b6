//! A tungstenite WebSocket, at either end.

mod first;
mod limits;
mod metered;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use bytestring::ByteString;
use futures_core::Stream as _;
use futures_sink::Sink as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::gather::Gather;
use super::{Close, Received, RecvError, Transport};
use first::FirstMessage;
pub use limits::WsLimits;
use metered::Metered;

/// A WebSocket as a [`Transport`].
#[derive(Debug)]
pub struct WebSocket<T> {
    ws: WebSocketStream<Metered<Gather<T>>>,
    role: Role,
    /// Bytes of the stream that a message may take; none until the first one was let in.
    message: Option<usize>,
    limits: WsLimits,
    /// Whether the peer said that it closes.
    closed: bool,
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
        let io = Gather::new(io, limits.write_buffer);
        let first = FirstMessage::new(limits.first_message);
        Self::new(Metered::new(io, limits.first_bytes(), Some(first)), limits, None, Role::Server).await
    }

    /// The client's end of a connection that was upgraded already.
    pub async fn client(io: T, limits: WsLimits) -> Self {
        let (io, message) = (Gather::new(io, limits.write_buffer), limits.message_bytes());
        Self::new(Metered::new(io, message, None), limits, Some(message), Role::Client).await
    }

    async fn new(io: Metered<Gather<T>>, limits: WsLimits, message: Option<usize>, role: Role) -> Self {
        let ws = WebSocketStream::from_raw_socket(io, role, Some(limits.config(role))).await;
        Self { ws, role, message, limits, closed: false, closing: Closing::No }
    }

    /// A message or a control frame is whole: the next may take as much.
    fn whole(&mut self) {
        if let Some(message) = self.message {
            self.ws.get_mut().allow(message);
        }
    }

    fn gather(&mut self) -> &mut Gather<T> {
        self.ws.get_mut().inner()
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
        Poll::Ready(match ready!(Pin::new(&mut self.ws).poll_next(cx)) {
            Some(Ok(Message::Text(text))) => {
                self.whole();
                // One pass to carry the proof over: neither crate has an unchecked way in or out.
                ByteString::try_from(Bytes::from(text)).map(Received::Frame).map_err(|_| RecvError::NotUtf8)
            }
            Some(Ok(Message::Binary(_))) => Err(RecvError::Binary),
            Some(Ok(Message::Close(frame))) => {
                self.closed = true;
                // One without a code is a close all the same, which wants its answer (RFC 6455 §5.5.1).
                let bare = (self.role == Role::Server).then(|| Close::new(1005, ""));
                Ok(Received::Closed(frame.map(|f| Close::new(f.code.into(), f.reason.as_str())).or(bare)))
            }
            // tungstenite has queued the pong; the driver's flush sends it.
            Some(Ok(_)) => {
                self.whole();
                Ok(Received::Control)
            }
            Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) | None => Ok(Received::Closed(None)),
            Some(Err(e)) => Err(recv_error(e)),
        })
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.role == Role::Client {
            ready!(Pin::new(&mut self.ws).poll_ready(cx)).map_err(send_error)?;
        }
        self.gather().poll_room(cx)
    }

    fn send(&mut self, frame: String) -> io::Result<()> {
        if self.role == Role::Client {
            return Pin::new(&mut self.ws).start_send(Message::Text(frame.into())).map_err(send_error);
        }
        if self.closed || self.closing != Closing::No {
            return Err(io::ErrorKind::NotConnected.into());
        }
        // What a runtime sends is not masked: it is copied once, past tungstenite's own buffer.
        let (opcode, len) = (OpCode::Data(Data::Text), frame.len());
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        let mut formed = Ok(());
        self.gather().append(len + header.len(len as u64), |gathered| {
            formed = header.format(len as u64, gathered);
            gathered.extend_from_slice(frame.as_bytes());
        });
        formed.map_err(send_error)
    }

    fn taken(&self) -> Option<u64> {
        Some(self.ws.get_ref().inner_ref().taken())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.ws).poll_flush(cx)).map_err(send_error)?;
        // If the peer closed first, the flush before ends with that, and leaves the answer here.
        Pin::new(self.gather()).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, close: &Close) -> Poll<io::Result<()>> {
        if self.closing == Closing::No {
            // So that there is room for one more control frame.
            ready!(self.poll_flush(cx))?;
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
            self.ws.get_mut().lift();
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
        self.message = Some(self.limits.message_bytes());
        self.whole();
    }

    fn rest(&mut self) {
        self.gather().rest();
    }
}
