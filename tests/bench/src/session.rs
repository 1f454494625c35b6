//! One session with the runtime under load.

use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::args::Args;
use crate::frame::{self, Features, Resume};

/// An open session.
#[derive(Debug)]
pub struct Session {
    ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
    id: String,
    token: String,
    sent: u64,
}

impl Session {
    /// Connects and says hello. `number` keeps the message ids of sessions apart.
    ///
    /// # Errors
    /// If the runtime is not there or does not welcome us.
    pub async fn open(args: &Args, number: u64) -> Result<Self> {
        Self::open_with(args, number, Features::All).await
    }

    /// The same, with other features.
    ///
    /// # Errors
    /// Likewise.
    pub async fn open_with(args: &Args, number: u64, features: Features) -> Result<Self> {
        Self::greet(args, number, features, None).await
    }

    /// Continues a session from its first event.
    ///
    /// # Errors
    /// Likewise, or if it cannot be continued.
    pub async fn resume(args: &Args, number: u64, cut: &Resume) -> Result<Self> {
        Self::greet(args, number, Features::WithoutAck, Some(cut)).await
    }

    async fn greet(args: &Args, number: u64, features: Features, resume: Option<&Resume>) -> Result<Self> {
        let (ws, _) = connect_async(args.url.as_str()).await.context("connecting")?;
        let mut session = Self { ws, id: String::new(), token: String::new(), sent: number << 32 };
        let id = session.next_id();
        session.send(frame::hello(&id, &args.token, features, resume)).await?;
        let welcome = session.wait_for("session.welcome").await?;
        either(&welcome, "session_id").clone_into(&mut session.id);
        either(&welcome, "resume_token").clone_into(&mut session.token);
        Ok(session)
    }

    /// Ends the connection without a word; what continues the session.
    pub fn cut(self) -> Resume {
        Resume { session: self.id, token: self.token }
    }

    fn next_id(&mut self) -> String {
        self.sent += 1;
        frame::id(self.sent)
    }

    async fn send(&mut self, text: String) -> Result<()> {
        Ok(self.ws.send(Message::text(text)).await?)
    }

    /// Submits a job.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn submit(&mut self, agent: &str, input: &Value) -> Result<()> {
        let id = self.next_id();
        self.send(frame::submit(&id, &self.id, agent, input)).await
    }

    /// Watches a job from its beginning.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn subscribe(&mut self, job: &str) -> Result<()> {
        let id = self.next_id();
        self.send(frame::subscribe(&id, &self.id, job)).await
    }

    /// Acknowledges events up to `seq`.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn ack(&mut self, seq: u64) -> Result<()> {
        let id = self.next_id();
        self.send(frame::ack(&id, &self.id, seq)).await
    }

    /// Pings.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn ping(&mut self) -> Result<()> {
        let id = self.next_id();
        self.send(frame::ping(&id, &self.id)).await
    }

    /// The next frame's text.
    ///
    /// # Errors
    /// If the connection ended.
    pub async fn text(&mut self) -> Result<Utf8Bytes> {
        loop {
            match self.ws.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(close))) => bail!("closed by the peer: {close:?}"),
                Some(other) => _ = other?,
                None => bail!("the connection ended"),
            }
        }
    }

    /// The next frame of type `kind`; others are skipped.
    ///
    /// # Errors
    /// If an error came instead, or the connection ended.
    pub async fn wait_for(&mut self, kind: &str) -> Result<Value> {
        loop {
            let text = self.text().await?;
            let message: Value = serde_json::from_str(&text)?;
            match message["type"].as_str().unwrap_or_default() {
                found if found == kind => return Ok(message),
                "session.error" | "job.error" => bail!("{text}"),
                _ => {}
            }
        }
    }
}

/// A text of the envelope or, where a runtime has it only there, of the payload.
pub fn either<'a>(message: &'a Value, key: &str) -> &'a str {
    message[key].as_str().or(message["payload"][key].as_str()).unwrap_or_default()
}
