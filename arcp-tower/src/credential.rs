//! Credentials that the runtime provisions for its jobs (§9.8): who issues them, and who takes them
//! back.
//!
//! A job's credential is limited as the job's lease is, so that the service where the money is spent
//! enforces the limit itself, whatever the agent reports. The runtime sees to the rest: it writes down
//! what it is about to issue before it asks for it, gives the secret to the agent and to the session
//! that submitted the job and to nobody else, and revokes it when the job ends, whatever dies in
//! between.
//!
//! A credential is worth what its job had when it was issued. What a child spends with one of its own is
//! asked for before the rest of its money goes back ([`CredentialProvisioner::spent`]); but what a job gives
//! away later is not taken out of a credential that it has already, and children that share their parent's
//! money each have a credential for all of it. The sum of a tree of jobs that tell nothing is bounded by a
//! budget of the gateway itself, for its user or its team.

mod budget;
mod error;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use arcp_core::id::CredentialId;
use arcp_core::money::{Amount, Currency};
use arcp_core::{JobId, Timestamp, TraceId};
use futures_util::future::BoxFuture;

pub use arcp_core::wire::credential::{BEARER, Constraints, Credential, Secret};
pub use budget::budget_exhausted;
pub use error::{ProvisionError, ProvisionErrorKind};

use crate::auth::Principal;

/// The future of a provisioner's answer.
pub type ProvisionFuture<'a, T> = BoxFuture<'a, Result<T, ProvisionError>>;

/// Issues credentials of one kind, such as the virtual keys of a gateway, and revokes them.
///
/// Every credential has a name that the runtime chooses before it is issued. Whatever is not known of
/// a call that failed is found out by that name, so an implementation has to be able to revoke by
/// name, and to list what there is. Calls are bounded by
/// [`Config::provision_timeout`](crate::Config::provision_timeout); one that takes longer is dropped.
///
/// ```
/// use arcp_tower::credential::*;
/// use futures_util::FutureExt as _;
///
/// /// Passwords of a service that takes any.
/// #[derive(Debug)]
/// struct Passwords;
///
/// impl CredentialProvisioner for Passwords {
///     fn issue<'a>(&'a self, issue: &'a Issue) -> ProvisionFuture<'a, Issued> {
///         let password = Secret::new(format!("password of {}", issue.name));
///         async move { Ok(Issued::bearer(password, "https://service.example/v1")) }.boxed()
///     }
///     fn revoke<'a>(&'a self, _: &'a Handle) -> ProvisionFuture<'a, Revocation> {
///         async { Ok(Revocation::Done) }.boxed()
///     }
///     fn list<'a>(&'a self, _: &'a str) -> ProvisionFuture<'a, Vec<Handle>> {
///         async { Ok(Vec::new()) }.boxed()
///     }
/// }
/// # let _ = arcp_tower::Runtime::builder().credentials("generic", Passwords);
/// ```
pub trait CredentialProvisioner: fmt::Debug + Send + Sync + 'static {
    /// Whether a job gets one. Every job does, unless this says otherwise.
    fn covers(&self, issue: &Issue) -> bool {
        let _ = issue;
        true
    }

    /// Issues a credential of the name, and with the limits, of `issue`.
    ///
    /// # Errors
    /// If it was not issued, or nobody knows: it is revoked by its name then.
    fn issue<'a>(&'a self, issue: &'a Issue) -> ProvisionFuture<'a, Issued>;

    /// Revokes a credential, by what the service calls it or by its name.
    ///
    /// # Errors
    /// If it may still be in force.
    fn revoke<'a>(&'a self, handle: &'a Handle) -> ProvisionFuture<'a, Revocation>;

    /// What was spent with a credential that is in force, by the service's own count; `None` if it keeps
    /// none, which is what a provisioner says that does not answer this itself.
    ///
    /// It is asked before a credential of a delegated job is revoked or replaced: as much, if the job
    /// reported less, does not go back to the job that delegated it (§10).
    ///
    /// # Errors
    /// If it is not known. Then nothing goes back.
    fn spent<'a>(&'a self, handle: &'a Handle) -> ProvisionFuture<'a, Option<BTreeMap<Currency, Amount>>> {
        let _ = handle;
        Box::pin(std::future::ready(Ok(None)))
    }

    /// The credentials whose name begins with `prefix`: all of them.
    ///
    /// # Errors
    /// If they are not known.
    fn list<'a>(&'a self, prefix: &'a str) -> ProvisionFuture<'a, Vec<Handle>>;
}

/// What is to be issued, and for whom.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Issue {
    /// Its name, which no other credential has: a digest of the job and the profile. It is no secret.
    pub name: String,
    /// What the job calls it.
    pub credential: CredentialId,
    /// What the provisioner was registered as.
    pub profile: String,
    /// The job.
    pub job: JobId,
    /// The job's agent, `name@version`.
    pub agent: String,
    /// Who submitted the job.
    pub principal: Principal,
    /// The job's trace.
    pub trace_id: TraceId,
    /// What is left of the job's budget, currency by currency; empty if it has none.
    pub budget: BTreeMap<Currency, Amount>,
    /// The models that the job may use; `None` if its lease does not say.
    pub models: Option<Vec<String>>,
    /// When the credential has to end by itself, at the latest.
    pub expires_at: Timestamp,
    /// The same, counted from now.
    pub ttl: Duration,
    /// The one that it takes the place of. What was spent with that one is spent.
    pub replaces: Option<Handle>,
}

impl Issue {
    /// A credential of `name` for a job without limits, until `expires_at`: what a provisioner is
    /// tested with.
    pub fn new(
        name: impl Into<String>,
        job: JobId,
        principal: Principal,
        expires_at: Timestamp,
        ttl: Duration,
    ) -> Self {
        Self {
            name: name.into(),
            credential: CredentialId::from_bits(0),
            profile: String::new(),
            job,
            agent: String::new(),
            principal,
            trace_id: TraceId::from_bits(1),
            budget: BTreeMap::new(),
            models: None,
            expires_at,
            ttl,
            replaces: None,
        }
    }

    /// The limits that a service can enforce which knows of money, models and time.
    pub fn constraints(&self) -> Constraints {
        let models = self.models.as_deref().unwrap_or_default();
        let constraints = Constraints::default().with_budget(&self.budget).with_models(models);
        constraints.with_expiry(self.expires_at)
    }
}

/// What was issued.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Issued {
    /// How it is presented.
    pub scheme: String,
    /// The secret.
    pub value: Secret,
    /// The base URL where it is valid.
    pub endpoint: String,
    /// What the service calls it, if that is not its name; no secret.
    pub handle: Option<String>,
    /// The limits that the service enforces, and no others (§9.8.3).
    pub constraints: Constraints,
}

impl Issued {
    /// A bearer token without limits.
    pub fn bearer(value: Secret, endpoint: impl Into<String>) -> Self {
        let (scheme, endpoint) = (BEARER.to_owned(), endpoint.into());
        Self { scheme, value, endpoint, handle: None, constraints: Constraints::default() }
    }

    /// With what the service calls it.
    pub fn with_handle(mut self, handle: impl Into<String>) -> Self {
        self.handle = Some(handle.into());
        self
    }

    /// With the limits that the service enforces.
    pub fn with_constraints(mut self, constraints: Constraints) -> Self {
        self.constraints = constraints;
        self
    }
}

/// A credential, as one asks the service that issued it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handle {
    /// Its name.
    pub name: String,
    /// What the service calls it, if that is known and something else.
    pub handle: Option<String>,
}

impl Handle {
    /// A credential, by its name.
    pub fn new(name: impl Into<String>, handle: Option<String>) -> Self {
        Self { name: name.into(), handle }
    }
}

/// What became of a credential that was to be revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// It is revoked.
    Done,
    /// There is none, or no longer.
    Absent,
}
