//! Drives one connection. The same code serves every transport and every host.

mod apart;
mod calls;
mod connection;
mod delivery;
mod late;
mod refuse;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;

use arcp_core::transport::{Close, Received, RecvError, Transport};
use arcp_core::{Code, Envelope, Error, Json, MessageType};
use http::Extensions;
use tracing::Instrument as _;

use crate::config::Config;
use crate::fault::to_wire;
use crate::profile::Refusable;
use crate::service::{Connect, MakeSession, Session};
use connection::Connection;

/// Serves one connection until either side ends it, and says how it was closed. `None` if the peer
/// was gone before anything could be said.
///
/// There is no `Send` bound: the future is `Send` exactly when the transport and the stack are, so
/// the same function runs under `tokio::spawn` and on a worker of actix. Dropping it ends the
/// connection; the session and its jobs live on. Share one `Arc<Config>` among many connections.
///
/// ```
/// use arcp_core::transport::memory;
/// use arcp_tower::{Config, Runtime, serve};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (client, server) = memory(64);
/// let runtime = Runtime::builder().build().unwrap();
/// let served = tokio::spawn(serve(server, runtime, http::Extensions::new(), Config::default()));
/// drop(client);
/// assert_eq!(served.await.unwrap(), None);
/// # }
/// ```
pub fn serve<T: Transport, M: MakeSession>(
    mut io: T,
    mut make: M,
    extensions: Extensions,
    config: impl Into<Arc<Config>>,
) -> impl Future<Output = Option<Close>> {
    let config = config.into();
    // No `async fn`: what it is called with would be in its future twice, for as long as it lives.
    async move {
        let (mut bearer, mut kept) = (None, None);
        // Boxed: it is larger than what comes after it, and is over soon.
        let opening = Box::pin(async {
            let first = {
                let (from, most) = (extensions.get::<SocketAddr>().copied(), config.most_strangers());
                let stranger = config.door.stranger(from, most);
                tokio::select! {
                    biased;
                    first = first(&mut io, &config) => first?,
                    close = stranger.sent_away() => return Err(NotOpened::SentAway(close)),
                    () = config.shutdown.cancelled() => return Err(NotOpened::SentAway(stopping())),
                }
            };
            bearer = late::bearer(&first);
            open(&mut make, first, extensions, &config).await
        });
        let close = match opening.await {
            Ok(mut session) => {
                apart::tell(&config, &session.config);
                config.door.leads_to(&session.config.door);
                io.opened();
                // One session after the other, as the peer wants them.
                loop {
                    kept = session.kept.take();
                    let mut connection = Connection::new(&mut io, session);
                    session = match late::run(&mut connection, &mut make, bearer.as_ref(), &config).await {
                        Ok(resumed) => resumed,
                        Err(close) => break close,
                    };
                }
            }
            Err(why) => Box::pin(refused(&mut io, why, &config)).await,
        }?;
        let closing = poll_fn(|cx| io.poll_close(cx, &close));
        let _ = tokio::time::timeout(config.door.closing(config.close_timeout), closing).await;
        drop(kept);
        tracing::debug!(%close, "connection closed");
        Some(close)
    }
}

/// Says why no session was opened, and how to close.
async fn refused<T: Transport>(io: &mut T, why: NotOpened, config: &Config) -> Option<Close> {
    match why {
        NotOpened::Gone => None,
        NotOpened::SentAway(close) => Some(close),
        NotOpened::Unreadable(e) => {
            if let Some(error) = refuse::refusal(&e, io.says_why()) {
                refuse::handshake(io, config, &error, None).await;
            }
            e.close()
        }
        NotOpened::Refused(refusal) => {
            let (error, first) = &*refusal;
            tracing::debug!(%error, "handshake refused");
            refuse::handshake(io, config, error, first.as_ref()).await;
            // It will be let in elsewhere, or later.
            let drained = crate::runtime::is_draining(error);
            Some(if drained { stopping() } else { Close::new(Close::POLICY, error.code().as_str()) })
        }
    }
}

/// How a connection is closed whose runtime stops.
fn stopping() -> Close {
    Close::new(Close::RESTART, "the runtime is stopping")
}

/// Why no session was opened.
enum NotOpened {
    /// There is nobody to tell.
    Gone,
    /// It is not wanted: there are too many, or it is too late.
    SentAway(Close),
    /// The first frame could not be received.
    Unreadable(RecvError),
    /// The first frame, if there was one that could be read, was refused.
    Refused(Box<(Error, Option<Envelope>)>),
}

impl NotOpened {
    fn refused(error: Error, first: Option<Envelope>) -> Self {
        Self::Refused(Box::new((error, first)))
    }
}

/// The message that a connection begins with.
async fn first<T: Transport>(io: &mut T, config: &Config) -> Result<Envelope, NotOpened> {
    let received = tokio::time::timeout(config.handshake_timeout, message(io)).await;
    let received = received.map_err(|_| {
        let rule = format!("session.hello must come within {:?}", config.handshake_timeout);
        NotOpened::refused(Error::new(Code::InvalidRequest, rule), None)
    })?;
    let frame = match received {
        Ok(Received::Frame(frame)) => frame,
        Ok(Received::Control | Received::Closed(_)) | Err(RecvError::Io(_)) => return Err(NotOpened::Gone),
        Err(e) => return Err(NotOpened::Unreadable(e)),
    };
    if frame.len() > config.first_frame {
        return Err(NotOpened::Unreadable(RecvError::TooLarge));
    }
    let first = Envelope::decode(&frame, config.json_limits()).map_err(|fault| {
        let unread = Envelope::of_json(MessageType::Hello, Json::empty_object());
        NotOpened::refused(fault.error, Some(unread.with_id(fault.id)))
    })?;
    if !Refusable::of(&first).opens() {
        let error = Error::fault("type", "must be session.hello before anything else");
        return Err(NotOpened::refused(error, Some(first)));
    }
    Ok(first)
}

/// The next that is no control frame of the transport's own. The bound of the first message is over all
/// of them.
async fn message<T: Transport>(io: &mut T) -> Result<Received, RecvError> {
    loop {
        match poll_fn(|cx| io.poll_recv(cx)).await {
            Ok(Received::Control) => {}
            received => return received,
        }
    }
}

/// Opens the session that `first` asks for.
async fn open<M: MakeSession>(
    make: &mut M,
    first: Envelope,
    extensions: Extensions,
    config: &Config,
) -> Result<Session<M::Commands>, NotOpened> {
    let profile = config.profile.choose(Some(&first));
    let refused = |e: crate::BoxError| NotOpened::refused(to_wire(&*e), Some(first.clone()));
    let opening = async {
        poll_fn(|cx| make.poll_ready(cx)).await.map_err(|e| refused(e.into()))?;
        let connect = Connect::new(first.clone(), extensions, Arc::clone(&profile));
        make.call(connect).await.map_err(|e| refused(e.into()))
    };
    let span = crate::telemetry::handshake_span(&first);
    let opening = tokio::time::timeout(config.handshake_timeout, opening).instrument(span.clone());
    let opened = opening.await.unwrap_or_else(|_| {
        let e = Error::new(Code::InternalError, "the session could not be opened in time; try again");
        Err(NotOpened::refused(e.with_retryable(true), Some(first.clone())))
    });
    opened.inspect_err(|why| {
        if let NotOpened::Refused(refusal) = why {
            crate::telemetry::failed(&span, refusal.0.code());
        }
    })
}
