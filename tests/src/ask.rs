//! Asking for a WebSocket: by an upgrade of HTTP/1.1, or by an extended CONNECT of HTTP/2 (RFC 8441).

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::either::Either;

use crate::wire::request;

/// The bytes of a WebSocket: a connection, or a stream of one.
pub type Io = Either<TcpStream, TokioIo<Upgraded>>;

/// How a WebSocket is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
    /// With the upgrade of HTTP/1.1.
    One,
    /// With the extended CONNECT of HTTP/2.
    Two,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The path, and perhaps a query.
    pub path: &'a str,
    /// The host: `Host`, or `:authority`.
    pub host: &'a str,
    /// More header lines, each with its end.
    pub headers: &'a str,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        Self { path: "/arcp", host: "localhost", headers: "" }
    }
}

/// What a server says to it.
#[derive(Debug)]
pub struct Answer {
    /// 101 or 200 if it becomes a WebSocket.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    io: Option<Io>,
}

impl Answer {
    /// Whether it becomes a WebSocket.
    pub fn is_upgrade(&self) -> bool {
        self.io.is_some()
    }

    /// The WebSocket's bytes.
    pub fn upgraded(self) -> Io {
        let status = self.status;
        self.io.unwrap_or_else(|| panic!("no upgrade, but {status}"))
    }
}

impl Http {
    /// Asks for a WebSocket on a connection of its own.
    pub async fn ask(self, tcp: TcpStream, ask: Ask<'_>) -> Answer {
        match self {
            Self::One => upgrade(tcp, ask).await,
            Self::Two => {
                let uri = format!("http://{}{}", ask.host, ask.path);
                Http2::open(tcp, &uri).await.connect(ask).await
            }
        }
    }
}

async fn upgrade(mut tcp: TcpStream, Ask { path, host, headers }: Ask<'_>) -> Answer {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    let answer = request(&mut tcp, &head).await;
    let (line, headers) = answer.split_once("\r\n").unwrap();
    let status = line.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
    let headers = lines(headers);
    let upgraded = status == 101;
    assert!(!upgraded || headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "{answer}");
    Answer { status, headers, io: upgraded.then_some(Either::Left(tcp)) }
}

/// An HTTP/2 connection, to be asked for more than one thing.
#[derive(Debug)]
pub struct Http2(SendRequest<Empty<Bytes>>);

impl Http2 {
    /// Begins one with a server that has something at `uri`, and takes extended CONNECTs.
    pub async fn open(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, uri: &str) -> Self {
        let (asks, connection) = handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        let mut http2 = Self(asks);
        // What a server takes is in its settings, which come before its first answer.
        let plain = Request::get(uri).body(Empty::new()).unwrap();
        assert!(http2.request(plain).await.status().is_client_error());
        http2
    }

    /// Asks.
    pub async fn request(&mut self, request: Request<Empty<Bytes>>) -> Response<Incoming> {
        let answer = timeout(Duration::from_secs(10), self.0.send_request(request));
        answer.await.expect("an answer comes in time").unwrap()
    }

    /// Asks for a WebSocket.
    pub async fn connect(&mut self, ask: Ask<'_>) -> Answer {
        let uri = format!("http://{}{}", ask.host, ask.path);
        let mut connect = Request::connect(uri).extension(Protocol::from_static("websocket"));
        *connect.headers_mut().unwrap() = lines(ask.headers);
        let connect = connect.header("sec-websocket-version", "13").body(Empty::new()).unwrap();
        answered(self.request(connect).await).await
    }
}

async fn answered(answer: Response<Incoming>) -> Answer {
    let (status, headers) = (answer.status(), answer.headers().clone());
    let io = if status.is_success() {
        Some(Either::Right(TokioIo::new(hyper::upgrade::on(answer).await.unwrap())))
    } else {
        None
    };
    Answer { status: status.as_u16(), headers, io }
}

/// Header lines.
fn lines(text: &str) -> HeaderMap {
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    lines
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect()
}
