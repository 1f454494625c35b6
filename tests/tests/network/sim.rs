//! A runtime, clients and the network between them, on virtual time and from one seed.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use arcp_axum::handler_with;
use arcp_client::{Builder, Client, ClientConfig, Dial};
use arcp_core::Json;
use arcp_core::store::{MemoryStore, Store};
use arcp_core::transport::{WebSocket, WsLimits};
use arcp_tests::{ALICE, Peer, tokens};
use arcp_tower::{AgentError, AuthLayer, Config, Job, Level, Runtime, agent_fn};
use axum::Router;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::task::TaskTracker;
use turmoil::net::{TcpListener, TcpStream};

use crate::proxy::Line;
use crate::rng::{Rng, Said, seeds};

/// Where the clients, the proxy and the runtime are, for faults of the whole link.
pub const CLIENTS: &str = "clients";
pub const PROXY: &str = "proxy";
const RUNTIME: &str = "runtime";
const PORT: u16 = 80;
const LINES: u16 = 8;
/// The most that one segment carries.
const SEGMENT: usize = 1460;
/// Segments that are under way on a connection before its writer waits, and their bytes.
const SEGMENTS: usize = 64;
pub const UNDER_WAY: usize = SEGMENTS * SEGMENT;

/// What a simulation begins with.
#[derive(Clone)]
pub struct Setup {
    pub config: Config,
    pub store: Option<Arc<dyn Store>>,
    pub clients: ClientConfig,
    /// How exact the network's time is.
    pub tick: Duration,
    /// The longest way of a segment, one way, over one of the two links.
    pub latency: Duration,
}

impl Setup {
    pub fn new(config: Config) -> Self {
        let mut clients = ClientConfig::default();
        // The system's random numbers know of no seed: streams are opened after a wait of ours.
        clients.backoff_first = Duration::ZERO;
        clients.hello_timeout = Duration::from_secs(1);
        let ms = Duration::from_millis;
        Self { config, store: None, clients, tick: ms(1), latency: ms(4) }
    }

    /// The same, with a store of its own.
    pub fn stored(self) -> Self {
        Self { store: Some(Arc::new(MemoryStore::default())), ..self }
    }
}

/// What `count` seeds begin with, each without a store and with one.
pub fn setups(count: u64, config: &Config) -> impl Iterator<Item = (u64, Setup)> {
    let setup = || Setup::new(config.clone());
    seeds(count).into_iter().flat_map(move |seed| [(seed, setup()), (seed, setup().stored())])
}

/// What the agents did.
#[derive(Debug, Default)]
pub struct Work {
    pub enough: AtomicBool,
    done: Mutex<HashMap<String, Done>>,
}

/// What came of the jobs of one name.
#[derive(Debug, Clone, Default)]
pub struct Done {
    pub runs: u64,
    /// When each line was made.
    pub lines: Vec<Duration>,
}

#[derive(Deserialize)]
struct Lines {
    name: String,
    /// Without it, until it is enough.
    count: Option<u64>,
    #[serde(default)]
    every_ms: u64,
    #[serde(default)]
    bytes: usize,
}

impl Work {
    fn note<R>(&self, name: &str, note: impl FnOnce(&mut Done) -> R) -> R {
        note(self.done.lock().unwrap().entry(name.to_owned()).or_default())
    }

    /// How often a job of this name ran.
    pub fn runs(&self, name: &str) -> u64 {
        self.note(name, |done| done.runs)
    }

    /// How many lines that made.
    pub fn made(&self, name: &str) -> u64 {
        self.note(name, |done| done.lines.len() as u64)
    }

    /// When a line was made.
    pub fn made_at(&self, name: &str, line: usize) -> Duration {
        self.note(name, |done| done.lines[line])
    }

    async fn lines(self: Arc<Self>, input: Lines, job: Job) -> Result<u64, AgentError> {
        let Lines { name, count, every_ms, bytes } = input;
        self.note(&name, |done| done.runs += 1);
        let mut line = 0;
        while count.map_or(!self.enough.load(Ordering::Relaxed), |count| line < count) {
            job.log(Level::Info, format!("{name} {line} {}", "x".repeat(bytes))).await?;
            self.note(&name, |done| done.lines.push(now()));
            line += 1;
            if every_ms > 0 {
                tokio::time::sleep(Duration::from_millis(every_ms)).await;
            }
        }
        Ok(line)
    }
}

/// What a test sees of a simulation.
pub struct World {
    pub lines: Vec<Line>,
    pub work: Arc<Work>,
    pub rng: Rng,
    clients: ClientConfig,
    served: TaskTracker,
}

impl World {
    /// A client that comes over `line`, every time.
    pub fn client(&mut self, line: usize) -> Builder<Dial> {
        let mut rng = self.rng.fork();
        let open = move || {
            let wait = rng.ms(1..=8);
            async move {
                tokio::time::sleep(wait).await;
                stream(line).await
            }
        };
        let builder = Client::builder("ws://runtime/arcp").over_streams(open);
        builder.token(ALICE).config(self.clients.clone())
    }

    /// When the runtime serves no more than `most` connections; it must, within a minute.
    pub async fn serves(&self, most: usize) -> Duration {
        for _ in 0..6000 {
            if self.served.len() <= most {
                return now();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the runtime still serves {} connections", self.served.len());
    }

    /// A client that says frames, over one connection of `line`.
    pub async fn peer(&self, line: usize) -> Peer<WebSocket<TcpStream>> {
        let io = stream(line).await.unwrap();
        let (ws, _) = tokio_tungstenite::client_async("ws://runtime/arcp", io).await.unwrap();
        let ws = WebSocket::client(ws.into_inner(), WsLimits::default()).await;
        Peer::new(ws, Duration::from_secs(600))
    }
}

async fn stream(line: usize) -> io::Result<TcpStream> {
    TcpStream::connect((PROXY, PORT + u16::try_from(line).unwrap())).await
}

/// When it is, by the network's clock.
pub fn now() -> Duration {
    turmoil::sim_elapsed().unwrap()
}

/// Runs `test` in the clients' place.
pub fn simulate<F>(seed: u64, setup: Setup, test: impl FnOnce(World) -> F + 'static)
where
    F: Future<Output = ()> + 'static,
{
    let _said = Said(seed);
    let mut sim = turmoil::Builder::new()
        .simulation_duration(Duration::from_secs(300))
        .tick_duration(setup.tick)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(setup.latency)
        .tcp_capacity(SEGMENTS)
        .rng_seed(seed)
        .build();
    let lines: Vec<Line> = (0..LINES).map(|_| Line::new()).collect();
    let work = Arc::new(Work::default());
    let Setup { config, store, clients, .. } = setup;
    let served = config.tracker.clone();
    sim.host(RUNTIME, {
        let work = work.clone();
        move || serve(config.clone(), store.clone(), work.clone())
    });
    sim.host(PROXY, {
        let lines = lines.clone();
        move || {
            let lines = lines.clone().into_iter().zip(PORT..);
            let carried = lines.map(|(line, port)| line.carry(port, (RUNTIME, PORT)));
            let carried: Vec<_> = carried.collect();
            async move {
                futures_util::future::try_join_all(carried).await?;
                Ok(())
            }
        }
    });
    let world = World { lines, work, rng: Rng::new(seed), clients, served };
    sim.client(CLIENTS, async move {
        test(world).await;
        Ok(())
    });
    sim.run().unwrap();
}

async fn serve(config: Config, store: Option<Arc<dyn Store>>, work: Arc<Work>) -> turmoil::Result {
    let lines = agent_fn(move |input: Lines, job: Job| work.clone().lines(input, job));
    let echo = agent_fn(|input: Json, _: Job| async move { Ok(input) });
    let builder = Runtime::builder().config(config.clone()).agent("lines", lines).agent("echo", echo);
    let runtime = match store {
        Some(store) => builder.store(store).open().await?,
        None => builder.build()?,
    };
    let app = Router::new().route("/arcp", handler_with(runtime.layer(AuthLayer::new(tokens())), config));
    axum::serve(Listener(TcpListener::bind(("0.0.0.0", PORT)).await?), app).await?;
    Ok(())
}

struct Listener(TcpListener);

impl axum::serve::Listener for Listener {
    type Io = Segments;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Segments, SocketAddr) {
        let (io, from) = self.0.accept().await.expect("the simulated listener does not fail");
        (Segments(io), from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A stream whose writes are no larger than segments are: the network counts writes.
struct Segments(TcpStream);

impl AsyncRead for Segments {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Segments {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, &buf[..buf.len().min(SEGMENT)])
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
