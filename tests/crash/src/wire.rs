//! One connection, frame by frame: nothing here knows the crates under test.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::record::Record;
use crate::server::TOKEN;
use crate::work::Work;

/// How long an answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// What a client of one sort says of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sort {
    /// It acknowledges.
    pub(crate) acks: bool,
    /// It asks for the draft's own form.
    pub(crate) draft: bool,
}

/// How a handshake ended.
pub(crate) enum Answer {
    Welcome(Box<Wire>),
    /// The server said no.
    Refused(Value),
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Wire {
    ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: String,
    ids: u64,
    /// The highest number that came, or that the server was told we have.
    pub(crate) high: u64,
    /// The keys of submits that were sent and not answered, by message id.
    unanswered: HashMap<String, String>,
    /// Message ids of submits that were refused for now: some clients are told so in two forms.
    refused: HashSet<String>,
}

/// How a connection ended, as far as the server said.
pub(crate) type Code = Option<u16>;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether an answer says that something could not be kept, and may be tried again.
pub(crate) fn is_store_failure(answer: &Value) -> bool {
    let payload = &answer["payload"];
    payload["code"] == "INTERNAL_ERROR"
        && payload["retryable"] == true
        && payload["details"]["reason"] == "store"
}

impl Wire {
    /// Connects and says hello; with `from`, resumes.
    async fn hello(url: &str, sort: Sort, resume: Option<Value>) -> Result<Self> {
        let (ws, _) = timeout(PATIENCE, connect_async(url)).await??;
        let mut wire = Self {
            ws,
            session: String::new(),
            ids: 0,
            high: 0,
            unanswered: HashMap::new(),
            refused: HashSet::new(),
        };
        let mut features = vec!["progress", "result_chunk", "agent_versions", "list_jobs"];
        if sort.acks {
            features.push("ack");
        }
        let mut capabilities = json!({ "encodings": ["json"], "features": features });
        if sort.draft {
            capabilities["x-vendor.arcp.profile"] = json!("draft");
        }
        let mut payload = json!({
            "client": { "name": "arcp-crash", "version": "1.0.0" },
            "auth": { "scheme": "bearer", "token": TOKEN },
            "capabilities": capabilities,
        });
        if let Some(resume) = resume {
            payload["resume"] = resume;
        }
        wire.send("session.hello", &payload).await?;
        Ok(wire)
    }

    /// A client that asks to resume, and is gone before it is answered.
    pub(crate) async fn ghost(url: &str, sort: Sort, resume: Value, alive: Duration) -> Result<()> {
        let _wire = Self::hello(url, sort, Some(resume)).await?;
        tokio::time::sleep(alive).await;
        Ok(())
    }

    /// Opens a session, or resumes one from number `from` on.
    ///
    /// # Errors
    /// If the connection was lost: try again.
    pub(crate) async fn open(
        url: &str,
        sort: Sort,
        resume: Option<(Value, u64)>,
        record: &Mutex<Record>,
    ) -> Result<Answer> {
        let (resume, from) = resume.unzip();
        let mut wire = Self::hello(url, sort, resume).await?;
        wire.high = from.unwrap_or(0);
        let first = timeout(PATIENCE, wire.text()).await;
        let first = first.inspect_err(|_| lock(record).violation("a hello was not answered"))?;
        let Ok(text) = first else { bail!("lost") };
        let welcome: Value = serde_json::from_str(&text)?;
        if welcome["type"] != "session.welcome" {
            return Ok(Answer::Refused(welcome));
        }
        let text = |value: &Value| value.as_str().map(str::to_owned).context("not in the welcome");
        wire.session = text(&welcome["session_id"])?;
        let mut record = lock(record);
        record.token = text(&welcome["payload"]["resume_token"])?;
        record.session.clone_from(&wire.session);
        let note =
            format!("is welcome with token ..{}", &record.token[record.token.len().saturating_sub(4)..]);
        record.note(note);
        Ok(Answer::Welcome(Box::new(wire)))
    }

    /// Sends a message; returns its id.
    pub(crate) async fn send(&mut self, kind: &str, payload: &Value) -> Result<String> {
        self.ids += 1;
        let id = format!("msg_{:026}", self.ids);
        let mut message = json!({ "arcp": "1.1", "id": id, "type": kind, "payload": payload });
        if !self.session.is_empty() {
            message["session_id"] = json!(self.session);
        }
        timeout(PATIENCE, self.ws.send(Message::text(message.to_string()))).await??;
        Ok(id)
    }

    pub(crate) async fn ack(&mut self, seq: u64) -> Result<()> {
        self.send("session.ack", &json!({ "last_processed_seq": seq })).await.map(drop)
    }

    /// Submits; returns the message's id.
    pub(crate) async fn submit(&mut self, work: &Work) -> Result<String> {
        let id = self.send("job.submit", work.payload()).await?;
        self.unanswered.insert(id.clone(), work.key.clone());
        Ok(id)
    }

    /// Whether a submit of this key waits for its answer here.
    pub(crate) fn awaits(&self, key: &str) -> bool {
        self.unanswered.values().any(|awaited| awaited == key)
    }

    /// The next text.
    ///
    /// # Errors
    /// The end of the connection.
    pub(crate) async fn text(&mut self) -> Result<String, Code> {
        loop {
            match self.ws.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
                Some(Ok(Message::Close(close))) => return Err(close.map(|close| close.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// Notes what a frame says.
    pub(crate) fn take(&mut self, text: &str, record: &Mutex<Record>) {
        let mut record = lock(record);
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            return record.violation(format!("not JSON: {text}"));
        };
        if let Some(seq) = record.numbered(&frame, text) {
            if seq != self.high + 1 {
                let what = format!("number {seq} came after {} on one connection: {text}", self.high);
                record.violation(what);
            }
            self.high = seq;
            return;
        }
        let request = frame["payload"]["request_id"].as_str().unwrap_or_default();
        let asked = self.unanswered.remove(request);
        match (frame["type"].as_str(), asked) {
            (Some("job.accepted"), Some(key)) => record.accepted(&key, &frame),
            // It could not be kept, and may be tried again.
            (Some("session.error" | "job.error"), Some(_)) if is_store_failure(&frame) => {
                record.refused += 1;
                self.refused.insert(request.to_owned());
            }
            (Some("session.error" | "job.error"), None) if self.refused.contains(request) => {}
            (Some("session.error" | "job.error"), _) => {
                record.violation(format!("the server complains: {text}"));
            }
            _ => {}
        }
    }
}
