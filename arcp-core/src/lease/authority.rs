//! A lease in force: its patterns compiled, and the end of its time (§9.3, §9.5).

use std::collections::BTreeMap;
use std::time::Duration;

use super::grants::Grants;
use super::subset::{self, ModelUse};
use super::{Lease, Namespace, Pattern, Target};
use crate::money::{Amount, Currency};
use crate::{Code, Error, Json, Timestamp};

/// What a job may do. It grants nothing that its lease does not name.
///
/// The checks of an operation come in this order: [`Authority::expired`], then
/// [`Budget::check`](super::Budget::check), then [`Authority::check`].
///
/// ```
/// use arcp_core::lease::{Authority, Lease, Namespace, Target};
/// let lease: Lease = serde_json::from_str(r#"{"fs.read":["/ws/**"]}"#).unwrap();
/// let authority = Authority::new(&lease, None).unwrap();
/// let target = Target::parse(&Namespace::FsRead, "/ws/src/../Cargo.toml").unwrap();
/// assert_eq!(authority.check(&Namespace::FsRead, &target).into_result(), Ok("/ws/**"));
/// let denied = authority.check(&Namespace::FsWrite, &target).into_result().unwrap_err();
/// assert_eq!(denied.message(), "the lease has no fs.write for /ws/Cargo.toml");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Authority {
    pub(super) grants: BTreeMap<Namespace, Grants>,
    pub(super) budget: BTreeMap<Currency, Amount>,
    pub(super) expires_at: Option<Timestamp>,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an operation that was not allowed must not happen"]
pub enum Verdict<'a> {
    /// The operation is covered.
    Allowed {
        /// By this grant, as it was written.
        grant: &'a str,
    },
    /// It is not.
    Denied {
        /// The namespace that was asked.
        namespace: &'a Namespace,
        /// The canonical target.
        target: &'a str,
        /// The grant of that namespace which begins most like the target.
        nearest: Option<&'a str>,
    },
}

impl Authority {
    /// Compiles `lease`. Duplicate patterns count once, and an empty list grants nothing.
    ///
    /// # Errors
    /// `INVALID_REQUEST` that names the namespace and the rule, as [`Lease::validate`] does.
    pub fn new(lease: &Lease, expires_at: Option<Timestamp>) -> Result<Self, Error> {
        let grants = lease.compile()?.into_iter().map(|(name, patterns)| (name, Grants::new(patterns)));
        Ok(Self { grants: grants.collect(), budget: lease.budget()?, expires_at })
    }

    /// When it ends, if it does.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// The budget's counters as they were at the start.
    pub fn budget(&self) -> &BTreeMap<Currency, Amount> {
        &self.budget
    }

    /// The grants of `namespace`, in the order of what their targets begin with.
    pub fn grants(&self, namespace: &Namespace) -> &[Pattern] {
        self.grants.get(namespace).map_or(&[], Grants::as_slice)
    }

    /// Whether its time is over at `now`, `grace` for the skew of clocks included.
    pub fn expired(&self, now: Timestamp, grace: Duration) -> bool {
        self.expires_at.is_some_and(|at| now >= at.plus(grace))
    }

    /// Whether a grant of `namespace` covers `target`.
    pub fn check<'a>(&'a self, namespace: &'a Namespace, target: &'a Target<'_>) -> Verdict<'a> {
        let grants = self.grants.get(namespace);
        if let Some(grant) = grants.and_then(|grants| grants.find(target)) {
            return Verdict::Allowed { grant: grant.as_str() };
        }
        let nearest = grants.and_then(|grants| grants.nearest(target)).map(Pattern::as_str);
        Verdict::Denied { namespace, target: target.as_str(), nearest }
    }

    /// Whether a child job may have `child` (§9.4), when `remaining` is left of this job's budget.
    /// A child without an end, or without a budget, has its parent's: [`Authority::within`].
    ///
    /// # Errors
    /// `LEASE_SUBSET_VIOLATION` whose message and `details` name the namespace and the pattern.
    pub fn covers(
        &self,
        child: &Self,
        remaining: &BTreeMap<Currency, Amount>,
        models: ModelUse,
    ) -> Result<(), Error> {
        subset::check(self, child, remaining, models)
    }

    /// This child's authority, with its parent's end if that is earlier or the only one.
    pub fn within(mut self, parent: &Self) -> Self {
        let ends = [self.expires_at, parent.expires_at];
        self.expires_at = ends.into_iter().flatten().min();
        self
    }
}

impl<'a> Verdict<'a> {
    /// Whether the operation is covered.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }

    /// The grant, or the error that the operation fails with.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` with `namespace`, `target` and, if there is one, `nearest` in `details`.
    pub fn into_result(self) -> Result<&'a str, Error> {
        #[derive(serde::Serialize)]
        struct Details<'a> {
            namespace: &'a Namespace,
            target: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            nearest: Option<&'a str>,
        }
        match self {
            Self::Allowed { grant } => Ok(grant),
            Self::Denied { namespace, target, nearest } => {
                let message = format!("the lease has no {} for {target}", namespace.as_str());
                let details = Json::of(&Details { namespace, target, nearest });
                let error = Error::new(Code::PermissionDenied, message);
                Err(details.into_iter().fold(error, Error::with_details))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(json: &str) -> Authority {
        Authority::new(&serde_json::from_str(json).unwrap(), None).unwrap()
    }

    #[test]
    fn a_denial_names_the_nearest_grant() {
        let authority = authority(r#"{"fs.read":["/etc/hosts","/ws/src/**","/ws/doc/*"],"tool.call":[]}"#);
        let denial = |namespace: Namespace, text: &str| {
            let target = Target::parse(&namespace, text).unwrap();
            authority.check(&namespace, &target).into_result().unwrap_err()
        };
        let denied = denial(Namespace::FsRead, "/ws/doc/a/b");
        assert_eq!(denied.code(), Code::PermissionDenied);
        assert_eq!(
            denied.details().unwrap().as_str(),
            r#"{"namespace":"fs.read","target":"/ws/doc/a/b","nearest":"/ws/doc/*"}"#
        );
        let denied = denial(Namespace::ToolCall, "x");
        assert_eq!(denied.details().unwrap().as_str(), r#"{"namespace":"tool.call","target":"x"}"#);
    }

    #[test]
    fn a_target_of_another_kind_is_denied() {
        let authority = authority(r#"{"fs.read":["/**"],"tool.call":["**"]}"#);
        let path = Target::parse(&Namespace::FsRead, "/a").unwrap();
        let name = Target::parse(&Namespace::ToolCall, "/a").unwrap();
        assert!(!authority.check(&Namespace::ToolCall, &path).is_allowed());
        assert!(!authority.check(&Namespace::FsRead, &name).is_allowed());
    }

    #[test]
    fn authority_ends_at_its_end_and_a_grace() {
        let (at, second) = (Timestamp::from_millis(10_000), Duration::from_secs(1));
        let authority = Authority::new(&Lease::default(), Some(at)).unwrap();
        let expired = |millis| authority.expired(Timestamp::from_millis(millis), second);
        assert!(!expired(10_999) && expired(11_000));
        assert!(authority.expired(at, Duration::ZERO));
        assert!(!Authority::default().expired(at, Duration::ZERO));
    }

    #[test]
    fn a_child_ends_with_its_parent_at_the_latest() {
        let ends =
            |at: Option<i64>| Authority::new(&Lease::default(), at.map(Timestamp::from_millis)).unwrap();
        let within = |child, parent| ends(child).within(&ends(parent)).expires_at().map(Timestamp::as_millis);
        assert_eq!(within(None, None), None);
        assert_eq!(within(None, Some(5)), Some(5));
        assert_eq!(within(Some(4), None), Some(4));
        assert_eq!(within(Some(4), Some(5)), Some(4));
    }
}
