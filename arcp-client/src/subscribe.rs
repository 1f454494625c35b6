//! Watching a job of another session (§7.6).

use std::pin::Pin;
use std::task::{Context, Poll};

use arcp_core::wire::job::{Subscribe, Subscribed};
use arcp_core::{Envelope, Feature, JobId, MessageType};
use futures_core::Stream;

use crate::engine::{Command, Slot};
use crate::error::{Disconnected, JobError, RequestError};
use crate::follow::Follower;
use crate::jobs::JobEvent;
use crate::outcome::JobOutcome;
use crate::pending::Kind;
use crate::session::{Ask, Session};

/// A job that this client watches: a stream of its events, and what comes of it, as
/// [`JobHandle`](crate::JobHandle) has them. It cannot be cancelled from here.
///
/// When it is dropped, the job is watched no longer, unless another one of this client watches it, too.
#[derive(Debug)]
pub struct Subscription {
    session: Session,
    subscribed: Subscribed,
    follower: Follower,
    /// Whether the runtime was told that it is over.
    told: bool,
}

/// Subscribes to `job_id`: to what comes, and to what came after a number.
pub(crate) async fn subscribe(
    session: Session,
    job_id: JobId,
    after: Option<u64>,
) -> Result<Subscription, RequestError> {
    session.info().require(Feature::Subscribe)?;
    let mut subscribe = Subscribe::default();
    subscribe.job_id = Some(job_id.clone());
    // Without a number some runtimes replay nothing.
    (subscribe.history, subscribe.from_event_seq) = (after.is_some(), after);
    let message = Envelope::new(MessageType::Subscribe, &subscribe).map_err(RequestError::Invalid)?;
    let ask = Ask::new(Kind::Subscribe, message.with_job(job_id.clone()))?;
    let slot = |reply| Slot::Subscribe { feed: None, reply };
    let (subscribed, feed) = session.request(ask, slot).await?;
    let follower = Follower::new(&session, job_id, feed);
    Ok(Subscription { session, subscribed, follower, told: false })
}

impl Subscription {
    /// The job.
    pub fn id(&self) -> &JobId {
        &self.subscribed.job_id
    }

    /// Where the job stood, and its authority, when it was subscribed to.
    pub fn subscribed(&self) -> &Subscribed {
        &self.subscribed
    }

    /// Waits for the end of the job; events that nobody took are discarded. It may be dropped and
    /// called again, and says the same every time.
    ///
    /// # Errors
    /// `Ended` if the job ended badly, `Cut` if the connection was cut and the job may go on,
    /// `Damaged` if its result cannot be used: pieces of a streamed result that were sent before
    /// the subscription come only with its history.
    pub async fn result(&mut self) -> Result<JobOutcome, JobError> {
        self.follower.result().await
    }

    /// Watches the job no longer, as dropping it does; this waits until that is on its way. The runtime does
    /// not answer it.
    ///
    /// # Errors
    /// `Disconnected` if there is no connection any more.
    pub async fn unsubscribe(mut self) -> Result<(), RequestError> {
        let (job, feed) = (self.id().clone(), self.follower.feed());
        self.session.tell(Command::Unsubscribe { job, feed }).await?;
        self.told = true;
        Ok(())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if !self.told && !self.follower.is_over() {
            self.session.anchor().ledger.drop_feed(self.id().clone(), self.follower.feed());
        }
    }
}

impl Stream for Subscription {
    type Item = Result<JobEvent, Disconnected>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().follower.poll_event(cx)
    }
}
