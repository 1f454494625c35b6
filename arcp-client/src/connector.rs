//! How a connection is opened, the first time and after a loss.

use std::fmt;
use std::future::Future;
use std::io;

use arcp_core::transport::{BoxTransport, Transport, WsLimits};
use futures_util::future::{BoxFuture, FutureExt as _};
use http::Uri;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::config::ClientConfig;
use crate::error::ConnectError;
use crate::upgrade::{dial, upgrade};

type Open = dyn FnMut(&ClientConfig) -> BoxFuture<'static, Result<BoxTransport, ConnectError>> + Send;

/// Opens transports, one for each connection.
pub(crate) struct Connector(Box<Open>);

impl Connector {
    /// Opens a WebSocket to `uri` each time.
    pub(crate) fn to(uri: Uri) -> Self {
        Self(Box::new(move |config| {
            let (uri, limits) = (uri.clone(), limits(config));
            async move {
                let io = dial(&uri).await?;
                Ok(Box::new(upgrade(uri, io, limits).await?) as BoxTransport)
            }
            .boxed()
        }))
    }

    /// Makes a WebSocket to `url` of what `open` opens.
    pub(crate) fn over<F, Fut, S>(url: String, mut open: F) -> Self
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self(Box::new(move |config| {
            let (uri, limits) = (url.parse(), limits(config));
            let open = open();
            async move {
                let uri = uri.map_err(|_| ConnectError::Url)?;
                Ok(Box::new(upgrade(uri, open.await?, limits).await?) as BoxTransport)
            }
            .boxed()
        }))
    }

    /// Starts `program` each time.
    #[cfg(feature = "stdio")]
    pub(crate) fn program(program: crate::Program) -> Self {
        Self(Box::new(move |config| {
            let started = program.start(config.message_bytes);
            async move { Ok(Box::new(started?) as BoxTransport) }.boxed()
        }))
    }

    /// Opens what `open` opens.
    pub(crate) fn with<F, Fut, T>(mut open: F) -> Self
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = io::Result<T>> + Send + 'static,
        T: Transport + Send + 'static,
    {
        Self(Box::new(move |_| {
            let open = open();
            async move { Ok(Box::new(open.await?) as BoxTransport) }.boxed()
        }))
    }

    /// Opens a transport, within the time of a hello.
    pub(crate) async fn open(&mut self, config: &ClientConfig) -> Result<BoxTransport, ConnectError> {
        timeout(config.hello_timeout, (self.0)(config)).await.unwrap_or(Err(ConnectError::TimedOut))
    }
}

fn limits(config: &ClientConfig) -> WsLimits {
    let mut limits = WsLimits::default();
    limits.message = config.message_bytes;
    limits
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}
