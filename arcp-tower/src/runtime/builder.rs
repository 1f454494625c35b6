//! Building a runtime.

use std::fmt;
use std::sync::Arc;

use arcp_core::Features;
use arcp_core::agent::{AgentRef, InvalidAgentRef, Inventory};
use arcp_core::wire::session::Party;
use tokio::runtime::Handle;

use super::registry::Registry;
use super::{FEATURES, Inner, Runtime};
use crate::agent::Agent;
use crate::config::Config;

/// Builds a [`Runtime`].
#[must_use = "a builder does nothing before `build`"]
pub struct Builder {
    agents: Vec<(String, Arc<dyn Agent>)>,
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
    /// Jobs need a tokio runtime, and there is none here.
    #[error("a runtime must be built inside a tokio runtime, where its jobs will run")]
    NoTokio,
}

impl Default for Builder {
    fn default() -> Self {
        let party = Party::new("arcp-tower", env!("CARGO_PKG_VERSION"));
        Self { agents: Vec::new(), config: Config::default(), party }
    }
}

impl Builder {
    /// Registers an agent as `name` or `name@version`; without a version it is `1.0.0`. Of several
    /// versions, a bare name means the one registered last (§7.5).
    pub fn agent(mut self, name: impl Into<String>, agent: impl Agent) -> Self {
        self.agents.push((name.into(), Arc::new(agent)));
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
    /// If a name is none, an agent is there twice, or there is no tokio runtime.
    pub fn build(self) -> Result<Runtime, BuildError> {
        let handle = Handle::try_current().map_err(|_| BuildError::NoTokio)?;
        let mut agents = Inventory::default();
        for (name, agent) in self.agents {
            let at: AgentRef = name.parse().map_err(|rule| BuildError::Name { name, rule })?;
            agents.register(&at, agent).map_err(BuildError::Twice)?;
        }
        let inventory = agents.describe();
        let config = Arc::new(self.config);
        Ok(Runtime(Arc::new(Inner {
            inventory,
            agents,
            features: Features::of(FEATURES),
            party: self.party,
            registry: Arc::new(Registry::new(&config)),
            config,
            handle,
        })))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agents: Vec<_> = self.agents.iter().map(|(name, _)| name).collect();
        f.debug_struct("Builder").field("agents", &agents).finish_non_exhaustive()
    }
}
