//! Listing jobs (§6.6).

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use arcp_core::job::Status;
use arcp_core::wire::session::{JobEntry, JobFilter, Jobs, ListJobs};
use arcp_core::{Envelope, Error, Feature, MessageType, Timestamp};
use futures_core::Stream;
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};

use crate::engine::Slot;
use crate::error::RequestError;
use crate::pending::Kind;
use crate::session::{Ask, Session};

/// Which jobs to list, and how many at a time. All that the runtime lets this client see, if
/// nothing is said.
#[derive(Debug, Clone, Default)]
#[must_use = "it lists nothing before `Client::list_jobs`"]
pub struct JobsFilter {
    filter: JobFilter,
    page: Option<u32>,
}

impl JobsFilter {
    /// Every job.
    pub fn new() -> Self {
        Self::default()
    }

    /// Jobs in one of these states.
    pub fn status(mut self, status: impl IntoIterator<Item = Status>) -> Self {
        self.filter.status = Some(status.into_iter().collect());
        self
    }

    /// Jobs of this agent; a bare name means every version of it.
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.filter.agent = Some(agent.into());
        self
    }

    /// Jobs that were accepted after this.
    pub fn created_after(mut self, at: Timestamp) -> Self {
        self.filter.created_after = Some(at);
        self
    }

    /// How many jobs the runtime may send in one answer, at least 1; what it likes if not set. The
    /// stream goes over all of them either way.
    pub fn page(mut self, jobs: u32) -> Self {
        self.page = Some(jobs.max(1));
        self
    }
}

/// Jobs as the runtime lists them. The next page is asked for when the one before was taken; an
/// error is the last item.
pub struct JobListing(BoxStream<'static, Result<JobEntry, RequestError>>);

impl JobListing {
    pub(crate) fn new(session: Session, filter: JobsFilter) -> Self {
        let JobsFilter { filter, page } = filter;
        let mut first = ListJobs::default();
        // Not as `null` or `{}`: some runtimes refuse that.
        first.filter = Some(filter).filter(|filter| *filter != JobFilter::default());
        first.limit = page;
        let pages = stream::try_unfold(Some(first), move |query| {
            let session = session.clone();
            async move {
                let Some(mut query) = query else { return Ok(None) };
                let Jobs { jobs, next_cursor, .. } = ask(&session, &query).await?;
                if next_cursor.is_some() && next_cursor == query.cursor {
                    let rule = "must not be the cursor that was asked with";
                    return Err(RequestError::Unreadable(Error::fault("next_cursor", rule)));
                }
                let next = next_cursor.map(|cursor| {
                    query.cursor = Some(cursor);
                    query
                });
                Ok(Some((stream::iter(jobs.into_iter().map(Ok)), next)))
            }
        });
        Self(pages.try_flatten().boxed())
    }
}

async fn ask(session: &Session, query: &ListJobs) -> Result<Jobs, RequestError> {
    session.info().require(Feature::ListJobs)?;
    let message = Envelope::new(MessageType::ListJobs, query).map_err(RequestError::Invalid)?;
    session.request(Ask::new(Kind::List, message)?, Slot::List).await
}

impl Stream for JobListing {
    type Item = Result<JobEntry, RequestError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl fmt::Debug for JobListing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobListing").finish_non_exhaustive()
    }
}
