//! A runtime that does what a test says, frame by frame, at the other end of a memory transport.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use std::future::poll_fn;

use std::io;

use arcp_client::{Builder, Client, Dial, Over};
use arcp_core::transport::{Close, Memory, Received, Transport as _, memory};
use serde_json::{Value, json};
use tokio::sync::mpsc;

pub const SESSION: &str = "sess_01J00000000000000000000000";
pub const JOB: &str = "job_01J00000000000000000000000";

/// Every feature that the client implements, as a runtime names them.
pub const FEATURES: [&str; 10] = [
    "heartbeat",
    "ack",
    "list_jobs",
    "subscribe",
    "lease_expires_at",
    "cost.budget",
    "model.use",
    "progress",
    "result_chunk",
    "agent_versions",
];

pub struct Fake {
    end: Memory,
    seq: u64,
}

/// A client that is about to connect, and the runtime that it will meet.
pub fn pair() -> (Builder<Over<Memory>>, Fake) {
    narrow(4096)
}

/// The same, with a transport that holds about `capacity` frames each way.
pub fn narrow(capacity: usize) -> (Builder<Over<Memory>>, Fake) {
    let (ours, theirs) = memory(capacity);
    (Client::over(ours).token("secret").client("test", "1"), Fake { end: theirs, seq: 0 })
}

/// The connections that a client opens; `None` is one that could not be opened.
pub struct Runtime {
    calls: mpsc::UnboundedReceiver<Memory>,
    seq: u64,
}

/// A client that can connect again and again. A connection comes about as long as `up` says so.
pub fn reachable(mut up: impl FnMut() -> bool + Send + 'static) -> (Builder<Dial>, Runtime) {
    let (called, calls) = mpsc::unbounded_channel();
    let builder = Client::with_connector(move || {
        let (ours, theirs) = memory(4096);
        let open = if up() { called.send(theirs).ok().map(|()| ours) } else { None };
        async move { open.ok_or_else(|| io::ErrorKind::ConnectionRefused.into()) }
    });
    (builder.token("secret").client("test", "1"), Runtime { calls, seq: 0 })
}

/// A session with these features that can be resumed.
pub async fn resumable(features: &[&str]) -> (Client, Runtime, Fake) {
    let (builder, mut runtime) = reachable(|| true);
    let welcome = async {
        let mut fake = runtime.called().await;
        assert!(fake.next().await["payload"].get("resume").is_none());
        fake.welcome(features).await;
        fake
    };
    let (client, fake) = tokio::join!(builder.connect(), welcome);
    (client.unwrap(), runtime, fake)
}

impl Runtime {
    /// The next connection, before its hello.
    pub async fn called(&mut self) -> Fake {
        Fake { end: self.calls.recv().await.expect("a client that connects"), seq: self.seq }
    }

    /// Whether the client has connected.
    pub fn is_called(&mut self) -> bool {
        !self.calls.is_empty()
    }

    /// The next connection, resumed: what the hello said, and the runtime's end. Numbers go on
    /// after what the client has.
    pub async fn resumed(&mut self, features: &[&str]) -> (Value, Fake) {
        let mut fake = self.called().await;
        let hello = fake.next().await;
        let resume = hello["payload"]["resume"].clone();
        fake.seq = resume["last_event_seq"].as_u64().expect("a resume");
        fake.raw(again(features)).await;
        (resume, fake)
    }
}

/// A session without heartbeats and acks, so that a test sees only what it is about.
pub async fn quiet() -> (Client, Fake) {
    opened(&FEATURES[2..]).await
}

/// A session with these features.
pub async fn opened(features: &[&str]) -> (Client, Fake) {
    let (builder, mut fake) = pair();
    let welcome = async {
        assert_eq!(fake.next().await["type"], "session.hello");
        fake.welcome(features).await;
    };
    let (client, ()) = tokio::join!(builder.connect(), welcome);
    (client.unwrap(), fake)
}

impl Fake {
    /// The next frame of the client; `None` when it has closed the connection.
    pub async fn recv(&mut self) -> Option<Value> {
        match poll_fn(|cx| self.end.poll_recv(cx)).await.unwrap() {
            Received::Frame(frame) => Some(serde_json::from_str(&frame).unwrap()),
            Received::Control | Received::Closed(_) => None,
        }
    }

    pub async fn next(&mut self) -> Value {
        self.recv().await.expect("a frame and not the end")
    }

    /// How the client closed the connection; what else it sends is skipped.
    pub async fn end(&mut self) -> Option<Close> {
        loop {
            if let Received::Closed(close) = poll_fn(|cx| self.end.poll_recv(cx)).await.unwrap() {
                return close;
            }
        }
    }

    pub async fn raw(&mut self, frame: String) {
        poll_fn(|cx| self.end.poll_ready(cx)).await.unwrap();
        self.end.send(frame).unwrap();
    }

    /// Sends a message; `more` are members of the envelope beside those that are always there.
    pub async fn send(&mut self, kind: &str, more: Value, payload: Value) {
        self.raw(message(kind, &more, &payload)).await;
    }

    pub async fn welcome(&mut self, features: &[&str]) {
        self.raw(welcome(features)).await;
    }

    /// Accepts a submit as `job`.
    pub async fn accept(&mut self, submit: &Value, job: &str) {
        let payload = json!({
            "job_id": job, "request_id": submit["id"], "agent": "echo@1.0.0",
            "accepted_at": "2026-05-13T19:30:00.000Z", "lease": submit["payload"]["lease_request"],
        });
        self.send("job.accepted", json!({"job_id": job}), payload).await;
    }

    /// Sends something numbered about `job`.
    pub async fn numbered(&mut self, kind: &str, job: &str, payload: Value) {
        self.seq += 1;
        self.send(kind, json!({"job_id": job, "event_seq": self.seq}), payload).await;
    }

    pub async fn event(&mut self, job: &str, kind: &str, body: Value) {
        let payload = json!({"kind": kind, "ts": "2026-05-13T19:42:13.000Z", "body": body});
        self.numbered("job.event", job, payload).await;
    }

    pub async fn thoughts(&mut self, job: &str, count: usize) {
        for n in 0..count {
            self.event(job, "thought", json!({"text": n.to_string()})).await;
        }
    }

    pub async fn result(&mut self, job: &str, result: Value) {
        self.numbered("job.result", job, json!({"final_status": "success", "result": result})).await;
    }

    /// Skips numbers: events that were lost.
    pub fn lose(&mut self, count: u64) {
        self.seq += count;
    }

    /// Closes the connection.
    pub async fn close(&mut self, close: Close) {
        poll_fn(|cx| self.end.poll_close(cx, &close)).await.unwrap();
    }
}

fn message(kind: &str, more: &Value, payload: &Value) -> String {
    let mut frame = json!({"arcp": "1.1", "type": kind, "session_id": SESSION, "payload": payload});
    for (key, value) in more.as_object().unwrap() {
        frame[key] = value.clone();
    }
    frame.to_string()
}

/// A welcome that names these features, and heartbeats every 30 s.
pub fn welcome(features: &[&str]) -> String {
    welcome_with(features, "rt")
}

/// The welcome of a resume: the token is another one.
pub fn again(features: &[&str]) -> String {
    welcome_with(features, "rt2")
}

fn welcome_with(features: &[&str], token: &str) -> String {
    let capabilities = json!({"encodings": ["json"], "features": features, "agents": ["echo"]});
    let payload = json!({
        "runtime": {"name": "fake", "version": "1"}, "resume_token": token, "resume_window_sec": 600,
        "heartbeat_interval_sec": 30, "capabilities": capabilities,
    });
    message("session.welcome", &json!({}), &payload)
}

/// Submits to `echo` and accepts it as [`JOB`].
pub async fn running(client: &Client, fake: &mut Fake) -> arcp_client::JobHandle {
    let accept = async {
        let submit = fake.next().await;
        assert_eq!(submit["type"], "job.submit");
        fake.accept(&submit, JOB).await;
    };
    let (job, ()) = tokio::join!(client.submit("echo").send(), accept);
    job.unwrap()
}
