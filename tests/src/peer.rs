//! A client that says frames and reads frames, over any transport, and knows nothing else.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use arcp_core::MessageId;
use arcp_core::transport::{Close, Received, Transport};
use bytestring::ByteString;
use serde_json::{Value, json};
use tokio::time::timeout;

/// What the runtime can do, without heartbeats: so that a wait is only what it seems to be.
pub const ALL: [&str; 5] = ["ack", "subscribe", "progress", "result_chunk", "agent_versions"];

/// The payload of a hello, as the SDKs send it.
pub fn features(token: &str, features: &[&str]) -> Value {
    json!({
        "client": { "name": "arcp-tests", "version": "1.0.0" },
        "auth": { "scheme": "bearer", "token": token },
        "capabilities": { "encodings": ["json"], "features": features },
    })
}

/// A client of one connection.
#[derive(Debug)]
pub struct Peer<T> {
    io: T,
    session: Option<String>,
    next_id: u128,
    patience: Duration,
    /// Frames that were read while another one was waited for.
    early: VecDeque<Value>,
    ended: bool,
    closed: Option<Close>,
}

impl<T: Transport> Peer<T> {
    /// A client that waits for each frame for `patience`.
    pub fn new(io: T, patience: Duration) -> Self {
        Self {
            io,
            session: None,
            next_id: 1 << 64,
            patience,
            early: VecDeque::new(),
            ended: false,
            closed: None,
        }
    }

    /// The session, once there is one.
    pub fn session(&self) -> &str {
        self.session.as_deref().unwrap_or_default()
    }

    /// Sends a frame as it is, whatever it is.
    pub async fn send_text(&mut self, text: impl Into<String>) {
        poll_fn(|cx| self.io.poll_ready(cx)).await.unwrap();
        self.io.send(text.into()).unwrap();
        poll_fn(|cx| self.io.poll_flush(cx)).await.unwrap();
    }

    /// A message of this session, and its id.
    pub fn message(&mut self, kind: &str, payload: &Value) -> (String, Value) {
        self.next_id += 1;
        let id = MessageId::from_bits(self.next_id).to_string();
        let mut message = json!({ "arcp": "1.1", "id": id, "type": kind, "payload": payload });
        if let Some(session) = &self.session {
            message["session_id"] = json!(session);
        }
        (id, message)
    }

    /// Sends a message, and says its id.
    pub async fn send(&mut self, kind: &str, payload: Value) -> String {
        let (id, message) = self.message(kind, &payload);
        self.send_text(message.to_string()).await;
        id
    }

    /// Sends a message about a job, named where the draft names it.
    pub async fn send_of(&mut self, kind: &str, job: &str, payload: Value) -> String {
        let (id, mut message) = self.message(kind, &payload);
        message["job_id"] = json!(job);
        self.send_text(message.to_string()).await;
        id
    }

    async fn frame(&mut self) -> Option<ByteString> {
        if self.ended {
            return None;
        }
        match timeout(self.patience, message(&mut self.io)).await.expect("something arrives in time") {
            Ok(frame) => Some(frame),
            Err(close) => {
                (self.ended, self.closed) = (true, close);
                None
            }
        }
    }

    async fn fresh(&mut self) -> Option<Value> {
        Some(serde_json::from_str(&self.frame().await?).expect("every frame is JSON"))
    }

    /// The next frame as its text; nothing may have been kept back.
    pub async fn text(&mut self) -> Option<ByteString> {
        assert!(self.early.is_empty(), "frames were read before");
        self.frame().await
    }

    /// The next frame; `None` when the connection is closed.
    pub async fn recv(&mut self) -> Option<Value> {
        match self.early.pop_front() {
            Some(frame) => Some(frame),
            None => self.fresh().await,
        }
    }

    /// The next frame. There must be one.
    pub async fn next(&mut self) -> Value {
        match self.recv().await {
            Some(frame) => frame,
            None => panic!("closed with {:?}", self.closed),
        }
    }

    /// The next frame that `wanted` picks; the others stay, in their order.
    pub async fn pick(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.early.iter().position(&wanted) {
            return self.early.remove(at).unwrap();
        }
        loop {
            let Some(frame) = self.fresh().await else {
                panic!("closed with {:?} after {:?}", self.closed, self.early)
            };
            if wanted(&frame) {
                return frame;
            }
            self.early.push_back(frame);
        }
    }

    /// The first frame that answers request `id`.
    pub async fn reply(&mut self, id: &str) -> Value {
        self.pick(|frame| frame["payload"]["request_id"] == id).await
    }

    /// The next frame of type `kind`.
    pub async fn kind(&mut self, kind: &str) -> Value {
        self.pick(|frame| frame["type"] == kind).await
    }

    /// Frames up to and with the terminal message of `job`; frames of others stay.
    pub async fn job(&mut self, job: &str) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            let frame = self.pick(|frame| frame["job_id"] == job).await;
            let end = is_terminal(&frame);
            frames.push(frame);
            if end {
                return frames;
            }
        }
    }

    /// What is there already, and what comes while `wait` passes.
    pub async fn during(&mut self, wait: Duration) -> Vec<Value> {
        let end = tokio::time::Instant::now() + wait;
        let mut frames: Vec<Value> = self.early.drain(..).collect();
        while let Ok(Some(frame)) = tokio::time::timeout_at(end, self.fresh()).await {
            frames.push(frame);
        }
        frames
    }

    /// How the connection is closed; frames that come before are kept.
    pub async fn closed(&mut self) -> Close {
        while let Some(frame) = self.fresh().await {
            self.early.push_back(frame);
        }
        self.closed.clone().expect("the runtime says why")
    }

    /// Says hello, and returns the answer.
    pub async fn say_hello(&mut self, payload: Value) -> Value {
        self.send("session.hello", payload).await;
        self.next().await
    }

    /// Opens a session, and returns the welcome.
    pub async fn hello(&mut self, token: &str, names: &[&str]) -> Value {
        let welcome = self.say_hello(features(token, names)).await;
        self.welcomed(welcome)
    }

    /// Takes a welcome.
    pub fn welcomed(&mut self, welcome: Value) -> Value {
        assert_eq!(welcome["type"], "session.welcome", "{welcome}");
        self.session = welcome["session_id"].as_str().map(str::to_owned);
        welcome
    }

    /// Submits a job, and returns its id.
    pub async fn submit(&mut self, agent: &str, input: Value) -> String {
        self.submit_with(json!({ "agent": agent, "input": input })).await
    }

    /// Submits a job that must be accepted, and returns its id.
    pub async fn submit_with(&mut self, payload: Value) -> String {
        let id = self.send("job.submit", payload).await;
        let accepted = self.reply(&id).await;
        assert_eq!(accepted["type"], "job.accepted", "{accepted}");
        accepted["job_id"].as_str().unwrap().to_owned()
    }

    /// Runs `echo`, whose result must come back: the session lives.
    pub async fn works(&mut self) {
        let job = self.submit("echo", json!({ "still": "alive" })).await;
        let frames = self.job(&job).await;
        assert_eq!(frames.last().unwrap()["payload"]["result"], json!({ "still": "alive" }));
    }

    /// Pings, and waits for the pong.
    pub async fn ping(&mut self, nonce: &str) {
        self.send("session.ping", json!({ "nonce": nonce, "sent_at": "2026-01-01T00:00:00Z" })).await;
        self.pick(|frame| frame["type"] == "session.pong" && frame["payload"]["ping_nonce"] == nonce).await;
    }

    /// Acknowledges events up to `seq`.
    pub async fn ack(&mut self, seq: u64) {
        self.send("session.ack", json!({ "last_processed_seq": seq })).await;
    }

    /// Cancels a job, and returns the answer.
    pub async fn cancel(&mut self, job: &str) -> Value {
        let id = self.send_of("job.cancel", job, json!({ "reason": "enough" })).await;
        self.reply(&id).await
    }

    /// Subscribes to a job, which must be allowed.
    pub async fn subscribe(&mut self, job: &str, history: bool) -> Value {
        let id = self.send("job.subscribe", json!({ "job_id": job, "history": history })).await;
        let subscribed = self.reply(&id).await;
        assert_eq!(subscribed["type"], "job.subscribed", "{subscribed}");
        subscribed
    }

    /// Says all of `frames` while it reads, until at least `count` frames have come.
    pub async fn flood(&mut self, frames: impl IntoIterator<Item = String>, count: usize) -> Vec<ByteString> {
        let (mut frames, mut read) = (frames.into_iter().peekable(), Vec::new());
        let all = poll_fn(|cx| {
            loop {
                let mut moved = false;
                if frames.peek().is_some() && self.io.poll_ready(cx).is_ready() {
                    self.io.send(frames.next().unwrap()).unwrap();
                    moved = true;
                } else {
                    let _ = self.io.poll_flush(cx);
                }
                if let Poll::Ready(received) = self.io.poll_recv(cx) {
                    match received {
                        Ok(Received::Frame(frame)) => read.push(frame),
                        Ok(Received::Control) => {}
                        ended => panic!("{ended:?}"),
                    }
                    moved = true;
                }
                if read.len() >= count && frames.peek().is_none() {
                    return Poll::Ready(());
                }
                if !moved {
                    return Poll::Pending;
                }
            }
        });
        timeout(self.patience, all).await.expect("all arrive in time");
        read
    }
}

/// The next frame, or how the connection is closed.
async fn message<T: Transport>(io: &mut T) -> Result<ByteString, Option<Close>> {
    loop {
        match poll_fn(|cx| io.poll_recv(cx)).await {
            Ok(Received::Frame(frame)) => return Ok(frame),
            Ok(Received::Control) => {}
            Ok(Received::Closed(close)) => return Err(close),
            Err(error) => return Err(Some(Close::new(0, error.to_string()))),
        }
    }
}

/// Whether a frame ends a job.
pub fn is_terminal(frame: &Value) -> bool {
    frame["event_seq"].is_u64() && matches!(frame["type"].as_str(), Some("job.result" | "job.error"))
}

/// The numbers of some frames, in their order.
pub fn numbers(frames: &[Value]) -> Vec<u64> {
    frames.iter().filter_map(|frame| frame["event_seq"].as_u64()).collect()
}
