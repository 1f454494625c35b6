//! The WebSocket at the client's end, over any byte stream. TLS goes between the two calls.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use arcp_core::transport::{WebSocket, WsLimits};
use http::Uri;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;

use crate::error::ConnectError;

/// Opens a TCP connection to the host of `uri`.
pub(crate) async fn dial(uri: &Uri) -> Result<TcpStream, ConnectError> {
    match uri.scheme_str() {
        Some("ws") => {}
        Some("wss") => return Err(ConnectError::Tls),
        _ => return Err(ConnectError::Url),
    }
    let host = uri.host().ok_or(ConnectError::Url)?;
    // An IPv6 address is written in brackets, which are no part of it.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let io = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    // Frames are small, and pongs are timed.
    io.set_nodelay(true)?;
    Ok(io)
}

/// Upgrades a byte stream to a WebSocket for `uri`.
pub(crate) async fn upgrade<T>(uri: Uri, io: T, limits: WsLimits) -> Result<WebSocket<T>, ConnectError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let io = HeadFirst { io, head: Vec::new(), given: 0 };
    let (ws, _) = tokio_tungstenite::client_async(uri, io).await.map_err(|e| match e {
        Error::Io(e) => ConnectError::Io(e),
        Error::Http(response) => ConnectError::Status(response.status()),
        Error::Url(_) => ConnectError::Url,
        other => ConnectError::Upgrade(other.to_string()),
    })?;
    Ok(WebSocket::client(ws.into_inner().io, limits).await)
}

/// The longest head of an answer, in bytes.
const HEAD: usize = 16 << 10;

/// Reads the head of the HTTP answer, and nothing behind it: the first frames may come in the same
/// packet, and belong to the WebSocket that is made of the stream afterwards.
struct HeadFirst<T> {
    io: T,
    head: Vec<u8>,
    given: usize,
}

impl<T: AsyncRead + Unpin> AsyncRead for HeadFirst<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.head.ends_with(b"\r\n\r\n") {
            if this.head.len() >= HEAD {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the answer has no end")));
            }
            let mut byte = [0];
            let mut one = ReadBuf::new(&mut byte);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut one))?;
            if one.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.head.extend_from_slice(one.filled());
        }
        let rest = this.head.get(this.given..).unwrap_or_default();
        let fits = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..fits]);
        this.given += fits;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for HeadFirst<T> {
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
