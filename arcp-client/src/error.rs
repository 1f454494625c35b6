//! What can go wrong, by what it means for the caller.

use std::fmt;
use std::sync::Arc;

use arcp_core::job::FinalStatus;
use arcp_core::transport::Close;
use arcp_core::{Error, Feature, JobId};

/// Why no session came about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is none of the form `ws://host[:port]/path`, or `wss:` for TLS.
    #[error("the address must be ws://host[:port]/path, or wss:")]
    Url,
    /// The address asks for TLS, which is the feature `tls` of this crate, and was left out; an
    /// encrypted stream can be handed to [`Builder::over_streams`](crate::Builder::over_streams).
    #[error("this client was built without TLS")]
    Tls,
    /// A root certificate of [`Builder::root_certificate`](crate::Builder::root_certificate) is none.
    #[error("a root certificate must be one or more certificates as PEM")]
    RootCertificate,
    /// The connection could not be opened, or broke.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    /// The server does not speak WebSocket there.
    #[error("no WebSocket was opened: {0}")]
    Upgrade(String),
    /// The server answered the upgrade with this HTTP status: 401 and 403 come from what is in front of
    /// the runtime, 503 from one that is stopping.
    #[error("no WebSocket was opened: the server answers {0}")]
    Status(http::StatusCode),
    /// The runtime refused the session; the code says why, `UNAUTHENTICATED` for one.
    #[error("the runtime refused the session: {0}")]
    Refused(Error),
    /// The runtime closed the connection instead of answering, with these words if it had any.
    #[error("the runtime closed the connection before it welcomed this client")]
    Closed(Option<Close>),
    /// There was no answer in time.
    #[error("no session within the time allowed")]
    TimedOut,
    /// The runtime's welcome could not be read, or what came was no text.
    #[error("the runtime's answer cannot be read: {0}")]
    Unreadable(Error),
    /// The runtime opened another session than the one that
    /// [`Builder::resume_from`](crate::Builder::resume_from) names.
    #[error("the runtime opened another session instead of resuming")]
    OtherSession,
    /// The hello could not be made.
    #[error("the hello could not be made: {0}")]
    Hello(Error),
}

/// Why a request did not succeed. No job is harmed by it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The runtime refused.
    #[error("refused: {0}")]
    Refused(Error),
    /// It needs a feature that this session did not negotiate (§6.2), so it was not sent.
    #[error("the feature {} was not negotiated", .0.as_str())]
    NotNegotiated(Feature),
    /// It has no form that could be sent.
    #[error("not sent: {0}")]
    Invalid(Error),
    /// There was no answer in time. Whether the runtime acted is unknown; a submit with an
    /// idempotency key can be repeated without harm (§7.2).
    #[error("no answer within the time allowed")]
    TimedOut,
    /// Too many requests are unanswered; this one was not sent.
    #[error("too many requests are unanswered")]
    TooMany,
    /// The runtime's answer could not be read: it may have acted.
    #[error("the answer cannot be read: {0}")]
    Unreadable(Error),
    /// The connection ended first. Whether the runtime acted is unknown, even if the session is
    /// resumed.
    #[error(transparent)]
    Disconnected(#[from] Disconnected),
}

/// The connection ended. Jobs go on without it (§6.4, §6.7).
#[derive(Debug, Clone, PartialEq)]
pub struct Disconnected(Arc<Reason>);

impl Disconnected {
    pub(crate) fn new(reason: Reason) -> Self {
        Self(Arc::new(reason))
    }

    /// Why.
    pub fn reason(&self) -> &Reason {
        &self.0
    }
}

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "disconnected: {}", self.0)
    }
}

impl std::error::Error for Disconnected {}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The runtime closed it in an orderly way.
    #[error("closed by the runtime: {0}")]
    ClosedByPeer(Close),
    /// The runtime ended the session with an error that concerns all of it: `UNAUTHENTICATED`.
    #[error("ended by the runtime: {0}")]
    Ended(Error),
    /// It broke; for people.
    #[error("lost: {0}")]
    Lost(String),
    /// Nothing was heard for two heartbeat intervals (§6.4).
    #[error("nothing was heard for two heartbeat intervals")]
    HeartbeatLost,
    /// Events are missing: the session is broken (§8.3).
    #[error("event {expected} is missing: {arrived} came instead")]
    Gap {
        /// The number that should have come.
        expected: u64,
        /// The one that came.
        arrived: u64,
    },
    /// More events of a job waited to be taken than
    /// [`ClientConfig`](crate::ClientConfig) allows.
    #[error("too many events of {job_id} wait to be taken")]
    Overrun {
        /// The job.
        job_id: JobId,
    },
    /// It was lost, and the session could not be resumed (§6.3).
    #[error("{lost}; the session could not be resumed: {why}")]
    NotResumed {
        /// How it was lost.
        lost: Box<Reason>,
        /// Why that was the end.
        why: NotResumed,
    },
    /// This client closed it.
    #[error("closed by this client")]
    ClosedByUs,
    /// What came broke a rule of the transport.
    #[error("{0}")]
    Protocol(String),
}

/// Why a session that was lost could not be resumed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NotResumed {
    /// The runtime refused: `RESUME_WINDOW_EXPIRED`, `PERMISSION_DENIED` or `UNAUTHENTICATED`.
    #[error("{0}")]
    Refused(Error),
    /// The runtime opened another session instead.
    #[error("the runtime opened another one")]
    OtherSession,
    /// The time for it was over.
    #[error("given up after {attempts} attempts, the last of which failed: {last}")]
    GaveUp {
        /// Attempts that were made.
        attempts: u32,
        /// What the last one failed with; for people.
        last: String,
    },
}

impl Reason {
    /// Whether another connection may go better. A session that was closed on purpose, was taken
    /// over, or whose credentials are not accepted, is over; so is one whose frames cannot be read
    /// or kept, since a resume would bring the same frames again.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Lost(_) | Self::HeartbeatLost | Self::Gap { .. } => true,
            Self::ClosedByPeer(close) => matches!(
                close.code,
                Close::AWAY
                    | Close::ABNORMAL
                    | Close::INTERNAL
                    | Close::RESTART
                    | Close::TRY_LATER
                    | Close::LAGGING
            ),
            _ => false,
        }
    }

    /// How the transport is closed for it.
    pub(crate) fn close(&self) -> Close {
        let code = match self {
            Self::Protocol(_) | Self::Gap { .. } => Close::PROTOCOL,
            Self::Overrun { .. } => Close::POLICY,
            _ => Close::NORMAL,
        };
        Close::new(code, self.to_string())
    }
}

impl From<Error> for Reason {
    /// A frame of ours that could not be made: never in practice.
    fn from(error: Error) -> Self {
        Self::Protocol(error.message().to_owned())
    }
}

/// Why a job has no outcome here. These are all the ways there are.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum JobError {
    /// The job ended badly. Nothing follows.
    #[error(transparent)]
    Ended(JobFailure),
    /// The connection was cut before the job ended: **the job may go on**.
    #[error(transparent)]
    Cut(#[from] Disconnected),
    /// The job ended, but its result cannot be used: pieces of a streamed result are missing, it is
    /// larger than this client takes, or the last message cannot be read.
    #[error("the result cannot be used: {0}")]
    Damaged(Error),
}

/// A job that ended badly (§7.3).
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{error}")]
#[non_exhaustive]
pub struct JobFailure {
    /// `error`, `cancelled` or `timed_out`.
    pub final_status: FinalStatus,
    /// What went wrong.
    pub error: Error,
}
