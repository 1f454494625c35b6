//! A session whose frames are ours to write.

use std::future::poll_fn;
use std::time::Duration;

use anyhow::Context as _;
use arcp_client::SessionInfo;
use arcp_tower::core::transport::{BoxTransport, Close, Received, Transport as _};
use arcp_tower::core::{Envelope, MessageId};
use tokio::time::timeout;

use crate::exit::{Exit, Failure};

/// A session whose frames are ours to write.
pub(crate) struct Raw {
    io: BoxTransport,
    pub(crate) session: SessionInfo,
}

impl Raw {
    pub(crate) fn new((io, session): (BoxTransport, SessionInfo)) -> Self {
        Self { io, session }
    }

    /// Sends a message; its id.
    pub(crate) async fn send(&mut self, message: &Envelope) -> anyhow::Result<MessageId> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).context("no randomness")?;
        let id = MessageId::from_bits(u128::from_be_bytes(bytes));
        poll_fn(|cx| self.io.poll_ready(cx)).await?;
        self.io.send(message.encode(Some(&self.session.id), &id))?;
        poll_fn(|cx| self.io.poll_flush(cx)).await?;
        Ok(id)
    }

    /// The next frame.
    pub(crate) async fn recv(&mut self) -> anyhow::Result<String> {
        let close = loop {
            match poll_fn(|cx| self.io.poll_recv(cx)).await.context("the connection was lost")? {
                Received::Frame(frame) => return Ok(frame.to_string()),
                Received::Control => {}
                Received::Closed(close) => break close,
            }
        };
        let why = close.map_or_else(|| "without a word".to_owned(), |close| close.to_string());
        Err(Failure::new(Exit::Unreachable, format!("the runtime closed the connection: {why}")).into())
    }

    /// Closes the connection.
    pub(crate) async fn close(mut self) {
        let close = Close::new(Close::NORMAL, "");
        let _ = timeout(Duration::from_secs(1), poll_fn(|cx| self.io.poll_close(cx, &close))).await;
    }
}
