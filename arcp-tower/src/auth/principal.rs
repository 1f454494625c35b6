//! Whom a session acts for.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arcp_core::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{Scopes, Validity};

/// Whom a session acts for, and what for. Sessions and jobs of the same principal know of each other;
/// its name alone says who it is.
///
/// ```
/// use arcp_tower::auth::{Scope, Scopes};
/// use arcp_tower::Principal;
/// let dashboard = Principal::new("me@example.com").with_scopes([Scope::Observe]);
/// assert_eq!(dashboard, Principal::new("me@example.com"));
/// assert!(!dashboard.scopes().allow(Scope::Submit));
/// ```
#[derive(Debug, Clone)]
pub struct Principal {
    name: Arc<str>,
    scopes: Scopes,
    validity: Validity,
}

impl Principal {
    /// A principal by its name, that may submit jobs and observe them.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), scopes: Scopes::default(), validity: Validity::default() }
    }

    /// The same with these scopes instead.
    pub fn with_scopes(self, scopes: impl Into<Scopes>) -> Self {
        Self { scopes: scopes.into(), ..self }
    }

    /// The same until `at`, when its credentials end. A connection that they opened is closed then with
    /// `UNAUTHENTICATED`; its jobs go on, and its session can be resumed with others.
    pub fn until(mut self, at: Timestamp) -> Self {
        self.validity.until = Some(at);
        self
    }

    /// The same until `revoked` is cancelled: its credentials are taken back then, as by a logout or by an
    /// issuer that withdraws a key. Every connection that they opened is closed at once with
    /// `UNAUTHENTICATED`; its jobs go on, and its session can be resumed with others.
    ///
    /// ```
    /// use arcp_tower::Principal;
    /// use tokio_util::sync::CancellationToken;
    ///
    /// let login = CancellationToken::new();
    /// let principal = Principal::new("me@example.com").until_cancelled(login.clone());
    /// // When this login ends:
    /// login.cancel();
    /// # let _ = principal;
    /// ```
    pub fn until_cancelled(mut self, revoked: impl Into<Arc<CancellationToken>>) -> Self {
        self.validity.revoked = Some(revoked.into());
        self
    }

    /// The same for as long as `validity` says.
    pub(crate) fn valid(self, validity: Validity) -> Self {
        Self { validity, ..self }
    }

    /// How long its credentials count.
    pub(crate) fn validity(&self) -> &Validity {
        &self.validity
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its authenticator lets it do. A session may be continued with another token, of other
    /// scopes: those of now are [`SessionCtx::scopes`](crate::SessionCtx::scopes).
    pub fn scopes(&self) -> Scopes {
        self.scopes
    }

    /// When the credentials end that its authenticator saw, if they do.
    pub fn valid_until(&self) -> Option<Timestamp> {
        self.validity.until
    }
}

impl PartialEq for Principal {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Principal {}

impl PartialOrd for Principal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Principal {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name.cmp(&other.name)
    }
}

impl Hash for Principal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
