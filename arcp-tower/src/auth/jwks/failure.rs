//! Why there are no new keys.

/// Why a key set could not be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("no connection could be opened")]
    Unreachable,
    #[error("there was no answer in time")]
    TimedOut,
    #[error("the answer was lost")]
    Lost,
    #[error("the answer is not 200")]
    Status,
    #[error("the answer is too long, or was cut off")]
    Length,
    #[error("the answer is no key set")]
    Unreadable,
    #[error("the answer has too many keys")]
    TooMany,
}

impl Failure {
    /// In one word, for metrics.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timeout",
            Self::Lost => "lost",
            Self::Status => "status",
            Self::Length => "length",
            Self::Unreadable => "unreadable",
            Self::TooMany => "too_many",
        }
    }
}
