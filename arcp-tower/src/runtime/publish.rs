//! From an agent to the log of its job: the innermost of its event services.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use arcp_core::log::Ended;
use arcp_core::{Code, Error};
use tower_service::Service;

use super::JobStream;
use crate::service::{Emit, SessionCtx};

/// The innermost event service of a job: appends to its log. It is ready while the submitting
/// session has room for what waits to be sent.
#[derive(Debug, Clone)]
pub struct Publish {
    pub(super) log: Arc<JobStream>,
    /// The session that submitted the job, if that is sent its events.
    pub(super) session: Option<SessionCtx>,
    /// Events that may wait to be written.
    pub(super) max_unwritten: usize,
}

impl Service<Emit> for Publish {
    type Response = ();
    type Error = Error;
    type Future = Ready<Result<(), Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let room = self.log.has_room(self.max_unwritten, cx)
            && self.session.as_ref().is_none_or(|session| session.has_room(cx));
        if room { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, Emit(event): Emit) -> Self::Future {
        // Before the append: once the event is there, it may be sent at any moment.
        let bytes = event.payload.as_str().len();
        let spent = self.session.as_ref().filter(|session| session.spent(bytes));
        let appended = self.log.append(event).map(drop);
        if let (Err(Ended), Some(session)) = (&appended, spent) {
            session.unspent(bytes);
        }
        ready(appended.map_err(|Ended| {
            if self.log.broken().is_cancelled() {
                Error::new(Code::InternalError, "the job's events cannot be kept")
                    .with_detail("reason", "store")
            } else {
                Error::new(Code::Cancelled, "the job has ended")
            }
        }))
    }
}
