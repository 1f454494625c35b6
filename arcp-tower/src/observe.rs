//! Whose jobs a principal may know of, beside its own (§6.6, §7.6).

use std::fmt;

use crate::auth::Principal;

/// What a principal may do with the jobs of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// See them in listings. Watching them is `PERMISSION_DENIED`.
    List,
    /// And watch them. Cancelling them stays with who submitted them, and with a session that has
    /// [`Scope::Admin`](crate::Scope::Admin).
    Watch,
}

/// A principal whose jobs another one may know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Whose jobs.
    pub principal: Principal,
    /// And how far.
    pub access: Access,
}

impl Observed {
    /// The jobs of `principal`, as far as `access` goes.
    pub fn new(principal: Principal, access: Access) -> Self {
        Self { principal, access }
    }
}

/// Decides whose jobs a principal may know of, beside its own. A job that it may not know of is to
/// it as one that never was. Asked for each listing, subscription and resume, so it should answer
/// from memory; the first [`Config::max_observed`](crate::Config::max_observed) count.
///
/// Functions are policies:
///
/// ```
/// use arcp_tower::{Access, Observed, Principal, Runtime};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // The dashboard watches what the nightly runs do.
/// let policy = |observer: &Principal| match observer.name() {
///     "dashboard" => vec![Observed::new(Principal::new("nightly"), Access::Watch)],
///     _ => Vec::new(),
/// };
/// let runtime = Runtime::builder().observe(policy).build().unwrap();
/// # let _ = runtime;
/// # }
/// ```
pub trait ObservePolicy: Send + Sync + 'static {
    /// Whose jobs `observer` may know of.
    fn observed(&self, observer: &Principal) -> Vec<Observed>;
}

impl<F: Fn(&Principal) -> Vec<Observed> + Send + Sync + 'static> ObservePolicy for F {
    fn observed(&self, observer: &Principal) -> Vec<Observed> {
        self(observer)
    }
}

/// The policy of a runtime that was given none: nobody else's jobs.
#[derive(Debug, Clone, Copy, Default)]
pub struct SamePrincipal;

impl ObservePolicy for SamePrincipal {
    fn observed(&self, _: &Principal) -> Vec<Observed> {
        Vec::new()
    }
}

impl fmt::Debug for dyn ObservePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObservePolicy")
    }
}
