//! Watching a job of another session (§7.6).

use std::pin::Pin;
use std::task::{Context, Poll};

use arcp_core::wire::job::{Subscribe, Subscribed, Unsubscribe};
use arcp_core::{Envelope, Feature, JobId, MessageType};
use futures_core::Stream;

use crate::engine::{Command, Slot};
use crate::error::{Disconnected, JobError, RequestError};
use crate::follow::Follower;
use crate::jobs::JobEvent;
use crate::outcome::JobOutcome;
use crate::pending::Kind;
use crate::random;
use crate::session::{Ask, Session};

/// A job that this client watches: a stream of its events, and what comes of it, as
/// [`JobHandle`](crate::JobHandle) has them. It cannot be cancelled from here.
///
/// When it is dropped, events go on coming and are acknowledged unseen;
/// [`Subscription::unsubscribe`] ends that.
#[derive(Debug)]
pub struct Subscription {
    session: Session,
    subscribed: Subscribed,
    follower: Follower,
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
    Ok(Subscription { session, subscribed, follower })
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

    /// Watches the job no longer. The runtime does not answer this.
    ///
    /// # Errors
    /// `Disconnected` if there is no connection any more.
    pub async fn unsubscribe(self) -> Result<(), RequestError> {
        let job = self.id().clone();
        let mut payload = Unsubscribe::default();
        payload.job_id = Some(job.clone());
        let message = Envelope::new(MessageType::Unsubscribe, &payload).map_err(RequestError::Invalid)?;
        let id = random::message_id().map_err(RequestError::Invalid)?;
        let frame = self.session.frame(&id, &message.with_job(job.clone()))?;
        let feed = self.follower.feed();
        self.session.tell(Command::Unsubscribe { job, feed, frame }).await
    }
}

impl Stream for Subscription {
    type Item = Result<JobEvent, Disconnected>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().follower.poll_event(cx)
    }
}
