//! A job that this client submitted.

use std::pin::Pin;
use std::task::{Context, Poll};

use arcp_core::wire::credential::Credential;
use arcp_core::wire::job::{Accepted, Cancel};
use arcp_core::{Envelope, JobId, MessageType, TraceId};
use futures_core::Stream;

use crate::engine::Slot;
use crate::error::{Disconnected, JobError, RequestError};
use crate::follow::Follower;
use crate::jobs::{Feed, JobEvent};
use crate::outcome::JobOutcome;
use crate::pending::Kind;
use crate::session::{Ask, Session};

/// A job that this client submitted: a stream of its events, and what comes of it.
///
/// The stream ends when the job does; its last message is no item, [`JobHandle::result`] has it.
/// A connection that is lost and resumed makes no difference to it; if the session has ended, there
/// is one `Err` and then nothing. An event is acknowledged once it
/// was taken. A handle that is dropped lets the job go on; its events are then acknowledged unseen.
#[derive(Debug)]
pub struct JobHandle {
    session: Session,
    accepted: Accepted,
    trace_id: TraceId,
    follower: Follower,
}

impl JobHandle {
    pub(crate) fn new(session: Session, accepted: Accepted, trace_id: TraceId, feed: Feed) -> Self {
        let follower = Follower::new(&session, accepted.job_id.clone(), feed);
        let follower = follower.with_credentials(accepted.credentials.clone());
        Self { session, accepted, trace_id, follower }
    }

    /// The job.
    pub fn id(&self) -> &JobId {
        &self.accepted.job_id
    }

    /// What the runtime granted: the effective lease, its end, the budget.
    pub fn accepted(&self) -> &Accepted {
        &self.accepted
    }

    /// The credentials that were issued for the job (§9.8), with the values of the last rotation among the
    /// events that were taken: none, unless the client was built with
    /// [`Builder::credentials`](crate::Builder::credentials).
    pub fn credentials(&self) -> &[Credential] {
        self.follower.credentials()
    }

    /// The job's trace, as the runtime said it or as it was sent.
    pub fn trace_id(&self) -> TraceId {
        self.accepted.trace_id.unwrap_or(self.trace_id)
    }

    /// Waits for the end of the job; events that nobody took are discarded. It may be dropped and
    /// called again, and says the same every time.
    ///
    /// # Errors
    /// `Ended` if the job ended badly, `Cut` if the connection was cut and the job may go on,
    /// `Damaged` if its result cannot be used.
    pub async fn result(&mut self) -> Result<JobOutcome, JobError> {
        self.follower.result().await
    }

    /// Asks the runtime to end the job (§7.4), and waits until it says that it will, or until the
    /// job has ended. The end itself comes as [`JobHandle::result`], soon.
    ///
    /// # Errors
    /// [`RequestError`], `Refused` with `JOB_NOT_FOUND` or `PERMISSION_DENIED`.
    pub async fn cancel(&self, reason: Option<&str>) -> Result<(), RequestError> {
        cancel(&self.session, self.id(), reason).await
    }
}

/// Asks the runtime to end a job, and waits until it says that it will, or the job has ended.
pub(crate) async fn cancel(session: &Session, job: &JobId, reason: Option<&str>) -> Result<(), RequestError> {
    let reason = reason.unwrap_or("cancelled by the client").to_owned();
    let cancel = Cancel::new(job.clone(), Some(reason));
    let message = Envelope::new(MessageType::Cancel, &cancel).map_err(RequestError::Invalid)?;
    let ask = Ask::new(Kind::Cancel, message.with_job(job.clone()))?;
    session.request(ask, Slot::Cancel).await
}

impl Stream for JobHandle {
    type Item = Result<JobEvent, Disconnected>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().follower.poll_event(cx)
    }
}
