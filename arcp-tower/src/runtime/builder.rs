//! Building a runtime.

mod error;
mod operations;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arcp_core::agent::{AgentRef, FIRST_VERSION, Inventory};
use arcp_core::lease::Namespace;
use arcp_core::store::{Hash, Lapse, Store};
use arcp_core::wire::session::Party;
use arcp_core::{Feature, Features};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

pub use error::BuildError;

use super::authority::Policy;
use super::credential::{Credentials, Provisioners};
use super::delegate::Delegate;
use super::registry::Registry;
use super::{FEATURES, Inner, Journal, Runtime, Sessions};
use crate::agent::Agent;
#[cfg(feature = "schema")]
use crate::agent::schema;
use crate::config::Config;
use crate::credential::CredentialProvisioner;
use crate::observe::{ObservePolicy, SamePrincipal};
use crate::operation::{Backend, Operations, Registered, Router, ToolInfo, backend};

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
    operations: Registered,
    #[cfg(all(feature = "fs", unix))]
    files: Option<crate::operation::files::Files>,
    #[cfg(feature = "fetch")]
    fetcher: Option<crate::operation::fetch::Fetcher>,
    around: Vec<Around>,
    policy: Policy,
    /// Where agents run, if that is elsewhere.
    jobs: Option<Handle>,
    /// What was registered and cannot be.
    refused: Option<BuildError>,
}

/// Puts a layer around all backends.
type Around = Box<dyn FnOnce(Backend) -> Backend + Send>;

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
            operations: Registered::default(),
            #[cfg(all(feature = "fs", unix))]
            files: None,
            #[cfg(feature = "fetch")]
            fetcher: None,
            around: Vec::new(),
            policy: Policy::default(),
            jobs: None,
            refused: None,
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

    /// Whether a lease that names no models forbids them all (§9.7). Without this it allows any that
    /// the runtime has.
    pub fn require_model_use(mut self, require: bool) -> Self {
        self.policy.require_model_use = require;
        self
    }

    /// Whether operations that no pattern covers are let through, and recorded as if they had been
    /// denied: to find out what leases a deployment needs. Expiry and budgets are enforced all the
    /// same.
    pub fn audit_leases(mut self, audit: bool) -> Self {
        self.policy.audit_only = audit;
        self
    }

    /// Has `provisioner` issue a credential for each job that it covers (§9.8), announced as one of
    /// `profile`: the protocol that is spoken with it, such as `openai`, or any other name. Of several
    /// of one profile the last one counts.
    ///
    /// Agents get theirs with [`Job::credentials`](crate::Job::credentials). Clients are given their
    /// jobs' only if the store outlives the process and [`Config::private_transport`] is set.
    ///
    /// What is in force is kept in the store, sealed. Without [`Builder::credential_key`] the only key
    /// to it is the store's own secret, which lies beside it: whoever can read the store, or a copy of
    /// it, can open what is in force then.
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

    /// Runs agents on another tokio runtime than everything else. Agents are async functions: one that
    /// blocks its thread, or computes for long without an `await`, holds up whatever else that thread has to
    /// do. On a runtime of their own that is other agents at the most; connections, heartbeats,
    /// cancellations and time-outs go on. Whoever made the runtime keeps it for as long as this one.
    ///
    /// It helps against agents that mean well. One that should be able to do no harm is a program, with a
    /// memory of its own and the limits of the operating system.
    ///
    /// ```
    /// use arcp_tower::Runtime;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let agents = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
    /// let runtime = Runtime::builder().agents_on(agents.handle().clone()).build()?;
    /// # drop(runtime);
    /// // When all is over:
    /// agents.shutdown_background();
    /// # Ok(())
    /// # }
    /// ```
    pub fn agents_on(mut self, runtime: Handle) -> Self {
        self.jobs = Some(runtime);
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
    /// If a name is none, an agent is there twice or has a schema that cannot be used, there is no tokio runtime, or there is a store.
    pub fn build(self) -> Result<Runtime, BuildError> {
        if self.store.is_some() {
            return Err(BuildError::NotOpened);
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
        let now = self.config.clock.wall();
        let (caught_up, pending) = (now.plus(self.config.resume_window), now.plus(self.config.held()));
        let joined = store.join(Lapse { caught_up, pending }, crate::random::secret()).await?;
        let journal = Journal::new(store, joined, &self.config, handle.clone());
        let runtime = self.finish(Some(journal))?;
        super::recover::recover(&runtime).await?;
        let credentials = &runtime.0.credentials;
        credentials.recover().await?;
        credentials.look_after();
        Ok(runtime)
    }

    fn finish(mut self, journal: Option<Arc<Journal>>) -> Result<Runtime, BuildError> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        #[cfg(all(feature = "fs", unix))]
        if let Some(files) = self.files {
            let files = files.or_limits(self.config.files);
            self.operations.others.insert(Namespace::FsRead, backend(files.clone()));
            self.operations.others.insert(Namespace::FsWrite, backend(files));
        }
        #[cfg(feature = "fetch")]
        if let Some(fetcher) = self.fetcher {
            let fetcher = backend(fetcher.or_limits(self.config.fetch));
            self.operations.others.insert(Namespace::NetFetch, fetcher);
        }
        self.operations.others.insert(Namespace::AgentDelegate, backend(Delegate));
        let tools: Vec<ToolInfo> = self.operations.tools.values().map(|tool| tool.info.clone()).collect();
        let router = Router::new(self.operations);
        let operations = if self.around.is_empty() {
            Operations::Plain(router)
        } else {
            let layered = self.around.into_iter().rev().fold(backend(router), |inner, around| around(inner));
            Operations::Layered(layered)
        };
        let handle = Handle::try_current().map_err(|_| BuildError::NoTokio)?;
        let mut agents = Inventory::default();
        let mut restartable = HashSet::new();
        for name in self.restartable {
            let full = if name.contains('@') { name } else { format!("{name}@{FIRST_VERSION}") };
            restartable.insert(full);
        }
        #[cfg(feature = "schema")]
        let mut said = Vec::new();
        for (name, agent) in self.agents {
            let at: AgentRef = name.parse().map_err(|rule| BuildError::Name { name, rule })?;
            #[cfg(feature = "schema")]
            let agent = {
                let description = agent.describe();
                let agent = schema::enforced(agent, &description);
                let agent = agent.map_err(|rule| BuildError::Schema { agent: at.to_string(), rule })?;
                if !description.is_empty() {
                    let version = at.version().unwrap_or(FIRST_VERSION).to_owned();
                    said.push((at.name().to_owned(), version, description));
                }
                agent
            };
            agents.register(&at, agent).map_err(BuildError::Twice)?;
        }
        #[cfg_attr(not(feature = "schema"), expect(unused_mut, reason = "nothing is said"))]
        let mut inventory = agents.describe();
        #[cfg(feature = "schema")]
        schema::advertise(
            &mut inventory,
            said,
            self.config.described_bytes.min(self.config.max_sent_frame / 2),
        );
        let config = Arc::new(self.config);
        let operator = self.credential_key.as_ref();
        let credentials =
            Credentials::new(self.provisioners, operator, journal.as_ref(), &config, handle.clone());
        let features = Features::of(FEATURES);
        let features =
            if credentials.advertised() { features.with(Feature::ProvisionedCredentials) } else { features };
        let every = config.sweep.max(Duration::from_millis(1));
        let written = journal.as_ref().map(|journal| journal.written.clone());
        let inner = Arc::new(Inner {
            inventory,
            agents,
            features,
            party: self.party,
            registry: Arc::new(Registry::new(&config)),
            sessions: Arc::new(Sessions::new(&config, handle.clone(), journal.clone())),
            observe: self.observe,
            operations,
            tools,
            policy: Policy { skew: config.lease_skew.min(Duration::from_secs(60)), ..self.policy },
            resumes: super::audit::Resumes::new(config.audit_rate),
            journal,
            credentials,
            restartable,
            secret: crate::random::secret(),
            config,
            handle: handle.clone(),
            jobs: self.jobs.unwrap_or_else(|| handle.clone()),
            open: super::drain::Open::new(),
            stop: super::drain::Stop::default(),
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
