//! Building a client, and opening its session (§6.2).

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arcp_core::session::{Peer, PeerConfig};
use arcp_core::transport::{BoxTransport, Transport};
use arcp_core::wire::session::{Auth, Party, ResumeRequest};
use arcp_core::{Feature, Features};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::client::Client;
use crate::config::{ClientConfig, implemented};
use crate::connector::Connector;
use crate::driver::Driver;
use crate::engine::Engine;
use crate::error::ConnectError;
use crate::handshake::Greeting;
use crate::point::{Anchor, ResumePoint};
use crate::reconnect::Reach;
use crate::session::{Session, SessionInfo};
use crate::status::ConnectionStatus;

/// Where a [`Builder`] connects to: an address.
#[derive(Debug)]
pub struct Url {
    text: String,
    /// Beside those of an upgrade.
    headers: HeaderMap,
    /// Root certificates as PEM.
    roots: Vec<Vec<u8>>,
}

impl Url {
    fn connector(&self) -> Result<Connector, ConnectError> {
        let uri: Uri = self.text.parse().map_err(|_| ConnectError::Url)?;
        Connector::to(uri, self.headers.clone(), &self.roots)
    }
}

/// Where a [`Builder`] connects to: a transport that is open already. There is no other after it,
/// so a session over it is not resumed when it is lost.
#[derive(Debug)]
pub struct Over<T>(T);

/// Where a [`Builder`] connects to: whatever a function of the application opens.
#[derive(Debug)]
pub struct Dial {
    connector: Connector,
    url: Option<String>,
}

/// What a client says of itself, and where it connects to.
#[derive(Debug)]
#[must_use = "nothing is connected to before it is told to"]
pub struct Builder<C> {
    target: C,
    greeting: Greeting,
    config: ClientConfig,
    credentials: bool,
    resume: bool,
    from: Option<ResumePoint>,
}

impl<C> Builder<C> {
    pub(crate) fn new(target: C) -> Self {
        let party = Party::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let greeting = Greeting { auth: None, party, features: implemented() };
        let config = ClientConfig::default();
        Self { target, greeting, config, credentials: false, resume: true, from: None }
    }

    /// The bearer token (§6.1).
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.greeting.auth = Some(Auth::bearer(token));
        self
    }

    /// The name and version of the program, as the runtime is told; this crate's if not set.
    pub fn client(mut self, name: impl Into<String>, version: impl Into<String>) -> Self {
        self.greeting.party = Party::new(name, version);
        self
    }

    /// The features to name in the hello; those that this client does not implement
    /// ([`implemented`], and `provisioned_credentials`) are left out.
    pub fn features(mut self, features: Features) -> Self {
        let known = implemented().with(Feature::ProvisionedCredentials);
        let asked = if self.credentials { features.with(Feature::ProvisionedCredentials) } else { features };
        self.greeting.features = asked.intersection(known);
        self
    }

    /// Asks for the credentials of its jobs (§9.8): [`JobHandle::credentials`](crate::JobHandle::credentials)
    /// has them. A client that has no use for secrets is not sent any.
    pub fn credentials(mut self) -> Self {
        self.credentials = true;
        self.greeting.features = self.greeting.features.with(Feature::ProvisionedCredentials);
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

    /// Whether the session is resumed by itself when the connection is lost (§6.3): yes if not set.
    /// [`Client::status`] shows when it is.
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Continues the session of another client, which may have been in another process: events go
    /// on after [`ResumePoint::last_event_seq`]. Events of its jobs are kept until
    /// [`Client::attach`] takes them.
    pub fn resume_from(mut self, point: ResumePoint) -> Self {
        self.from = Some(point);
        self
    }

    fn split(self) -> (C, Builder<()>) {
        let Self { target, greeting, config, credentials, resume, from } = self;
        (target, Builder { target: (), greeting, config, credentials, resume, from })
    }

    fn aimed<D>(self, aim: impl FnOnce(C) -> D) -> Builder<D> {
        let (target, Builder { greeting, config, credentials, resume, from, .. }) = self.split();
        Builder { target: aim(target), greeting, config, credentials, resume, from }
    }
}

impl Builder<()> {
    /// What a resume presents. It names no more features than its session has.
    fn resumes(&mut self) -> Option<ResumeRequest> {
        let point = self.from.as_ref()?;
        self.greeting.features = self.greeting.features.intersection(point.features);
        Some(point.request())
    }

    /// Says it on a transport of somebody who goes on with that by himself.
    async fn open_on(mut self, transport: BoxTransport) -> Result<(BoxTransport, SessionInfo), ConnectError> {
        let request = self.resumes();
        self.greeting.say(transport, request, &self.config).await
    }

    /// Opens the session. `again` opens the connections after the first.
    async fn begin(
        mut self,
        transport: BoxTransport,
        again: Option<Connector>,
        url: Option<String>,
    ) -> Result<Client, ConnectError> {
        let request = self.resumes();
        let Self { greeting, config, resume, from, .. } = self;
        let again = again.filter(|_| resume);
        let (transport, info) = greeting.say(transport, request, &config).await?;

        let mut peer = PeerConfig::new(info.heartbeat(), info.features.has(Feature::Ack));
        peer.last_event_seq = from.as_ref().map_or(0, |point| point.last_event_seq);
        let anchor = Arc::new(Anchor::new(url, &info, peer.last_event_seq));
        let peer = Peer::new(Instant::now().into_std(), peer);
        let engine = Engine::new(&info, peer, anchor.ledger.clone(), from.is_some(), &config);
        let (commands, inbox) = mpsc::channel(16);
        let (close, closing) = mpsc::channel(1);
        let (status, seen) = watch::channel(ConnectionStatus::Connected);
        let repeats = again.is_some();
        let window = info.welcome.resume_window_sec;
        let reach = again.map(|connector| Reach::new(connector, greeting, anchor.clone(), window));
        tokio::spawn(Driver::new(transport, engine, inbox, closing, status, reach, &config).run());
        Ok(Client::new(Session::new(commands, close, seen, info, config, anchor, repeats)))
    }
}

impl Builder<Url> {
    pub(crate) fn to(url: impl Into<String>) -> Self {
        Self::new(Url { text: url.into(), headers: HeaderMap::new(), roots: Vec::new() })
    }

    /// Says this, too, in the request for the WebSocket: a cookie, or what a gateway on the way asks
    /// for. The token of [`Builder::token`] is said later, and to the runtime alone.
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        // Whatever it is, no log needs it.
        value.set_sensitive(true);
        self.target.headers.append(name, value);
        self
    }

    /// Trusts the certificates of a PEM text beside the roots of the Web, where the address begins
    /// with `wss:`: those of a private CA, or a certificate that signed itself.
    #[cfg(feature = "tls")]
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.target.roots.push(pem.into());
        self
    }

    /// Connects over WebSocket, with TLS if the address begins with `wss:`, and opens a session.
    ///
    /// # Errors
    /// [`ConnectError`], `Refused` with `UNAUTHENTICATED` if the token is not accepted, with
    /// `RESUME_WINDOW_EXPIRED` if the session of [`Builder::resume_from`] cannot be continued.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let (url, builder) = self.split();
        let mut connector = url.connector()?;
        let ws = connector.open(&builder.config).await?;
        builder.begin(ws, Some(connector), Some(url.text)).await
    }

    /// Connects over WebSocket, opens a session or continues that of [`Builder::resume_from`], and hands over its transport: for tools that write frames
    /// themselves. Heartbeats, acks and the rest are theirs, too.
    ///
    /// # Errors
    /// As [`Builder::connect`].
    pub async fn open(self) -> Result<(BoxTransport, SessionInfo), ConnectError> {
        let (url, builder) = self.split();
        let mut connector = url.connector()?;
        let ws = connector.open(&builder.config).await?;
        builder.open_on(ws).await
    }

    /// Connects over WebSocket, on byte streams of the application's own: one that `open` opens now,
    /// and another whenever the connection is lost. So it goes through a Unix socket, a proxy, TLS of
    /// the application's own, or a network that a test makes up. The address is what the runtime is
    /// asked for; nothing looks its host up.
    ///
    /// ```
    /// # #[cfg(unix)]
    /// # async fn example() -> Result<(), arcp_client::ConnectError> {
    /// use arcp_client::Client;
    /// use tokio::net::UnixStream;
    ///
    /// let client = Client::builder("ws://localhost/arcp")
    ///     .over_streams(|| UnixStream::connect("/run/arcp.sock"))
    ///     .token("secret")
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// An error of `open` is [`ConnectError::Io`], and what it opens has, together with the upgrade,
    /// the time of [`ClientConfig::hello_timeout`]. Certificates of [`Builder::root_certificate`] are not looked
    /// at: TLS is `open`'s.
    pub fn over_streams<F, Fut, S>(self, open: F) -> Builder<Dial>
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.aimed(|Url { text, headers, .. }| {
            let connector = Connector::over(text.clone(), headers, open);
            Dial { connector, url: Some(text) }
        })
    }

    /// Opens a session over `transport` instead, whatever the address, its headers and certificates are. It is not resumed when
    /// the transport is lost: [`Client::with_connector`] is for transports that can be opened again.
    ///
    /// # Errors
    /// [`ConnectError`], as [`Builder::connect`].
    pub async fn connect_over<T>(self, transport: T) -> Result<Client, ConnectError>
    where
        T: Transport + Send + 'static,
    {
        let (Url { text, .. }, builder) = self.split();
        builder.begin(Box::new(transport), None, Some(text)).await
    }
}

impl<T: Transport + Send + 'static> Builder<Over<T>> {
    pub(crate) fn on(transport: T) -> Self {
        Self::new(Over(transport))
    }

    /// Opens a session over the transport.
    ///
    /// # Errors
    /// [`ConnectError`], as [`Builder::<Url>::connect`].
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let (Over(transport), builder) = self.split();
        builder.begin(Box::new(transport), None, None).await
    }
}

impl Builder<Dial> {
    pub(crate) fn dial(connector: Connector) -> Self {
        Self::new(Dial { connector, url: None })
    }

    /// Opens a connection, and a session on it.
    ///
    /// # Errors
    /// [`ConnectError`], as [`Builder::<Url>::connect`].
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let (Dial { mut connector, url }, builder) = self.split();
        let transport = connector.open(&builder.config).await?;
        builder.begin(transport, Some(connector), url).await
    }
    /// Opens a connection, and a session on it, and hands over its transport: for tools that write frames
    /// themselves. Heartbeats, acks and the rest are theirs, too.
    ///
    /// # Errors
    /// As [`Builder::<Url>::connect`].
    pub async fn open(self) -> Result<(BoxTransport, SessionInfo), ConnectError> {
        let (Dial { mut connector, .. }, builder) = self.split();
        let transport = connector.open(&builder.config).await?;
        builder.open_on(transport).await
    }
}
