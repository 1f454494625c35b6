//! Building a runtime.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arcp_core::Features;
use arcp_core::agent::{AgentRef, FIRST_VERSION, InvalidAgentRef, Inventory};
use arcp_core::store::{Lapse, Store};
use arcp_core::wire::session::Party;
use tokio::runtime::Handle;

use super::registry::Registry;
use super::{FEATURES, Inner, Journal, Runtime, Sessions};
use crate::agent::Agent;
use crate::config::Config;
use crate::observe::{ObservePolicy, SamePrincipal};

/// Builds a [`Runtime`].
#[must_use = "a builder does nothing before `build`"]
pub struct Builder {
    agents: Vec<(String, Arc<dyn Agent>)>,
    restartable: Vec<String>,
    store: Option<Arc<dyn Store>>,
    observe: Arc<dyn ObservePolicy>,
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
        self.finish(None)
    }

    /// The runtime, with what its store remembers: sessions can be resumed, and jobs of a process
    /// that is gone have ended, or run again.
    ///
    /// # Errors
    /// As [`Builder::build`], and if the store cannot be read.
    pub async fn open(mut self) -> Result<Runtime, BuildError> {
        let Some(store) = self.store.take() else { return self.finish(None) };
        let handle = Handle::try_current().map_err(|_| BuildError::NoTokio)?;
        let failed = |e: arcp_core::store::StoreError| BuildError::Store(e.to_string());
        let now = self.config.clock.wall();
        let (caught_up, pending) = (now.plus(self.config.resume_window), now.plus(self.config.held()));
        let joined = store.join(Lapse { caught_up, pending }, crate::random::secret()).await;
        let joined = joined.map_err(failed)?;
        let journal = Journal::new(store, joined, &self.config, handle.clone());
        let runtime = self.finish(Some(journal))?;
        super::recover::recover(&runtime).await.map_err(failed)?;
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
        let every = config.sweep.max(Duration::from_millis(1));
        let written = journal.as_ref().map(|journal| journal.written.clone());
        let inner = Arc::new(Inner {
            inventory,
            agents,
            features: Features::of(FEATURES),
            party: self.party,
            registry: Arc::new(Registry::new(&config)),
            sessions: Arc::new(Sessions::new(&config, handle.clone(), journal.clone())),
            observe: self.observe,
            resumes: super::audit::Resumes::new(config.audit_rate),
            journal,
            restartable,
            secret: crate::random::secret(),
            config,
            handle: handle.clone(),
        });
        handle.spawn(super::sweep::sweep(Arc::downgrade(&inner), every, written));
        Ok(Runtime(inner))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agents: Vec<_> = self.agents.iter().map(|(name, _)| name).collect();
        f.debug_struct("Builder").field("agents", &agents).finish_non_exhaustive()
    }
}
