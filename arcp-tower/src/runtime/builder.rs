//! Building a runtime.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arcp_core::agent::{AgentRef, FIRST_VERSION, InvalidAgentRef, Inventory};
use arcp_core::store::{Hash, Store};
use arcp_core::wire::session::Party;
use arcp_core::{Feature, Features};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use super::credential::{Credentials, Provisioners};
use super::registry::Registry;
use super::{FEATURES, Inner, Journal, Runtime, Sessions};
use crate::agent::Agent;
use crate::config::Config;
use crate::credential::CredentialProvisioner;
use crate::observe::{ObservePolicy, SamePrincipal};

/// Builds a [`Runtime`].
#[must_use = "a builder does nothing before `build`"]
pub struct Builder {
    agents: Vec<(String, Arc<dyn Agent>)>,
    restartable: Vec<String>,
    store: Option<Arc<dyn Store>>,
    observe: Arc<dyn ObservePolicy>,
    provisioners: Provisioners,
    credential_key: Option<Hash>,
    config: Config,
    party: Party,
}

/// Why there is no runtime.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// An agent's name is none.
    #[error("{name:?} {rule}")]
    Name {
        /// The name.
        name: String,
        /// What it breaks.
        rule: InvalidAgentRef,
    },
    /// An agent was registered twice.
    #[error("{0} is registered twice")]
    Twice(String),
    /// The store cannot be used.
    #[error("the store cannot be used: {0}")]
    Store(String),
    /// Jobs need a tokio runtime, and there is none here.
    #[error("a runtime must be built inside a tokio runtime, where its jobs will run")]
    NoTokio,
}

impl Default for Builder {
    fn default() -> Self {
        let party = Party::new("arcp-tower", env!("CARGO_PKG_VERSION"));
        Self {
            agents: Vec::new(),
            restartable: Vec::new(),
            store: None,
            observe: Arc::new(SamePrincipal),
            provisioners: Provisioners::new(),
            credential_key: None,
            config: Config::default(),
            party,
        }
    }
}

impl Builder {
    /// Registers an agent as `name` or `name@version`; without a version it is `1.0.0`. Of several
    /// versions, a bare name means the one registered last (§7.5).
    pub fn agent(mut self, name: impl Into<String>, agent: impl Agent) -> Self {
        self.agents.push((name.into(), Arc::new(agent)));
        self
    }

    /// Registers an agent whose jobs run again, under the same id, when a process that ran them is
    /// gone and another opens its store. It sees the input only: what it did before, it may do twice.
    pub fn restartable_agent(mut self, name: impl Into<String>, agent: impl Agent) -> Self {
        let name = name.into();
        self.restartable.push(name.clone());
        self.agent(name, agent)
    }

    /// Keeps sessions and jobs in `store`. Such a runtime is opened with [`Builder::open`].
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Lets principals know of jobs that are not their own (§7.6).
    pub fn observe(mut self, policy: impl ObservePolicy) -> Self {
        self.observe = Arc::new(policy);
        self
    }

    /// Has `provisioner` issue a credential for each job that it covers (§9.8), announced as one of
    /// `profile`: the protocol that is spoken with it, such as `openai`, or any other name. Of several
    /// of one profile the last one counts.
    ///
    /// Agents get theirs with [`Job::credentials`](crate::Job::credentials). Clients are given their
    /// jobs' only if the store outlives the process and [`Config::private_transport`] is set.
    pub fn credentials(
        mut self,
        profile: impl Into<String>,
        provisioner: impl CredentialProvisioner,
    ) -> Self {
        self.provisioners.insert(profile.into(), Arc::new(provisioner));
        self
    }

    /// Seals credentials in the store with this key, too: whoever has only the store cannot open them.
    /// It should have 256 random bits, and be kept elsewhere. After it was changed, credentials of
    /// before are revoked by name, and cannot be read any more.
    pub fn credential_key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.credential_key = Some(Sha256::digest(key.as_ref()).into());
        self
    }

    /// Sets the bounds.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets what a welcome says of the runtime.
    pub fn name(mut self, name: impl Into<String>, version: impl Into<String>) -> Self {
        self.party = Party::new(name, version);
        self
    }

    /// The runtime. Its jobs run on the tokio runtime that this is called in.
    ///
    /// # Errors
    /// If a name is none, an agent is there twice, there is no tokio runtime, or there is a store.
    pub fn build(self) -> Result<Runtime, BuildError> {
        if self.store.is_some() {
            return Err(BuildError::Store("a runtime with a store is opened, not built".to_owned()));
        }
        let runtime = self.finish(None)?;
        runtime.0.credentials.look_after();
        Ok(runtime)
    }

    /// The runtime, with what its store remembers: sessions can be resumed, and jobs of a process
    /// that is gone have ended, or run again.
    ///
    /// # Errors
    /// As [`Builder::build`], and if the store cannot be read.
    pub async fn open(mut self) -> Result<Runtime, BuildError> {
        let Some(store) = self.store.take() else { return self.build() };
        let handle = Handle::try_current().map_err(|_| BuildError::NoTokio)?;
        let failed = |e: arcp_core::store::StoreError| BuildError::Store(e.to_string());
        let expires_at = self.config.clock.wall().plus(self.config.resume_window);
        let joined = store.join(expires_at, crate::random::secret()).await.map_err(failed)?;
        let clock = self.config.clock.clone();
        let runtime = self.finish(Some(Journal::new(store, joined, clock, handle.clone())))?;
        super::recover::recover(&runtime).await.map_err(failed)?;
        let credentials = &runtime.0.credentials;
        credentials.recover().await.map_err(failed)?;
        credentials.look_after();
        Ok(runtime)
    }

    fn finish(self, journal: Option<Arc<Journal>>) -> Result<Runtime, BuildError> {
        let handle = Handle::try_current().map_err(|_| BuildError::NoTokio)?;
        let mut agents = Inventory::default();
        let mut restartable = HashSet::new();
        for name in self.restartable {
            let full = if name.contains('@') { name } else { format!("{name}@{FIRST_VERSION}") };
            restartable.insert(full);
        }
        for (name, agent) in self.agents {
            let at: AgentRef = name.parse().map_err(|rule| BuildError::Name { name, rule })?;
            agents.register(&at, agent).map_err(BuildError::Twice)?;
        }
        let inventory = agents.describe();
        let config = Arc::new(self.config);
        let operator = self.credential_key.as_ref();
        let credentials =
            Credentials::new(self.provisioners, operator, journal.as_ref(), &config, handle.clone());
        let features = Features::of(FEATURES);
        let features =
            if credentials.advertised() { features.with(Feature::ProvisionedCredentials) } else { features };
        let every = config.sweep.max(Duration::from_millis(1));
        let inner = Arc::new(Inner {
            inventory,
            agents,
            features,
            party: self.party,
            registry: Arc::new(Registry::new(&config)),
            sessions: Arc::new(Sessions::new(&config, handle.clone(), journal.clone())),
            observe: self.observe,
            journal,
            credentials,
            restartable,
            secret: crate::random::secret(),
            config,
            handle: handle.clone(),
        });
        handle.spawn(super::sweep::sweep(Arc::downgrade(&inner), every));
        Ok(Runtime(inner))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agents: Vec<_> = self.agents.iter().map(|(name, _)| name).collect();
        f.debug_struct("Builder").field("agents", &agents).finish_non_exhaustive()
    }
}
