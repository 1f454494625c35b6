//! The life of a session: connections that come and go, and what is asked on them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::record::Record;
use crate::rng::Rng;
use crate::wire::{Answer, Code, Sort, Wire, is_store_failure, lock};
use crate::work::Work;

/// Keys of others that may be used again.
const KNOWN: usize = 64;
/// How long what is left of a connection is read that was given up.
const TAIL: Duration = Duration::from_secs(10);
/// The close code of a server that failed.
const INTERNAL: u16 = 1011;
const NEVER: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Jobs are submitted and connections cut.
    Busy,
    /// What was begun is waited for.
    Drain,
    /// The connection that is there is the last.
    Over,
}

/// What all sessions are told.
#[derive(Debug, Clone)]
pub(crate) struct Now {
    pub(crate) url: Option<String>,
    pub(crate) phase: Phase,
}

/// What sessions share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The disk fails now and then: connections may end, and resumes be put off.
    outages: bool,
    known: Mutex<VecDeque<Work>>,
    pub(crate) counts: Mutex<Counts>,
}

impl Shared {
    pub(crate) fn new(outages: bool) -> Self {
        Self { outages, ..Self::default() }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) resumes: u64,
    pub(crate) ghosts: u64,
    /// Resumes that were refused for now.
    pub(crate) put_off: u64,
    /// How the server closed connections.
    pub(crate) closes: BTreeMap<u16, u64>,
}

pub(crate) struct Client {
    name: u64,
    sort: Sort,
    most: usize,
    rng: Rng,
    record: Arc<Mutex<Record>>,
    shared: Arc<Shared>,
    now: watch::Receiver<Now>,
    /// Submits without an answer.
    pending: Vec<Work>,
    submits: u64,
}

impl Client {
    pub(crate) fn new(
        name: u64,
        most: usize,
        rng: Rng,
        record: Arc<Mutex<Record>>,
        shared: Arc<Shared>,
        now: watch::Receiver<Now>,
    ) -> Self {
        let sort = Sort { acks: name.is_multiple_of(2), draft: name % 4 < 2 };
        Self { name, sort, most, rng, record, shared, now, pending: Vec::new(), submits: 0 }
    }

    /// Lives until everything is over, or a resume was refused.
    pub(crate) async fn run(mut self) {
        loop {
            let Now { url, phase } = self.now.borrow_and_update().clone();
            let Some(url) = url else {
                if phase == Phase::Over || self.now.changed().await.is_err() {
                    return;
                }
                continue;
            };
            if phase == Phase::Busy && self.rng.percent(12) {
                self.ghost(&url).await;
            }
            let resume = self.resume();
            let again = resume.is_some();
            match Wire::open(&url, self.sort, resume, &self.record).await {
                Ok(Answer::Welcome(wire)) => {
                    lock(&self.shared.counts).resumes += u64::from(again);
                    self.connected(wire).await;
                }
                Ok(Answer::Refused(answer)) if self.shared.outages && is_store_failure(&answer) => {
                    lock(&self.shared.counts).put_off += 1;
                    sleep(self.rng.millis(50..300)).await;
                }
                Ok(Answer::Refused(answer)) => {
                    return lock(&self.record).violation(format!("a resume was refused: {answer}"));
                }
                // The server is down, or the connection was lost in between.
                Err(_) => sleep(self.rng.millis(5..50)).await,
            }
        }
    }

    /// The resume that has all that came, or pretends to have a little less.
    fn resume(&mut self) -> Option<(Value, u64)> {
        let mut record = lock(&self.record);
        if record.session.is_empty() {
            return None;
        }
        let mut from = record.upto();
        if self.rng.percent(20) {
            from = self.rng.within(record.acked.max(from.saturating_sub(500))..from + 1);
        }
        let token = &record.token[record.token.len().saturating_sub(4)..];
        let note = format!("resumes from {from} of {} with token ..{token}", record.upto());
        record.note(note);
        let resume = json!({
            "session_id": record.session, "resume_token": record.token, "last_event_seq": from,
        });
        Some((resume, from))
    }

    async fn ghost(&mut self, url: &str) {
        let Some((resume, _)) = self.resume() else { return };
        let alive = self.rng.millis(0..8);
        if Wire::ghost(url, self.sort, resume, alive).await.is_ok() {
            lock(&self.shared.counts).ghosts += 1;
            lock(&self.record).note(format!("gave up after {} ms", alive.as_millis()));
        }
    }

    async fn connected(&mut self, mut wire: Box<Wire>) {
        match self.live(&mut wire).await {
            Err(code) => closed(&self.shared, &self.record, code),
            // Half of the time the server does not learn that the connection was given up.
            Ok(()) if self.rng.percent(50) => {
                let (record, shared) = (self.record.clone(), self.shared.clone());
                tokio::spawn(timeout(TAIL, async move {
                    loop {
                        match wire.text().await {
                            Ok(text) => wire.take(&text, &record),
                            Err(code) => return closed(&shared, &record, code),
                        }
                    }
                }));
            }
            Ok(()) => {}
        }
    }

    /// Uses a connection until it is cut, `Ok`, or ends.
    async fn live(&mut self, wire: &mut Wire) -> Result<(), Code> {
        let cut = self.rng.millis(20..1200);
        let cut = if self.now.borrow().phase == Phase::Busy { cut } else { NEVER };
        let mut cut = Instant::now() + cut;
        let mut act = Instant::now() + self.rng.millis(0..30);
        loop {
            tokio::select! {
                text = wire.text() => wire.take(&text?, &self.record),
                () = sleep_until(act) => {
                    self.act(wire).await.map_err(|_| None)?;
                    act = Instant::now() + self.rng.millis(5..60);
                }
                () = sleep_until(cut) => return Ok(()),
                Ok(()) = self.now.changed() => {
                    if self.now.borrow().phase != Phase::Busy {
                        cut = Instant::now() + NEVER;
                    }
                }
            }
        }
    }

    /// Asks for something.
    async fn act(&mut self, wire: &mut Wire) -> Result<()> {
        self.answered();
        if let Some(work) = self.pending.iter().find(|work| !wire.awaits(&work.key)).cloned() {
            // Its answer was lost.
            return self.submit(wire, work).await;
        }
        let phase = self.now.borrow().phase;
        if phase == Phase::Busy {
            let open = lock(&self.record).open().count() + self.pending.len();
            if open < self.most {
                self.submits += 1;
                let work = Work::any(format!("s{}-{}", self.name, self.submits), &mut self.rng);
                return self.submit(wire, work).await;
            }
            if self.rng.percent(4)
                && let Some(work) = self.known()
            {
                return self.submit(wire, work).await;
            }
        }
        if self.sort.acks && self.rng.percent(50) {
            let seq = {
                let mut record = lock(&self.record);
                let most = wire.high.min(record.upto());
                let seq = self.rng.within(record.acked.min(most)..most + 1);
                record.acked = record.acked.max(seq);
                seq
            };
            return wire.ack(seq).await;
        }
        Ok(())
    }

    async fn submit(&mut self, wire: &mut Wire, work: Work) -> Result<()> {
        lock(&self.record).submitted(&work.key);
        if !self.pending.iter().any(|pending| pending.key == work.key) {
            self.pending.push(work.clone());
        }
        wire.submit(&work).await.map(drop)
    }

    /// Forgets submits that were answered; others may use their keys.
    fn answered(&mut self) {
        let record = lock(&self.record);
        let mut known = lock(&self.shared.known);
        self.pending.retain(|work| {
            let answered = record.job_of(&work.key).is_some();
            if answered {
                known.push_back(work.clone());
            }
            !answered
        });
        while known.len() > KNOWN {
            known.pop_front();
        }
    }

    /// A submit that some session made.
    fn known(&mut self) -> Option<Work> {
        let known = lock(&self.shared.known);
        let at = self.rng.within(0..known.len() as u64);
        known.get(usize::try_from(at).ok()?).cloned()
    }
}

fn closed(shared: &Shared, record: &Mutex<Record>, code: Code) {
    if code == Some(INTERNAL) && !shared.outages {
        lock(record).violation("the server could not go on with a connection");
    }
    lock(record).note(format!("closed with {code:?}"));
    if let Some(code) = code {
        *lock(&shared.counts).closes.entry(code).or_default() += 1;
    }
}
