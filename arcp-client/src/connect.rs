//! Opening a session (§6.2).

use std::future::poll_fn;
use std::time::Duration;

use arcp_core::session::{Peer, PeerConfig};
use arcp_core::transport::{Close, Received, RecvError, Transport, WsLimits};
use arcp_core::wire::Limits;
use arcp_core::wire::job::JobError as ErrorPayload;
use arcp_core::wire::session::{Auth, ClientCapabilities, Hello, Party, SessionError, Welcome};
use arcp_core::{Envelope, Error, Feature, Features, MessageType};
use http::Uri;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use crate::client::Client;
use crate::config::{ClientConfig, implemented};
use crate::driver::Driver;
use crate::engine::Engine;
use crate::error::ConnectError;
use crate::random;
use crate::session::{Session, SessionInfo};
use crate::upgrade::{dial, upgrade};

/// Where a [`Builder`] connects to: an address.
#[derive(Debug)]
pub struct Url(String);

/// Where a [`Builder`] connects to: a transport that is open already.
#[derive(Debug)]
pub struct Over<T>(T);

/// What a client says of itself, and where it connects to.
#[derive(Debug)]
pub struct Builder<C> {
    target: C,
    auth: Option<Auth>,
    party: Party,
    features: Features,
    config: ClientConfig,
}

impl<C> Builder<C> {
    fn new(target: C) -> Self {
        let party = Party::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        Self { target, auth: None, party, features: implemented(), config: ClientConfig::default() }
    }

    /// The bearer token (§6.1).
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.auth = Some(Auth::bearer(token));
        self
    }

    /// The name and version of the program, as the runtime is told; this crate's if not set.
    pub fn client(mut self, name: impl Into<String>, version: impl Into<String>) -> Self {
        self.party = Party::new(name, version);
        self
    }

    /// The features to name in the hello; those that this client does not implement
    /// ([`implemented`]) are left out.
    pub fn features(mut self, features: Features) -> Self {
        self.features = features.intersection(implemented());
        self
    }

    /// How long the answer to a request may take; 10 s if not set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.request_timeout = timeout;
        self
    }

    /// All bounds at once; a [`Builder::timeout`] before it is lost.
    pub fn config(mut self, config: ClientConfig) -> Self {
        self.config = config;
        self
    }

    fn over<T>(self, transport: T) -> Builder<Over<T>> {
        let Self { auth, party, features, config, .. } = self;
        Builder { target: Over(transport), auth, party, features, config }
    }
}

impl Builder<Url> {
    pub(crate) fn to(url: impl Into<String>) -> Self {
        Self::new(Url(url.into()))
    }

    /// Connects over WebSocket and opens a session.
    ///
    /// # Errors
    /// [`ConnectError`], `Refused` with `UNAUTHENTICATED` if the token is not accepted.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let uri: Uri = self.target.0.parse().map_err(|_| ConnectError::Url)?;
        let mut limits = WsLimits::default();
        limits.message = self.config.message_bytes;
        let open = async { upgrade(uri.clone(), dial(&uri).await?, limits).await };
        let ws = timeout(self.config.hello_timeout, open).await.map_err(|_| ConnectError::TimedOut)??;
        self.over(ws).connect().await
    }

    /// Opens a session over `transport` instead, whatever the address is.
    ///
    /// # Errors
    /// [`ConnectError`], as [`Builder::connect`].
    pub async fn connect_over<T>(self, transport: T) -> Result<Client, ConnectError>
    where
        T: Transport + Send + 'static,
    {
        self.over(transport).connect().await
    }
}

impl<T: Transport + Send + 'static> Builder<Over<T>> {
    pub(crate) fn on(transport: T) -> Self {
        Self::new(Over(transport))
    }

    /// Opens a session over the transport.
    ///
    /// # Errors
    /// [`ConnectError`], `Refused` with `UNAUTHENTICATED` if the token is not accepted.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let Self { target: Over(mut transport), auth, party, features, config } = self;
        let hello = hello(auth, party, features).map_err(ConnectError::Hello)?;
        let answer = timeout(config.hello_timeout, open(&mut transport, hello, &config)).await;
        let info = match answer.unwrap_or(Err(ConnectError::TimedOut)) {
            Ok(message) => SessionInfo::of(&message, features).map_err(ConnectError::Unreadable),
            Err(e) => Err(e),
        };
        let info = match info {
            Ok(info) => info,
            Err(e) => {
                let close = Close::new(Close::NORMAL, "no session");
                let done = poll_fn(|cx| transport.poll_close(cx, &close));
                let _ = timeout(config.close_wait, done).await;
                return Err(e);
            }
        };
        Ok(start(transport, info, config))
    }
}

/// Starts the task of an open session.
fn start<T: Transport + Send + 'static>(mut transport: T, info: SessionInfo, config: ClientConfig) -> Client {
    transport.opened();
    // A day at the most: what a peer says must not overflow the clock.
    let interval = info.welcome.heartbeat_interval_sec.filter(|seconds| *seconds > 0);
    let interval = interval.map(|seconds| Duration::from_secs(seconds.min(86_400)));
    let interval = interval.filter(|_| info.features.has(Feature::Heartbeat));
    let peer = PeerConfig::new(interval, info.features.has(Feature::Ack));
    let peer = Peer::new(Instant::now().into_std(), peer);
    let engine = Engine::new(info.id.clone(), peer, &config);
    let (commands, inbox) = mpsc::channel(16);
    let (close, closing) = mpsc::channel(1);
    let (closed, seen) = watch::channel(None);
    tokio::spawn(Driver::new(transport, engine, inbox, closing, closed, &config).run());
    Client::new(Session::new(commands, close, seen, info, config))
}

/// The first frame. It says which form of frames we want: the draft's own.
fn hello(auth: Option<Auth>, party: Party, features: Features) -> Result<String, Error> {
    let mut capabilities = ClientCapabilities::default();
    capabilities.encodings = vec!["json".to_owned()];
    capabilities.features = features;
    capabilities.profile = Some("draft".to_owned());
    let mut hello = Hello::default();
    (hello.client, hello.auth, hello.capabilities) = (Some(party), auth, capabilities);
    Ok(Envelope::new(MessageType::Hello, &hello)?.encode(None, &random::message_id()?))
}

/// Says hello and waits for the welcome.
async fn open<T: Transport>(
    transport: &mut T,
    hello: String,
    config: &ClientConfig,
) -> Result<Envelope, ConnectError> {
    poll_fn(|cx| transport.poll_ready(cx)).await?;
    transport.send(hello)?;
    poll_fn(|cx| transport.poll_flush(cx)).await?;
    loop {
        let frame = match poll_fn(|cx| transport.poll_recv(cx)).await {
            Ok(Received::Frame(frame)) => frame,
            Ok(Received::Closed(close)) => return Err(ConnectError::Closed(close)),
            Err(RecvError::Io(e)) => return Err(e.into()),
            Err(e) => return Err(ConnectError::Unreadable(Error::fault("message", &e.to_string()))),
        };
        let message = match Envelope::decode(&frame, Limits::depth(config.message_depth)) {
            Ok(message) => message,
            Err(fault) => return Err(ConnectError::Unreadable(fault.error)),
        };
        let refused = match message.kind {
            MessageType::Welcome => return Ok(message),
            MessageType::SessionError => message.payload.decode().map(|e: SessionError| e.error()),
            // One SDK's runtime knows no other errors.
            MessageType::JobError => message.payload.decode().map(|e: ErrorPayload| e.error()),
            _ => continue,
        };
        return Err(refused.map_or_else(ConnectError::Unreadable, ConnectError::Refused));
    }
}

impl SessionInfo {
    /// Reads a welcome. Some runtimes name all their features instead of the intersection.
    fn of(message: &Envelope, ours: Features) -> Result<Self, Error> {
        let welcome: Welcome = message.payload.decode()?;
        let id = message.session_id.clone().or_else(|| welcome.session_id.clone());
        let id = id.ok_or_else(|| Error::fault("session_id", "must be there"))?;
        let features = ours.intersection(welcome.capabilities.features);
        Ok(Self { id, welcome, features })
    }
}
