//! The bytes of an upgraded connection: what actix reads comes in as the request's payload, and what it
//! writes is the answer's body.

use std::io;

use actix_web::rt;
use actix_web::web::Payload;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, duplex, join, split};
use tokio_util::io::ReaderStream;

/// The connection as one stream of bytes, and what is to be its answer's body. Each direction holds at
/// most `capacity` bytes; a side that is not read holds the other one up, as a socket does.
pub(crate) fn bytes(
    payload: Payload,
    capacity: usize,
) -> (impl AsyncRead + AsyncWrite + Unpin, impl Stream<Item = io::Result<Bytes>>) {
    let (near, far) = duplex(capacity.max(1));
    let (far_in, far_out) = split(far);
    rt::spawn(pump(payload, far_out));
    let (near_in, near_out) = split(near);
    (join(near_in, near_out), ReaderStream::with_capacity(far_in, capacity.max(1)))
}

/// Passes on what comes, until the peer is gone or nobody listens.
async fn pump(mut payload: Payload, mut to: impl AsyncWrite + Unpin) {
    while let Some(Ok(bytes)) = payload.next().await {
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
