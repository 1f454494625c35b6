//! Following a job: its events, and what came of it. Handles and subscriptions share this.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arcp_core::chunk::Assembler;
use arcp_core::id::ResultId;
use arcp_core::wire::credential::{Credential, Rotated};
use arcp_core::wire::event::{CREDENTIAL_ROTATED, EventBody, ResultChunk};
use arcp_core::wire::job::JobResult;
use arcp_core::{Error, JobId};
use tokio::sync::watch;

use crate::error::{Disconnected, JobError};
use crate::jobs::{Feed, Item, JobEvent};
use crate::ledger::Ledger;
use crate::outcome::{JobOutcome, Terminal};
use crate::session::{Session, stopped};
use crate::status::ConnectionStatus;

/// One follower of one job.
#[derive(Debug)]
pub(crate) struct Follower {
    job_id: JobId,
    feed: Feed,
    ledger: Arc<Ledger>,
    status: watch::Receiver<ConnectionStatus>,
    streamed: Streamed,
    /// What was issued for the job, with the newest values.
    credentials: Vec<Credential>,
    end: Option<Result<JobOutcome, JobError>>,
    cut_said: bool,
}

impl Follower {
    pub(crate) fn new(session: &Session, job_id: JobId, feed: Feed) -> Self {
        let streamed = Streamed { most: session.config().streamed_bytes, ..Streamed::default() };
        let (status, ledger) = (session.status(), session.anchor().ledger.clone());
        Self { job_id, feed, ledger, status, streamed, credentials: Vec::new(), end: None, cut_said: false }
    }

    pub(crate) fn feed(&self) -> crate::jobs::FeedId {
        self.feed.id
    }

    /// The credentials are these, until one is rotated.
    pub(crate) fn with_credentials(mut self, credentials: Vec<Credential>) -> Self {
        self.credentials = credentials;
        self
    }

    pub(crate) fn credentials(&self) -> &[Credential] {
        &self.credentials
    }

    /// A credential has a new value (§9.8.2).
    fn rotated(&mut self, event: &JobEvent) {
        let Some(Rotated { id, value: Some(value), .. }) = event.rotated() else { return };
        if let Some(credential) = self.credentials.iter_mut().find(|credential| credential.id == id) {
            credential.value = value;
        }
    }

    /// Whether the job has ended for it, or the connection.
    pub(crate) fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// The next event; `None` once the job has ended, or after the one error that says that the
    /// connection was cut.
    pub(crate) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<JobEvent, Disconnected>>> {
        if self.end.is_none() {
            match ready!(self.feed.poll_next(cx, &self.ledger)) {
                Some(Item::Event(event, held)) => {
                    held.taken();
                    match &event.body {
                        EventBody::ResultChunk(chunk) => self.streamed.push(chunk),
                        EventBody::Status(status) if status.phase == CREDENTIAL_ROTATED => {
                            self.rotated(&event);
                        }
                        _ => {}
                    }
                    return Poll::Ready(Some(Ok(event)));
                }
                Some(Item::End(terminal, held)) => {
                    held.taken();
                    self.end = Some(self.ended(terminal));
                }
                None => {
                    let why = self.status.borrow().closed().cloned();
                    self.end = Some(Err(JobError::Cut(why.unwrap_or_else(stopped))));
                }
            }
        }
        Poll::Ready(match &self.end {
            Some(Err(JobError::Cut(why))) if !std::mem::replace(&mut self.cut_said, true) => {
                Some(Err(why.clone()))
            }
            _ => None,
        })
    }

    /// What came of the job. Events that nobody took are discarded.
    pub(crate) async fn result(&mut self) -> Result<JobOutcome, JobError> {
        loop {
            if let Some(end) = &self.end {
                return end.clone();
            }
            let _ = poll_fn(|cx| self.poll_event(cx)).await;
        }
    }

    fn ended(&mut self, terminal: Terminal) -> Result<JobOutcome, JobError> {
        let result = match terminal {
            Terminal::Success(result) => *result,
            Terminal::Failure(failure) => return Err(JobError::Ended(failure)),
            Terminal::Unreadable(error) => return Err(JobError::Damaged(error)),
        };
        let streamed = std::mem::take(&mut self.streamed).finish(&result).map_err(JobError::Damaged)?;
        Ok(JobOutcome {
            job_id: self.job_id.clone(),
            result: result.result.or(result.output).filter(|json| !json.is_null()),
            result_id: result.result_id,
            result_size: result.result_size,
            summary: result.summary,
            completed_at: result.completed_at,
            streamed: streamed.map(Arc::new),
        })
    }
}

/// A streamed result as it comes in (§8.4).
#[derive(Debug, Default)]
struct Streamed {
    assembler: Assembler,
    id: Option<ResultId>,
    damage: Option<Error>,
    most: usize,
}

impl Streamed {
    fn push(&mut self, chunk: &ResultChunk) {
        if self.damage.is_some() {
            return;
        }
        self.id.get_or_insert_with(|| chunk.result_id.clone());
        if let Err(error) = self.assembler.push(chunk, self.most) {
            self.damage = Some(error);
            // What came so far is of no use.
            self.assembler = Assembler::default();
        }
    }

    /// The bytes, if the result was streamed at all.
    fn finish(self, result: &JobResult) -> Result<Option<Vec<u8>>, Error> {
        if let Some(damage) = self.damage {
            return Err(damage);
        }
        let damaged = |rule: &str| Err(Error::fault("result_chunk", rule));
        match (&self.id, &result.result_id) {
            (None, None) => return Ok(None),
            (None, Some(_)) => return damaged("the streamed result did not come to this session"),
            (Some(ours), Some(theirs)) if ours != theirs => return damaged("must be of the job's result"),
            _ => {}
        }
        match self.assembler.finish() {
            Some(bytes) => Ok(Some(bytes)),
            None => damaged("the last piece of the result is missing"),
        }
    }
}
