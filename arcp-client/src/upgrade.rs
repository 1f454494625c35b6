//! The WebSocket at the client's end, over any byte stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use arcp_core::transport::{WebSocket, WsLimits};
use http::{HeaderMap, Uri};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::error::ConnectError;

/// Whether `uri` asks for TLS.
pub(crate) fn is_encrypted(uri: &Uri) -> Result<bool, ConnectError> {
    match uri.scheme_str() {
        Some("ws") => Ok(false),
        Some("wss") => Ok(true),
        _ => Err(ConnectError::Url),
    }
}

/// The host of `uri`. An IPv6 address is written in brackets, which are no part of it.
pub(crate) fn host(uri: &Uri) -> Result<&str, ConnectError> {
    let host = uri.host().ok_or(ConnectError::Url)?;
    Ok(host.trim_start_matches('[').trim_end_matches(']'))
}

/// Opens a TCP connection to the host of `uri`.
pub(crate) async fn dial(uri: &Uri) -> Result<TcpStream, ConnectError> {
    let usual = if is_encrypted(uri)? { 443 } else { 80 };
    let io = TcpStream::connect((host(uri)?, uri.port_u16().unwrap_or(usual))).await?;
    // Frames are small, and pongs are timed.
    io.set_nodelay(true)?;
    Ok(io)
}

/// Upgrades a byte stream to a WebSocket for `uri`, with `headers` beside those of an upgrade.
pub(crate) async fn upgrade<T>(
    uri: Uri,
    headers: HeaderMap,
    io: T,
    limits: WsLimits,
) -> Result<WebSocket<T>, ConnectError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let io = HeadFirst { io, head: Vec::new(), given: 0 };
    let failed = |e| match e {
        Error::Io(e) => ConnectError::Io(e),
        Error::Http(response) => ConnectError::Status(response.status()),
        Error::Url(_) => ConnectError::Url,
        other => ConnectError::Upgrade(other.to_string()),
    };
    let mut request = uri.into_client_request().map_err(failed)?;
    request.headers_mut().extend(headers);
    let (ws, _) = tokio_tungstenite::client_async(request, io).await.map_err(failed)?;
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
