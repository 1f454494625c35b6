//! A job of a session that another client began (§6.3).

use std::pin::Pin;
use std::task::{Context, Poll};

use arcp_core::JobId;
use futures_core::Stream;

use crate::error::{Disconnected, JobError, RequestError};
use crate::follow::Follower;
use crate::job::cancel;
use crate::jobs::JobEvent;
use crate::outcome::JobOutcome;
use crate::session::Session;

/// A job of this session that this client did not submit itself, because
/// [`Builder::resume_from`](crate::Builder::resume_from) continued the session: a stream of its
/// events, and what comes of it, as [`JobHandle`](crate::JobHandle) has them.
///
/// When it is dropped, events go on coming and are acknowledged unseen.
#[derive(Debug)]
pub struct AttachedJob {
    session: Session,
    job_id: JobId,
    follower: Follower,
}

impl AttachedJob {
    pub(crate) async fn new(session: Session, job_id: JobId) -> Result<Self, RequestError> {
        let feed = session.attach(job_id.clone()).await?;
        let follower = Follower::new(&session, job_id.clone(), feed);
        Ok(Self { session, job_id, follower })
    }

    /// The job.
    pub fn id(&self) -> &JobId {
        &self.job_id
    }

    /// Waits for the end of the job; events that nobody took are discarded. It may be dropped and
    /// called again, and says the same every time.
    ///
    /// # Errors
    /// `Ended` if the job ended badly, `Cut` if the session was cut off and the job may go on,
    /// `Damaged` if its result cannot be used: pieces of a streamed result that the client before
    /// this one took do not come again.
    pub async fn result(&mut self) -> Result<JobOutcome, JobError> {
        self.follower.result().await
    }

    /// Asks the runtime to end the job (§7.4), as [`JobHandle::cancel`](crate::JobHandle::cancel).
    ///
    /// # Errors
    /// [`RequestError`], `Refused` with `JOB_NOT_FOUND` or, if the session only watches the job,
    /// `PERMISSION_DENIED`.
    pub async fn cancel(&self, reason: Option<&str>) -> Result<(), RequestError> {
        cancel(&self.session, &self.job_id, reason).await
    }
}

impl Stream for AttachedJob {
    type Item = Result<JobEvent, Disconnected>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().follower.poll_event(cx)
    }
}
