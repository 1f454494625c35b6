//! TLS in front of whatever serves.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::server::TlsStream;

use crate::args::Tls;

/// TLS handshakes that may be under way at once; the next connection waits.
const MOST: usize = 1024;
/// How long one may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long nothing is accepted after that has failed: files are used up, for one.
const REST: Duration = Duration::from_millis(100);

/// A certificate and its key, as the files have them.
#[derive(Debug, Clone)]
pub(crate) struct Certificate(Arc<Files>);

struct Files {
    cert: PathBuf,
    key: PathBuf,
    now: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Reads the files that the command line names, if it does.
    pub(crate) fn of(args: &Tls) -> anyhow::Result<Option<Self>> {
        let (Some(cert), Some(key)) = (args.tls_cert.clone(), args.tls_key.clone()) else { return Ok(None) };
        let now = RwLock::new(Arc::new(read(&cert, &key)?));
        Ok(Some(Self(Arc::new(Files { cert, key, now }))))
    }

    /// Reads the files again whenever the process gets a SIGHUP. What cannot be read changes nothing.
    pub(crate) fn follow(&self) -> anyhow::Result<()> {
        let mut hangup = signal(SignalKind::hangup()).context("SIGHUP cannot be caught")?;
        let Self(files) = self.clone();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                match read(&files.cert, &files.key) {
                    Ok(read) => {
                        *files.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read);
                        tracing::info!("the certificate was read again");
                    }
                    Err(error) => tracing::error!(error = format!("{error:#}"), "the certificate stays"),
                }
            }
        });
        Ok(())
    }

    /// What a server needs to show it, the one of the moment to each client.
    pub(crate) fn config(&self) -> anyhow::Result<ServerConfig> {
        // The provider is named here: none is installed for the process.
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.0.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Who resumes TLS is shown no certificate, and connections that last gain nothing by it.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

impl ResolvesServerCert for Files {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("cert", &self.cert).field("key", &self.key).finish_non_exhaustive()
    }
}

fn read(cert: &Path, key: &Path) -> anyhow::Result<CertifiedKey> {
    let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain =
        chain.and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) });
    let chain = chain.with_context(|| format!("{} has no certificate", cert.display()))?;
    let secret = PrivateKeyDer::from_pem_file(key);
    let secret = secret.with_context(|| format!("{} has no private key", key.display()))?;
    CertifiedKey::from_der(chain, secret, &ring::default_provider())
        .with_context(|| format!("{} and {} do not belong together", cert.display(), key.display()))
}

/// Accepts connections, and gives those away whose handshake is done. One that dawdles keeps no
/// other from it.
pub(crate) struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<io::Result<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsListener {
    pub(crate) fn new(tcp: TcpListener, config: ServerConfig) -> Self {
        Self { tcp, acceptor: TlsAcceptor::from(Arc::new(config)), handshakes: JoinSet::new() }
    }

    fn begin(&mut self, tcp: TcpStream, peer: SocketAddr) {
        let acceptor = self.acceptor.clone();
        self.handshakes.spawn(async move {
            // Frames are gathered before they are written; waiting for more would only delay them.
            let _ = tcp.set_nodelay(true);
            Ok((timeout(HANDSHAKE, acceptor.accept(tcp)).await??, peer))
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                Some(done) = self.handshakes.join_next() => match done {
                    Ok(Ok(accepted)) => return accepted,
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    Err(error) => tracing::error!(%error, "a TLS handshake panicked"),
                },
                accepted = self.tcp.accept(), if self.handshakes.len() < MOST => match accepted {
                    Ok((tcp, peer)) => self.begin(tcp, peer),
                    Err(error) => {
                        tracing::warn!(%error, "no connection could be accepted");
                        sleep(REST).await;
                    }
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}
