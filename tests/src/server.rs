//! Runtimes that can be connected to, over loopback and in memory.

use std::net::SocketAddr;
use std::time::Duration;

use arcp_core::transport::{Close, Memory, WebSocket, WsLimits, memory};
use arcp_tower::layer::Auth;
use arcp_tower::upgrade::Upgrade;
use arcp_tower::{AuthLayer, BearerTokens, Config, Mount, Runtime, serve};
use axum::Router;
use tokio::io::{DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::ask::{Answer, Ask, Http, Io};
use crate::host::Host;
use crate::{ALICE, BOB, Peer, Wire, agents};

/// A client of one WebSocket.
pub type Socket = Peer<WebSocket<Io>>;

/// A runtime with every agent of [`agents`].
pub fn runtime(config: &Config) -> Runtime {
    agents::all(Runtime::builder().config(config.clone())).build().unwrap()
}

/// The tokens of [`ALICE`] and [`BOB`].
pub fn tokens() -> BearerTokens {
    BearerTokens::new([(ALICE, "alice"), (BOB, "bob")])
}

/// A runtime with every agent of [`agents`], that lets [`ALICE`] and [`BOB`] in.
pub fn guarded(config: &Config) -> Auth<BearerTokens, Runtime> {
    runtime(config).layer(AuthLayer::new(tokens()))
}

/// A web server on a free port of loopback.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    http: Http,
    config: Config,
    served: JoinHandle<()>,
}

impl Server {
    /// Serves `mount` at `/arcp`, in the host that the test is about; see [`Host`].
    pub async fn of<M: Mount + Sync>(mount: M, config: &Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = Host::of_this_test().serve(listener, mount, config);
        Self { address, http: Http::of_this_test(), config: config.clone(), served }
    }

    /// Serves every agent to [`ALICE`] and [`BOB`].
    pub async fn guarded(config: &Config) -> Self {
        Self::of(guarded(config), config).await
    }

    /// Serves `app`; its runtimes must have been mounted with `config`.
    pub async fn start(app: Router, config: &Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = config.shutdown.clone();
        let served = tokio::spawn(async move {
            axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await.unwrap();
        });
        Self { address, http: Http::One, config: config.clone(), served }
    }

    /// How a WebSocket is asked for.
    pub fn http(&self) -> Http {
        self.http
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of its runtime, for a client.
    pub fn url(&self) -> String {
        format!("ws://{}/arcp", self.address)
    }

    /// The connections that it serves.
    pub fn connections(&self) -> usize {
        self.config.tracker.len()
    }

    /// Waits until it serves no more than `most` connections.
    pub async fn settles_to(&self, most: usize) {
        for _ in 0..500 {
            if self.connections() <= most {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} connections are left", self.connections());
    }

    /// A TCP connection.
    pub async fn tcp(&self) -> TcpStream {
        let tcp = TcpStream::connect(self.address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp
    }

    /// Asks for a WebSocket.
    pub async fn ask(&self, ask: Ask<'_>) -> Answer {
        self.http.ask(self.tcp().await, ask).await
    }

    /// A WebSocket, as bytes.
    pub async fn wire(&self) -> Wire {
        Wire::of(self.ask(Ask::default()).await.upgraded())
    }

    /// A WebSocket at `path` that was asked for with more header lines, such as `"X-A: b\r\n"`.
    pub async fn connect_at(&self, path: &str, headers: &str) -> Socket {
        let io = self.ask(Ask { path, headers, ..Ask::default() }).await.upgraded();
        Peer::new(WebSocket::client(io, WsLimits::default()).await, Duration::from_secs(20))
    }

    /// A WebSocket on which nothing was said.
    pub async fn connect(&self) -> Socket {
        self.connect_at("/arcp", "").await
    }

    /// A session of `token` with `features`.
    pub async fn open(&self, token: &str, features: &[&str]) -> Socket {
        let mut peer = self.connect().await;
        peer.hello(token, features).await;
        peer
    }

    /// Stops it, and waits until it has.
    pub async fn stop(self) {
        self.config.shutdown.cancel();
        self.config.tracker.close();
        let stopped = async {
            self.config.tracker.wait().await;
            self.served.await.unwrap();
        };
        tokio::time::timeout(Duration::from_secs(10), stopped).await.expect("it stops");
    }
}

/// A WebSocket in memory to `mount`, as bytes: what a host makes of an upgraded request, without the host.
pub fn socket<M: Mount + Sync>(mount: M, config: &Config) -> Wire<DuplexStream> {
    let (ours, theirs) = duplex(4 << 10);
    tokio::spawn(Upgrade::with_config(mount, config.clone()).serve(theirs, http::Extensions::new()));
    Wire::of(ours)
}

/// A runtime that is connected to in memory.
#[derive(Debug, Clone)]
pub struct Memories<M> {
    mount: M,
    config: Config,
}

impl<M: Mount> Memories<M> {
    /// Connections to `mount`.
    pub fn of(mount: M, config: &Config) -> Self {
        Self { mount, config: config.clone() }
    }

    /// A transport that holds about `capacity` frames each way, and the end of its connection.
    pub fn transport(&self, capacity: usize) -> (Memory, JoinHandle<Option<Close>>) {
        let (ours, theirs) = memory(capacity);
        let served = serve(theirs, self.mount.clone(), http::Extensions::new(), self.config.clone());
        (ours, tokio::spawn(served))
    }

    /// A connection on which nothing was said.
    pub fn connect(&self) -> Peer<Memory> {
        self.narrow(64)
    }

    /// A connection that holds about `capacity` frames each way.
    pub fn narrow(&self, capacity: usize) -> Peer<Memory> {
        // Virtual time: a wait for nothing ends at once, so it may be a long one.
        Peer::new(self.transport(capacity).0, Duration::from_secs(86_400))
    }

    /// A session of `token` with `features`.
    pub async fn open(&self, token: &str, features: &[&str]) -> Peer<Memory> {
        let mut peer = self.connect();
        peer.hello(token, features).await;
        peer
    }
}
