//! A connection that can be cut, for the demonstration.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Passes connections on to a server until they are cut.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    cut: Arc<Notify>,
}

impl Proxy {
    /// A proxy on loopback for the server at `upstream`.
    pub(crate) async fn start(upstream: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, cut) = (listener.local_addr()?, Arc::new(Notify::new()));
        let cuts = cut.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let cuts = cuts.clone();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(upstream).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        // Both ends just vanish: no close frame, no goodbye.
                        () = cuts.notified() => {}
                    }
                });
            }
        });
        Ok(Self { address, cut })
    }

    /// Cuts every connection there is.
    pub(crate) fn cut(&self) {
        self.cut.notify_waiters();
    }
}
