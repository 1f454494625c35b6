//! The ledger of provisioned credentials (§9.8, §14): what was issued has to be taken back, whatever
//! dies in between.

use crate::id::CredentialId;
use crate::{JobId, Timestamp};

/// Where a credential stands. It moves forward only, or to and fro between the two states of a
/// revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialState {
    /// It is about to be issued, or was and nobody has written it down yet.
    Intent,
    /// It was issued, and is in force.
    Live,
    /// It has to be revoked, and may still be in force.
    Revoking,
    /// It is in force no longer.
    Revoked,
    /// It could not be revoked, and somebody should see to it.
    Stuck,
}

impl CredentialState {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 5] = [Self::Intent, Self::Live, Self::Revoking, Self::Revoked, Self::Stuck];

    /// The state as a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Live => "live",
            Self::Revoking => "revoking",
            Self::Revoked => "revoked",
            Self::Stuck => "stuck",
        }
    }

    /// Whether `next` may follow. `Live` follows itself when another process takes the job over, and
    /// `Revoking` when a try failed.
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Intent => matches!(next, Self::Live | Self::Revoking),
            Self::Live => matches!(next, Self::Live | Self::Revoking),
            Self::Revoking => matches!(next, Self::Revoking | Self::Revoked | Self::Stuck),
            Self::Stuck => matches!(next, Self::Revoking),
            Self::Revoked => false,
        }
    }
}

/// One secret of a credential, as the service that issued it knows it. A credential that is rotated
/// has several.
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialRow {
    /// The name that the service knows it by: it is chosen before it is issued, and there is no
    /// second one.
    pub name: String,
    /// The credential, as the job knows it.
    pub id: CredentialId,
    /// The job that it was issued for.
    pub job: JobId,
    /// Whose job it is.
    pub principal: String,
    /// Which of the runtime's provisioners issued it.
    pub profile: String,
    /// Where it stands.
    pub state: CredentialState,
    /// Since when.
    pub since: Timestamp,
    /// The process that issues or holds it.
    pub owner: u64,
    /// What the service calls it itself, if that is something else; no secret.
    pub handle: Option<String>,
    /// The secret, sealed, while it is live.
    pub sealed: Option<Vec<u8>>,
    /// When something has to be done about it; `None` if never.
    pub due: Option<Timestamp>,
    /// How often revoking it was tried.
    pub tries: u32,
    /// What the last try said.
    pub error: Option<String>,
    /// When it was begun.
    pub created_at: Timestamp,
}

impl std::fmt::Debug for CredentialRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialRow")
            .field("name", &self.name)
            .field("id", &self.id)
            .field("job", &self.job)
            .field("state", &self.state)
            .field("due", &self.due)
            .field("tries", &self.tries)
            .finish_non_exhaustive()
    }
}

impl CredentialRow {
    /// The same in another state, from `now` on.
    pub fn into_state(mut self, state: CredentialState, now: Timestamp) -> Self {
        if self.state != state {
            (self.state, self.since) = (state, now);
        }
        self
    }
}

/// Which rows of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialQuery {
    /// Those of a job of a principal, whatever their state. There are few.
    OfJob {
        /// The principal.
        principal: String,
        /// The job.
        job: JobId,
    },
    /// Those of all principals that are due up to a time, the earliest first.
    Due {
        /// The time.
        until: Timestamp,
        /// How many at the most.
        limit: usize,
    },
    /// All of them, by name: for operators, and after a restart.
    All {
        /// Behind this name.
        after: Option<String>,
        /// How many at the most.
        limit: usize,
    },
}
