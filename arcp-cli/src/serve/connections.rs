//! Connections over HTTP/1.1 and HTTP/2, and how long they may be of no use.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arcp_tower::Config;
use axum::body::Body;
use axum::serve::Listener;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tower::util::BoxCloneService;

/// What answers the requests.
pub(super) type Answers = BoxCloneService<Request<Incoming>, Response<Body>, Infallible>;

/// Has all connections of `listener` answered, until the runtime is stopped.
pub(super) async fn serve(
    mut listener: impl Listener<Addr = SocketAddr>,
    answers: Answers,
    config: &Config,
) -> io::Result<()> {
    let connections = TaskTracker::new();
    loop {
        let (io, peer) = tokio::select! {
            accepted = listener.accept() => accepted,
            () = config.shutdown.cancelled() => break,
        };
        let stop = config.shutdown.clone();
        connections.spawn(connection(io, peer, answers.clone(), stop, config.handshake_timeout));
    }
    connections.close();
    // What is being answered, is; the others have heard of the end.
    let _ = timeout(config.close_timeout, connections.wait()).await;
    Ok(())
}

/// Serves one connection, whose requests know its peer. It ends when it was of no use for `patience`: a peer that says nothing, or a
/// byte now and then, holds a place and a file, and never comes as far as the runtime, which would send
/// it away.
async fn connection(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    answers: Answers,
    stop: CancellationToken,
    patience: Duration,
) {
    let uses = Uses::default();
    let counted = uses.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let one = Arc::new(counted.another());
        request.extensions_mut().insert(one.clone());
        request.extensions_mut().insert(peer);
        let answer = answers.clone().oneshot(request);
        async move {
            let answer = answer.await;
            drop(one);
            answer
        }
    });
    let mut server = Builder::new(TokioExecutor::new());
    // A WebSocket over HTTP/2 is an extended CONNECT (RFC 8441).
    server.http2().enable_connect_protocol();
    let mut served = pin!(server.serve_connection_with_upgrades(TokioIo::new(io), service));
    let mut look = interval_at(Instant::now() + patience, patience);
    let (mut before, mut stopping) = (0, false);
    loop {
        tokio::select! {
            ended = served.as_mut() => {
                ended.unwrap_or_else(|error| tracing::debug!(error, "a connection ended"));
                return;
            }
            _ = look.tick() => {
                let (requests, under_way) = uses.count();
                if requests == before && under_way == 0 {
                    tracing::debug!("a connection was of no use");
                    return;
                }
                before = requests;
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

/// The requests of a connection: in all, and those that are under way, which are those that are being
/// answered, and those that became a WebSocket a session knows of: over HTTP/2 it shares its connection.
#[derive(Debug, Clone, Default)]
struct Uses(Arc<(AtomicUsize, AtomicUsize)>);

/// A request that is under way. It is among the request's extensions too, which the session keeps.
#[derive(Debug)]
struct Use(Uses);

impl Uses {
    fn another(&self) -> Use {
        let (all, under_way) = &*self.0;
        all.fetch_add(1, Ordering::Relaxed);
        under_way.fetch_add(1, Ordering::Relaxed);
        Use(self.clone())
    }

    fn count(&self) -> (usize, usize) {
        let (all, under_way) = &*self.0;
        (all.load(Ordering::Relaxed), under_way.load(Ordering::Relaxed))
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let (_, under_way) = &*self.0.0;
        under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use arcp_tower::upgrade::Upgrade;
    use arcp_tower::{AuthLayer, BearerTokens, Runtime, Service as _};
    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::client::conn::http2::{SendRequest, handshake};
    use hyper::ext::Protocol;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::task::JoinHandle;
    use tokio::time::sleep;
    use tower::service_fn;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);
    const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

    /// A connection whose requests take `long` to be answered.
    fn connected(long: Duration) -> DuplexStream {
        let answers = BoxCloneService::new(service_fn(move |_| async move {
            sleep(long).await;
            Ok(Response::new(Body::from("done")))
        }));
        let (ours, theirs) = duplex(4096);
        tokio::spawn(connection(theirs, PEER, answers, CancellationToken::new(), PATIENCE));
        ours
    }

    /// How long it takes until the connection is closed.
    async fn closed(io: &mut DuplexStream) -> Duration {
        let began = Instant::now();
        while io.read_u8().await.is_ok() {}
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn bad_input_47_48_who_asks_for_nothing_or_a_byte_a_second_is_closed_after_five_seconds() {
        for head in [&b""[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let mut silent = connected(Duration::ZERO);
            silent.write_all(head).await.unwrap();
            assert_eq!(closed(&mut silent).await.as_secs(), 5);
        }
        let (mut reads, mut writes) = tokio::io::split(connected(Duration::ZERO));
        let crawl = tokio::spawn(async move {
            for byte in b"GET /arcp HTTP/1.1\r\nHost: localhost\r\nX-Pad: ".iter().chain(&[b'x'; 1000]) {
                sleep(Duration::from_secs(1)).await;
                if writes.write_u8(*byte).await.is_err() {
                    return;
                }
            }
        });
        let began = Instant::now();
        assert!(reads.read_u8().await.is_err());
        assert_eq!(began.elapsed().as_secs(), 5);
        crawl.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_being_answered_is_waited_for_and_what_is_idle_after_it_is_not() {
        let mut io = connected(Duration::from_secs(60));
        io.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"done") {
            answer.push(io.read_u8().await.unwrap());
        }
        assert!(closed(&mut io).await <= 2 * PATIENCE);
    }

    /// An HTTP/2 connection to a runtime, and a WebSocket of it.
    async fn over_http2() -> (impl AsyncRead + AsyncWrite + Unpin, SendRequest<Full<Bytes>>, JoinHandle<()>) {
        let config = Config::default();
        let runtime = Runtime::builder().config(config.clone()).build().unwrap();
        let runtime = runtime.layer(AuthLayer::new(BearerTokens::new([("secret", "me")])));
        let (ours, theirs) = duplex(1 << 16);
        let mut upgrade = Upgrade::with_config(runtime, config);
        let answers = BoxCloneService::new(service_fn(move |request: Request<Incoming>| {
            let answer = upgrade.call(request);
            async move { answer.await.map(|answer| answer.map(Body::new)) }
        }));
        let served = tokio::spawn(connection(theirs, PEER, answers, CancellationToken::new(), PATIENCE));
        let (mut asks, client) = handshake(TokioExecutor::new(), TokioIo::new(ours)).await.unwrap();
        tokio::spawn(client);
        let plain = Request::get("http://localhost/arcp").body(Full::default()).unwrap();
        assert_eq!(asks.send_request(plain).await.unwrap().status(), 426);
        let connect = Request::connect("http://localhost/arcp").header("sec-websocket-version", "13");
        let connect = connect.extension(Protocol::from_static("websocket")).body(Full::default()).unwrap();
        let answer = asks.send_request(connect).await.unwrap();
        assert_eq!(answer.status(), 200);
        (TokioIo::new(hyper::upgrade::on(answer).await.unwrap()), asks, served)
    }

    #[tokio::test(start_paused = true)]
    async fn an_http2_connection_lives_as_long_as_a_session_of_it_and_no_longer_with_none() {
        let (mut io, asks, served) = over_http2().await;
        let hello = br#"{"arcp":"1.1","type":"session.hello","payload":{"auth":{"scheme":"bearer","token":"secret"},"capabilities":{}}}"#;
        let mut frame = vec![0x81, 0x80 | u8::try_from(hello.len()).unwrap(), 0, 0, 0, 0];
        frame.extend(hello);
        io.write_all(&frame).await.unwrap();
        assert_eq!(io.read_u8().await.unwrap(), 0x81, "a welcome");
        sleep(20 * PATIENCE).await;
        assert!(!served.is_finished(), "it is in use");
        drop((io, asks));
        served.await.unwrap();

        let (_io, _asks, served) = over_http2().await;
        let began = Instant::now();
        served.await.unwrap();
        assert!(began.elapsed() < 4 * PATIENCE, "without a hello: {:?}", began.elapsed());
    }
}
