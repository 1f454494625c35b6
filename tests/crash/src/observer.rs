//! A session that does one thing after the other, to see what a user sees of a disk that fails.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use crate::record::Record;
use crate::wire::{Answer, PATIENCE, Sort, Wire, is_store_failure, lock};
use crate::work::Work;

/// How long it waits before it tries again.
const PAUSE: Duration = Duration::from_millis(100);

/// A session; its record is checked as those of all others are.
#[derive(Debug)]
pub(crate) struct Observer {
    name: String,
    submits: u64,
    record: Arc<Mutex<Record>>,
    wire: Option<Box<Wire>>,
}

impl Observer {
    pub(crate) fn new(name: &str, record: Arc<Mutex<Record>>) -> Self {
        Self { name: name.to_owned(), submits: 0, record, wire: None }
    }

    pub(crate) fn violation(&self, what: &str) {
        lock(&self.record).violation(format!("{}: {what}", self.name));
    }

    fn sort() -> Sort {
        Sort { acks: false, draft: true }
    }

    /// What a hello is answered that comes from nowhere; `None` if it is welcome.
    pub(crate) async fn newcomer(url: &str) -> Result<Option<Value>> {
        match Wire::open(url, Self::sort(), None, &Mutex::default()).await? {
            Answer::Welcome(_) => Ok(None),
            Answer::Refused(answer) => Ok(Some(answer)),
        }
    }

    /// Opens the session, or resumes it; tries again while it is refused for now.
    pub(crate) async fn connect(&mut self, url: &str) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        self.wire = None;
        loop {
            let resume = {
                let record = lock(&self.record);
                let from = record.upto();
                let resume = json!({
                    "session_id": record.session, "resume_token": record.token, "last_event_seq": from,
                });
                (!record.session.is_empty()).then_some((resume, from))
            };
            match Wire::open(url, Self::sort(), resume, &self.record).await? {
                Answer::Welcome(wire) => {
                    self.wire = Some(wire);
                    return Ok(());
                }
                Answer::Refused(answer) if is_store_failure(&answer) && Instant::now() < until => {}
                Answer::Refused(answer) => bail!("{}: a resume was refused: {answer}", self.name),
            }
            sleep(PAUSE).await;
        }
    }

    fn wire(&mut self) -> Result<&mut Wire> {
        self.wire.as_deref_mut().with_context(|| format!("{} has no connection", self.name))
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.wire.is_some()
    }

    /// The next frame; `None` if there is none until then, or no connection any more.
    async fn frame(&mut self, until: Instant) -> Option<Value> {
        let wire = self.wire.as_deref_mut()?;
        match timeout_at(until, wire.text()).await {
            Err(_) => None,
            Ok(Err(code)) => {
                lock(&self.record).note(format!("closed with {code:?}"));
                self.wire = None;
                None
            }
            Ok(Ok(text)) => {
                wire.take(&text, &self.record);
                serde_json::from_str(&text).ok()
            }
        }
    }

    /// Reads until then; returns the numbered frames.
    pub(crate) async fn read_until(&mut self, until: Instant) -> Vec<Value> {
        let mut frames = Vec::new();
        while let Some(frame) = self.frame(until).await {
            frames.push(frame);
        }
        frames.retain(|frame| frame["event_seq"].is_u64());
        frames
    }

    /// The first frame that is so.
    pub(crate) async fn wait_for(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
        let until = Instant::now() + PATIENCE;
        while let Some(frame) = self.frame(until).await {
            if is(&frame) {
                return Ok(frame);
            }
        }
        bail!(
            "{}: {what} did not come, {}",
            self.name,
            if self.is_connected() { "in time" } else { "but the end" }
        )
    }

    /// Asks, and returns the answer.
    pub(crate) async fn ask(&mut self, kind: &str, payload: Value) -> Result<Value> {
        let id = self.wire()?.send(kind, &payload).await?;
        self.wait_for(kind, |frame| frame["payload"]["request_id"] == id.as_str()).await
    }

    pub(crate) async fn ping(&mut self) -> Result<()> {
        self.wire()?.send("session.ping", &json!({ "nonce": "still there" })).await?;
        self.wait_for("the pong", |frame| frame["type"] == "session.pong").await.map(drop)
    }

    /// The next submit under a key of its own.
    pub(crate) fn key(&mut self) -> String {
        self.submits += 1;
        format!("{}-{}", self.name, self.submits)
    }

    /// Submits once; returns the answer.
    pub(crate) async fn submit(&mut self, work: &Work) -> Result<Value> {
        lock(&self.record).submitted(&work.key);
        let wire = self.wire()?;
        let id = wire.submit(work).await?;
        self.wait_for("the answer to a submit", |frame| frame["payload"]["request_id"] == id.as_str()).await
    }

    /// Submits until it is accepted, and waits for the end of the job.
    pub(crate) async fn work(&mut self, url: &str, work: &Work) -> Result<Value> {
        let until = Instant::now() + PATIENCE;
        let accepted = loop {
            if !self.is_connected() {
                self.connect(url).await?;
            }
            match self.submit(work).await {
                Ok(answer) if answer["type"] == "job.accepted" => break answer,
                Ok(answer) if is_store_failure(&answer) && Instant::now() < until => {}
                Ok(answer) => bail!("{}: a submit was refused: {answer}", self.name),
                Err(e) if self.is_connected() || Instant::now() >= until => return Err(e),
                Err(_) => {}
            }
            sleep(PAUSE).await;
        };
        let job = accepted["payload"]["job_id"].as_str().unwrap_or_default().to_owned();
        self.end_of(url, &job).await
    }

    /// Waits until every job has ended.
    pub(crate) async fn drain(&mut self, url: &str) -> Result<()> {
        let open: Vec<String> = lock(&self.record).open().map(|(_, job)| job.clone()).collect();
        self.wire = None;
        for job in open {
            self.end_of(url, &job).await?;
        }
        Ok(())
    }

    /// The end of a job, which may have come already.
    async fn end_of(&mut self, url: &str, job: &str) -> Result<Value> {
        loop {
            if let Some(end) = lock(&self.record).end_of(job) {
                return Ok(end);
            }
            self.next_of(url, job).await?;
        }
    }

    /// The next event of a job, on this connection or another.
    pub(crate) async fn next_of(&mut self, url: &str, job: &str) -> Result<Value> {
        loop {
            if !self.is_connected() {
                self.connect(url).await?;
            }
            let is = |frame: &Value| frame["event_seq"].is_u64() && frame["job_id"] == job;
            match self.wait_for("an event of a job", is).await {
                Err(_) if !self.is_connected() => {}
                done => return done,
            }
        }
    }
}
