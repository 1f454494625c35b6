//! TLS in front of whatever serves.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
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
use tokio_rustls::server::TlsStream;

use crate::args::Tls;

/// TLS handshakes that may be under way at once; the next connection waits.
const MOST: usize = 1024;
/// How long one may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long nothing is accepted after that has failed: files are used up, for one.
const REST: Duration = Duration::from_millis(100);

/// A certificate and its key, as the files have them.
#[derive(Clone)]
pub(crate) struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    now: Arc<RwLock<Arc<ServerConfig>>>,
}

impl Certificate {
    /// Reads the files that the command line names, if it does.
    pub(crate) fn of(args: &Tls) -> anyhow::Result<Option<Self>> {
        let (Some(cert), Some(key)) = (args.tls_cert.clone(), args.tls_key.clone()) else { return Ok(None) };
        let now = Arc::new(RwLock::new(Arc::new(read(&cert, &key)?)));
        Ok(Some(Self { cert, key, now }))
    }

    /// Reads the files again whenever the process gets a SIGHUP. What cannot be read changes nothing.
    pub(crate) fn follow(&self) -> anyhow::Result<()> {
        let mut hangup = signal(SignalKind::hangup()).context("SIGHUP cannot be caught")?;
        let this = self.clone();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                match read(&this.cert, &this.key) {
                    Ok(config) => {
                        *this.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                        tracing::info!("the certificate was read again");
                    }
                    Err(error) => tracing::error!(error = format!("{error:#}"), "the certificate stays"),
                }
            }
        });
        Ok(())
    }

    fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.now.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn read(cert: &PathBuf, key: &PathBuf) -> anyhow::Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain =
        chain.and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) });
    let chain = chain.with_context(|| format!("{} has no certificate", cert.display()))?;
    let secret = PrivateKeyDer::from_pem_file(key);
    let secret = secret.with_context(|| format!("{} has no private key", key.display()))?;
    // The provider is named here: none is installed for the process.
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .with_context(|| format!("{} and {} do not belong together", cert.display(), key.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Accepts connections, and gives those away whose handshake is done. One that dawdles keeps no
/// other from it.
pub(crate) struct TlsListener {
    tcp: TcpListener,
    certificate: Certificate,
    handshakes: JoinSet<io::Result<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsListener {
    pub(crate) fn new(tcp: TcpListener, certificate: Certificate) -> Self {
        Self { tcp, certificate, handshakes: JoinSet::new() }
    }

    fn begin(&mut self, tcp: TcpStream, peer: SocketAddr) {
        let acceptor = self.certificate.acceptor();
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
