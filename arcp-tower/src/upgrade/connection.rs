//! What an upgraded connection's bytes go through: the TCP connection itself, where the host has one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection that a host on hyper gave away.
///
/// A small frame that follows another one waits in TCP until the first is acknowledged (RFC 896), which
/// peers put off for up to 40 ms. Servers that are made for requests and answers leave it at that, axum's
/// among them, and so it is put right here.
#[derive(Debug)]
pub(super) enum Connection {
    Tcp {
        /// What the host has read of it already. Not even an empty one is kept: it may hold the buffer that
        /// the host read the head into.
        read: Option<Bytes>,
        tcp: TcpStream,
    },
    /// A stream of HTTP/2, or one that is no TCP, or has TLS above it.
    Other(TokioIo<Upgraded>),
}

impl From<Upgraded> for Connection {
    fn from(upgraded: Upgraded) -> Self {
        let (read, tcp) = match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => (parts.read_buf, parts.io),
            Err(upgraded) => match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
                Ok(parts) => (parts.read_buf, parts.io),
                Err(upgraded) => return Self::Other(TokioIo::new(upgraded)),
            },
        };
        let (read, tcp) = (Some(read).filter(|read| !read.is_empty()), tcp.into_inner());
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "frames may wait for each other");
        }
        Self::Tcp { read, tcp }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp { read, tcp } => {
                let Some(left) = read else { return Pin::new(tcp).poll_read(cx, buf) };
                buf.put_slice(&left.split_to(left.len().min(buf.remaining())));
                if left.is_empty() {
                    *read = None;
                }
                Poll::Ready(Ok(()))
            }
            Self::Other(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp { tcp, .. } => Pin::new(tcp).poll_write(cx, buf),
            Self::Other(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp { tcp, .. } => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Other(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp { tcp, .. } => tcp.is_write_vectored(),
            Self::Other(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp { tcp, .. } => Pin::new(tcp).poll_flush(cx),
            Self::Other(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp { tcp, .. } => Pin::new(tcp).poll_shutdown(cx),
            Self::Other(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response, StatusCode, header};
    use http_body_util::Empty;
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioExecutor;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;

    /// The bytes of a request, and of what is said before its answer.
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nearly";

    /// What becomes of a connection that `io` is, as `auto` or as one of HTTP/1.1 only.
    async fn upgraded<T>(io: T, auto: bool) -> Connection
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (given, mut taken) = mpsc::channel(1);
        let service = service_fn(move |mut request: Request<Incoming>| {
            let given = given.clone();
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move { given.send(upgrade.await.unwrap().into()).await });
            let head = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
            let head = head.header(header::CONNECTION, "upgrade").header(header::UPGRADE, "x");
            async { Ok::<_, Infallible>(head.body(Empty::<Bytes>::new()).unwrap()) }
        });
        let io = TokioIo::new(io);
        if auto {
            let server = auto::Builder::new(TokioExecutor::new());
            server.serve_connection_with_upgrades(io, service).await.unwrap();
        } else {
            http1::Builder::new().serve_connection(io, service).with_upgrades().await.unwrap();
        }
        taken.recv().await.unwrap()
    }

    async fn echoes(mut connection: Connection, mut peer: impl AsyncRead + AsyncWrite + Unpin) {
        let mut text = [0; 5];
        connection.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"early", "what was read with the head is not lost");
        assert!(!matches!(connection, Connection::Tcp { read: Some(_), .. }), "and not kept");
        peer.write_all(b"later").await.unwrap();
        connection.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"later");
        connection.write_all(b"answer").await.unwrap();
        connection.shutdown().await.unwrap();
        let mut said = String::new();
        peer.read_to_string(&mut said).await.unwrap();
        assert!(said.ends_with("\r\n\r\nanswer"), "{said}");
    }

    #[tokio::test]
    async fn a_frame_on_tcp_does_not_wait_for_the_one_before_whatever_the_host_is() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for auto in [true, false] {
            let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            peer.write_all(REQUEST).await.unwrap();
            let (tcp, _) = listener.accept().await.unwrap();
            assert!(!tcp.nodelay().unwrap(), "the host says nothing");
            let connection = upgraded(tcp, auto).await;
            match &connection {
                Connection::Tcp { tcp, .. } => assert!(tcp.nodelay().unwrap()),
                other @ Connection::Other(_) => panic!("{other:?}"),
            }
            echoes(connection, peer).await;
        }
    }

    #[tokio::test]
    async fn what_is_no_tcp_is_taken_as_it_is() {
        for auto in [true, false] {
            let (mut peer, io): (DuplexStream, _) = duplex(1024);
            peer.write_all(REQUEST).await.unwrap();
            let connection = upgraded(io, auto).await;
            assert!(matches!(connection, Connection::Other(_)));
            echoes(connection, peer).await;
        }
    }
}
