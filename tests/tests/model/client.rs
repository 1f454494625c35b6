//! A client that checks every frame that it is sent, on whichever connection.

use std::collections::HashMap;
use std::future::poll_fn;
use std::time::Duration;

use arcp_core::MessageId;
use arcp_core::transport::{Memory, Received, Transport as _};
use arcp_tests::ALICE;
use arcp_tests::peer::is_terminal;
use serde_json::{Value, json};
use tokio::time::timeout;

pub(crate) type Checked<T = ()> = Result<T, String>;

macro_rules! ensure {
    ($what:expr, $($words:tt)+) => {
        if !$what {
            return Err(format!($($words)+));
        }
    };
}
pub(crate) use ensure;

/// One connection, and what was read from it.
pub(crate) struct Conn {
    pub(crate) io: Memory,
    /// The number that was read last.
    pub(crate) at: u64,
    pub(crate) closed: Option<u16>,
    /// Whether the store failed while it was there, or nobody read for very long: how it ends may come behind
    /// what nobody has read yet.
    pub(crate) ailing: bool,
    replies: HashMap<String, Value>,
    pongs: u64,
}

impl Conn {
    pub(crate) fn new(io: Memory) -> Self {
        Self { io, at: 0, closed: None, ailing: false, replies: HashMap::new(), pongs: 0 }
    }

    /// The next frame; `None` if none comes in time, or the connection is closed.
    pub(crate) async fn next(&mut self, patience: Duration) -> Option<String> {
        if self.closed.is_some() {
            return None;
        }
        match timeout(patience, poll_fn(|cx| self.io.poll_recv(cx))).await.ok()? {
            Ok(Received::Frame(frame)) => return Some(frame.to_string()),
            Ok(Received::Control) => {}
            Ok(Received::Closed(close)) => self.closed = Some(close.map_or(0, |close| close.code)),
            Err(_) => self.closed = Some(0),
        }
        None
    }

    /// `false` if the connection is closed.
    pub(crate) async fn say(&mut self, message: &Value) -> bool {
        let ready = timeout(Duration::from_secs(60), poll_fn(|cx| self.io.poll_ready(cx))).await;
        matches!(ready, Ok(Ok(()))) && self.io.send(message.to_string()).is_ok()
    }
}

/// What a session should see of a job.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// The line that comes next, once that is known.
    next: Option<u64>,
    /// Whether it was followed from its first line on.
    whole: bool,
    pub(crate) ended: bool,
    /// Whether the session was to follow it no longer.
    pub(crate) left: bool,
}

impl Stream {
    pub(crate) fn left() -> Self {
        Self { left: true, ..Self::default() }
    }

    pub(crate) fn whole() -> Self {
        Self { next: Some(0), whole: true, ..Self::default() }
    }
}

/// A session, as its client knows it.
#[derive(Default)]
pub(crate) struct Client {
    pub(crate) id: Option<String>,
    /// The token that came last.
    pub(crate) newest: String,
    /// The one that was presented for it, while it should work.
    pub(crate) before: Option<String>,
    /// A token that no longer works once the runtime has settled.
    pub(crate) fading: Option<String>,
    /// Tokens that must not work.
    pub(crate) dead: Vec<String>,
    pub(crate) conn: Option<Conn>,
    /// Everything numbered that arrived, by its number less one.
    pub(crate) frames: Vec<String>,
    pub(crate) acked: u64,
    /// The same, as far as the runtime is known to have read it.
    pub(crate) heard_acked: u64,
    /// Requests to follow a job whose answers nobody heard: each may bring its terminal once more.
    pub(crate) unheard: u64,
    pub(crate) streams: HashMap<String, Stream>,
    /// Whether the runtime was killed since a connection was there.
    pub(crate) restarted: bool,
    next_id: u128,
}

impl Client {
    pub(crate) fn top(&self) -> u64 {
        self.frames.len() as u64
    }

    pub(crate) fn message(&mut self, kind: &str, payload: &Value) -> (String, Value) {
        self.next_id += 1;
        let id = MessageId::from_bits(self.next_id).to_string();
        let mut message = json!({ "arcp": "1.1", "id": id, "type": kind, "payload": payload });
        if let Some(session) = &self.id
            && kind != "session.hello"
        {
            message["session_id"] = json!(session);
        }
        (id, message)
    }

    pub(crate) fn hello(&mut self, resume: Option<Value>) -> Value {
        let mut payload = json!({
            "client": { "name": "model", "version": "1" },
            "auth": { "scheme": "bearer", "token": ALICE },
            "capabilities": {
                "features": ["ack", "subscribe", "list_jobs"],
                "x-vendor.arcp.profile": "draft",
            },
        });
        if let Some(resume) = resume {
            payload["resume"] = resume;
        }
        self.message("session.hello", &payload).1
    }

    /// Takes a frame of `conn`: what is numbered must fit what is known.
    pub(crate) fn take(&mut self, conn: &mut Conn, text: String) -> Checked {
        let frame: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        ensure!(frame["session_id"].as_str() == self.id.as_deref(), "a frame of another session");
        let Some(seq) = frame["event_seq"].as_u64() else {
            if frame["type"] == "session.pong" {
                conn.pongs += 1;
            } else if let Some(request) = frame["payload"]["request_id"].as_str() {
                conn.replies.insert(request.to_owned(), frame);
            }
            return Ok(());
        };
        ensure!(seq == conn.at + 1, "number {seq} after {}", conn.at);
        conn.at = seq;
        if let Some(known) = self.frames.get(usize::try_from(seq - 1).unwrap()) {
            ensure!(*known == text, "number {seq} has two contents");
            return Ok(());
        }
        ensure!(seq == self.top() + 1, "a gap before {seq}");
        self.frames.push(text);
        let job = frame["job_id"].as_str().unwrap_or_default();
        let unheard = self.unheard > 0;
        let new = || if unheard { Stream::default() } else { Stream::whole() };
        let stream = self.streams.entry(job.to_owned()).or_insert_with(new);
        if stream.ended && is_terminal(&frame) && unheard {
            self.unheard -= 1;
            return Ok(());
        }
        if stream.ended && unheard {
            // It was followed once more, and is told its history.
            self.unheard -= 1;
            *stream = Stream::default();
        }
        ensure!(!stream.ended, "number {seq} follows the terminal of its job");
        if is_terminal(&frame) {
            stream.ended = true;
            let emitted = frame["payload"]["result"]["emitted"].as_u64();
            let complete = !stream.whole || emitted.is_none_or(|emitted| Some(emitted) == stream.next);
            ensure!(complete, "the job ends after {:?} of {emitted:?} lines", stream.next);
            return Ok(());
        }
        let line: Option<u64> =
            frame["payload"]["body"]["message"].as_str().and_then(|text| text.parse().ok());
        let Some(line) = line else { return Ok(()) };
        ensure!(stream.next.is_none_or(|next| next == line), "line {line} where {:?} was due", stream.next);
        stream.next = Some(line + 1);
        Ok(())
    }

    /// Reads at most `most` frames, and no longer than frames come one after the other.
    pub(crate) async fn read(&mut self, most: usize) -> Checked {
        let Some(mut conn) = self.conn.take() else { return Ok(()) };
        let mut result = Ok(());
        for _ in 0..most {
            let Some(text) = conn.next(Duration::from_millis(1)).await else { break };
            result = self.take(&mut conn, text);
            if result.is_err() {
                break;
            }
        }
        self.conn = Some(conn);
        result
    }

    /// Sends a message, and waits for the reply to it and for the pong behind it. `Ok(None)` if the
    /// connection ended first, or there is no reply.
    pub(crate) async fn ask(&mut self, kind: &str, payload: Value) -> Checked<Option<Value>> {
        let (id, message) = self.message(kind, &payload);
        let (_, ping) = self.message("session.ping", &json!({ "nonce": "n", "sent_at": "" }));
        let with_reply = matches!(kind, "job.submit" | "job.subscribe" | "session.list_jobs");
        let Some(mut conn) = self.conn.take() else { return Ok(None) };
        let pongs = conn.pongs;
        let mut result = Ok(());
        if conn.say(&message).await && conn.say(&ping).await {
            self.fading = self.before.take().or(self.fading.take());
            while result.is_ok()
                && (conn.pongs == pongs || (with_reply && !conn.replies.contains_key(&id)))
                && conn.closed.is_none()
            {
                match conn.next(Duration::from_secs(60)).await {
                    Some(text) => result = self.take(&mut conn, text),
                    None if conn.closed.is_some() => {}
                    None => result = Err(format!("no answer to {kind}")),
                }
            }
        } else {
            // Why it is closed comes behind what was sent before.
            while let Some(text) = conn.next(Duration::from_secs(60)).await {
                result = result.and_then(|()| self.take(&mut conn, text));
            }
        }
        if kind == "job.unsubscribe" {
            // Only a refusal is said, and a ping may be answered before it; and what was numbered
            // before still comes.
            tokio::time::sleep(Duration::from_secs(3)).await;
            while let Some(text) = conn.next(Duration::from_millis(1)).await {
                result = result.and_then(|()| self.take(&mut conn, text));
            }
        }
        let reply = conn.replies.remove(&id);
        self.conn = Some(conn);
        result.map(|()| reply)
    }
}
