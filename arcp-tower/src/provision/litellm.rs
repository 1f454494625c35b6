//! Virtual keys of a `LiteLLM` gateway (§9.8), and of others with the same key API: `/key/generate`,
//! `/key/delete`, `/key/list`, `/key/info`.
//!
//! | lease | key |
//! |---|---|
//! | `cost.budget`, `USD` | `max_budget`, less what a key before it has spent |
//! | `model.use` | `models` |
//! | `expires_at` | `duration` |
//!
//! Other currencies, and everything else, the gateway knows nothing of; the runtime enforces them.
//!
//! # Models
//!
//! A star of a key means more to the gateway than a lease's means: `openai/*` opens what is below it at any
//! depth, and the bare `gpt-4o` too if the gateway takes it for a model of that provider; what else is in
//! the entry is a regular expression. So only `**`, which is everything in both, is passed on as one. Any
//! other pattern becomes the names that it covers of [`LiteLlm::with_models`], and opens nothing where it
//! covers none of them.
//!
//! A name is passed on as it is, and means what the gateway calls so. If that is one of its *model access
//! groups*, it opens the whole group, and an alias opens whatever is behind it: a group's name should be no
//! name that a lease may use, nor be among those of [`LiteLlm::with_models`].
//!
//! # Budgets
//!
//! A key in the place of another one has what that one left, as the gateway counts it (`/key/info`); where
//! it does not say how much that is, no new key is issued, and the old one stays.
//!
//! The old one works until the new one is announced, and is revoked then. What it spends after the gateway
//! was asked, what calls cost that were under way, and what the gateway had not written down yet (it writes
//! in batches, some seconds apart) is in nobody's count, but for what the agent reports itself: every
//! rotation may cost as much beyond the budget as the old key had left, and the calls under way.
//! [`Config::rotation_rate`](crate::Config::rotation_rate) and
//! [`Config::max_rotations`](crate::Config::max_rotations) bound how often an agent can have one. Where
//! agents are not trusted with that, set the latter to 0: the runtime still rotates by itself, before
//! [`Config::credential_ttl`](crate::Config::credential_ttl) is over.

mod http;
mod key;
mod models;

use std::collections::BTreeMap;
use std::fmt;

use arcp_core::money::{Amount, Currency};
use futures_util::FutureExt as _;

use crate::credential::{
    CredentialProvisioner, Handle, Issue, Issued, ProvisionError, ProvisionFuture, Revocation, Secret,
};
use http::{Answer, Gateway};

/// Issues virtual keys of a gateway.
///
/// ```no_run
/// use arcp_tower::Runtime;
/// use arcp_tower::credential::Secret;
/// use arcp_tower::provision::litellm::LiteLlm;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let gateway = LiteLlm::new("https://gateway.example.com", &Secret::new(std::env::var("LITELLM_MASTER_KEY")?))?;
/// let builder = Runtime::builder().credentials("openai", gateway);
/// # let _ = builder;
/// # Ok(())
/// # }
/// ```
pub struct LiteLlm {
    gateway: Gateway,
    endpoint: String,
    currency: Currency,
    models: Vec<String>,
}

/// Why there is no such gateway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a gateway's address must be http:// or https:// with a host")]
pub struct InvalidGateway;

impl LiteLlm {
    /// The gateway at `base`, whose keys are managed with `admin`. Keys are valid at `base` with `/v1`
    /// behind it, and budgets are in `USD`.
    ///
    /// # Errors
    /// If `base` is no address.
    pub fn new(base: &str, admin: &Secret) -> Result<Self, InvalidGateway> {
        let base = base.trim_end_matches('/');
        let gateway = Gateway::new(base, admin).ok_or(InvalidGateway)?;
        let currency = "USD".parse().map_err(|_| InvalidGateway)?;
        Ok(Self { gateway, endpoint: format!("{base}/v1"), currency, models: Vec::new() })
    }

    /// Where agents find the gateway, if that is another address than the runtime's.
    pub fn with_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// The currency that the gateway counts in.
    pub fn with_currency(mut self, currency: Currency) -> Self {
        self.currency = currency;
        self
    }

    /// The names of the gateway's models. A lease's pattern, other than `**`, becomes those of them that it
    /// covers; of models that are not named here it opens none. The gateway's access groups are no models.
    ///
    /// ```
    /// # use arcp_tower::credential::Secret;
    /// # use arcp_tower::provision::litellm::{InvalidGateway, LiteLlm};
    /// let gateway = LiteLlm::new("https://gateway.example.com", &Secret::new("sk-admin"))?
    ///     .with_models(["tier-fast/gpt-4o-mini", "tier-fast/haiku"]);
    /// # let _ = gateway;
    /// # Ok::<(), InvalidGateway>(())
    /// ```
    pub fn with_models(mut self, models: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.models = models.into_iter().map(Into::into).collect();
        self
    }

    async fn generate(&self, issue: &Issue) -> Result<Issued, ProvisionError> {
        let budget = self.budget(issue).await?;
        if budget.is_some_and(Amount::is_exhausted) {
            return Err(ProvisionError::budget_exhausted("nothing is left of the job's budget"));
        }
        let models = issue.models.as_deref().map(|patterns| models::models(patterns, &self.models));
        let request = key::Generate::new(issue, budget, models.as_deref());
        let answer = self.gateway.post("/key/generate", &request).await?;
        let key: key::Generated = answer.expect("a key was generated")?;
        let mut constraints = issue.constraints();
        constraints.budget =
            budget.iter().map(|budget| format!("{}:{budget}", self.currency.as_str())).collect();
        constraints.models = models::patterns(models.unwrap_or_default());
        let mut issued = Issued::bearer(key.key, self.endpoint.as_str()).with_constraints(constraints);
        issued.handle = key.token_id.or(key.token).filter(|hash| hash != issued.value.expose());
        Ok(issued)
    }

    /// What a key may spend. The gateway counts what one before it spent, and knows best; if it does not
    /// say, that one stays.
    async fn budget(&self, issue: &Issue) -> Result<Option<Amount>, ProvisionError> {
        let Some(left) = issue.budget.get(&self.currency).copied() else { return Ok(None) };
        let Some(before) = &issue.replaces else { return Ok(Some(left)) };
        let info = self.info(before).await?;
        Ok(Some(info.left().ok_or_else(unsaid)?.min(left)))
    }

    async fn info(&self, key: &Handle) -> Result<key::Info, ProvisionError> {
        let hash = match &key.handle {
            Some(hash) => hash.clone(),
            None => self.hash(&key.name).await?,
        };
        let answer = self.gateway.get(&format!("/key/info?key={}", http::escape(&hash))).await?;
        answer.expect("a key's spending was asked for")
    }

    async fn spending(&self, key: &Handle) -> Result<Option<BTreeMap<Currency, Amount>>, ProvisionError> {
        let spent = self.info(key).await?.spent().ok_or_else(unsaid)?;
        Ok(Some([(self.currency.clone(), spent)].into()))
    }

    /// What the gateway calls a key of which it did not say so when it issued it.
    async fn hash(&self, name: &str) -> Result<String, ProvisionError> {
        let mut found = self.all(name).await?.into_iter().filter(|handle| handle.name == name);
        let unknown = || ProvisionError::transient("the key whose spending is asked for is not listed");
        found.find_map(|handle| handle.handle).ok_or_else(unknown)
    }

    async fn delete(&self, handle: &Handle) -> Result<Revocation, ProvisionError> {
        let answer = self.gateway.post("/key/delete", &key::Delete::of(handle)).await?;
        match answer {
            Answer { status: 200..300, .. } => Ok(Revocation::Done),
            Answer { status: 404, .. } => Ok(Revocation::Absent),
            // Older gateways say so with another status.
            answer if answer.says("no keys found") || answer.says("does not exist") => Ok(Revocation::Absent),
            answer => Err(answer.error("a key was deleted")),
        }
    }

    async fn all(&self, prefix: &str) -> Result<Vec<Handle>, ProvisionError> {
        let mut found = Vec::new();
        // Gateways differ in how they filter by alias, and none of them by its beginning.
        for page in 1..=key::MOST_PAGES {
            let path = format!("/key/list?page={page}&size=100&return_full_object=true");
            let keys: key::List = self.gateway.get(&path).await?.expect("keys were listed")?;
            let named = keys.keys.into_iter().filter_map(key::Listed::into_handle);
            found.extend(named.filter(|handle| handle.name.starts_with(prefix)));
            if page >= keys.total_pages {
                return Ok(found);
            }
        }
        Err(ProvisionError::permanent("the gateway has more keys than are looked through"))
    }
}

fn unsaid() -> ProvisionError {
    ProvisionError::transient("what a key has spent is not in the gateway's answer")
}

impl fmt::Debug for LiteLlm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiteLlm").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl CredentialProvisioner for LiteLlm {
    fn issue<'a>(&'a self, issue: &'a Issue) -> ProvisionFuture<'a, Issued> {
        self.generate(issue).boxed()
    }

    fn revoke<'a>(&'a self, handle: &'a Handle) -> ProvisionFuture<'a, Revocation> {
        self.delete(handle).boxed()
    }

    fn spent<'a>(&'a self, handle: &'a Handle) -> ProvisionFuture<'a, Option<BTreeMap<Currency, Amount>>> {
        self.spending(handle).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> ProvisionFuture<'a, Vec<Handle>> {
        self.all(prefix).boxed()
    }
}
