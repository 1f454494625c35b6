//! The runtime: a connection service that opens sessions and runs their jobs.

mod audit;
mod authority;
mod body;
mod builder;
mod cancel;
mod commands;
mod credential;
mod cursor;
mod delegate;
mod drain;
mod journal;
mod list;
mod open;
mod persist;
mod publish;
mod recall;
mod recover;
mod registry;
mod resume;
mod sessions;
mod stillborn;
mod stream;
mod submit;
mod subscribe;
mod supervise;
mod sweep;
mod tokens;
mod unsure;
mod visible;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use arcp_core::agent::{AgentInfo, Inventory};
use arcp_core::store::Durability;
use arcp_core::wire::session::Party;
use arcp_core::{Error, Feature, Features};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tower_layer::Layer;
use tower_service::Service;

pub(crate) use authority::JobAuthority;
use authority::Policy;
use body::known;
pub use builder::{BuildError, Builder};
pub use commands::{CommandFuture, Commands};
pub(crate) use credential::Credentials;
pub use delegate::ChildJob;
pub(crate) use drain::is_draining;
pub use drain::{Drained, Handle};
pub(crate) use journal::Journal;
pub(crate) use persist::{commit_patiently, refused};
pub use publish::Publish;
pub(crate) use registry::JobRecord;
use registry::Registry;
pub(crate) use sessions::Sessions;
pub(crate) use stream::{JobStream, Slot};
pub(crate) use tokens::Tokens;

use crate::agent::Agent;
use crate::auth::Principal;
use crate::config::Config;
use crate::observe::ObservePolicy;
use crate::operation::{Operations, ToolInfo};
use crate::service::{Connect, Session, SessionCtx};

/// What this runtime can do (§6.2); a session has what its client names too.
pub const FEATURES: &[Feature] = &[
    Feature::Heartbeat,
    Feature::Ack,
    Feature::ListJobs,
    Feature::Subscribe,
    Feature::Progress,
    Feature::ResultChunk,
    Feature::AgentVersions,
    Feature::CostBudget,
    Feature::LeaseExpiresAt,
    Feature::ModelUse,
];

/// An ARCP runtime. It is cheap to clone, and the clones are one runtime.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    agents: Inventory<Arc<dyn Agent>>,
    inventory: Vec<AgentInfo>,
    features: Features,
    party: Party,
    config: Arc<Config>,
    registry: Arc<Registry>,
    sessions: Arc<Sessions>,
    observe: Arc<dyn ObservePolicy>,
    /// What carries operations out, below the leases.
    operations: Operations,
    /// The tools among them, in the order of their names.
    tools: Vec<ToolInfo>,
    policy: Policy,
    /// Bounds what is recorded of resumes.
    resumes: audit::Resumes,
    /// The way to a store, if there is one.
    journal: Option<Arc<Journal>>,
    credentials: Arc<Credentials>,
    /// Agents that take their jobs up again after a restart, as `name@version`.
    restartable: HashSet<String>,
    /// What resume tokens are made with, and cursors where there is no store.
    secret: [u8; 32],
    /// Jobs run here and not where a connection happens to be served: a host's worker may go away.
    handle: tokio::runtime::Handle,
    /// And agents here: their code may hold its thread up.
    jobs: tokio::runtime::Handle,
    /// Counts the connections that have a session.
    open: drain::Open,
    stop: drain::Stop,
}

impl Runtime {
    /// Begins a runtime.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A hold on it, to end it in an orderly way once it is mounted.
    pub fn handle(&self) -> Handle {
        Handle::new(self.clone())
    }

    /// Puts a layer around it. `ServiceBuilder` does the same for several.
    pub fn layer<L: Layer<Self>>(self, layer: L) -> L::Service {
        layer.layer(self)
    }

    /// The time, for what is written down.
    fn wall(&self) -> arcp_core::Timestamp {
        self.0.config.clock.wall()
    }

    /// The session that submitted a job, where it is in memory: its numbers are the job's (§7.6). It
    /// may have gone and come back since.
    fn submitter(&self, job: &JobRecord) -> Option<SessionCtx> {
        self.0.sessions.by_id(&job.session_id).or_else(|| job.session.clone())
    }

    /// Writes a record for auditors (§14), if there is a store. Nobody waits for it.
    pub(crate) fn audit(&self, principal: &Principal, record: &impl serde::Serialize) {
        let Some(journal) = &self.0.journal else { return };
        let Ok(record) = arcp_core::Json::of(record) else { return };
        let op = arcp_core::store::Op::Audit { at: self.wall(), record };
        let principal = principal.name().to_owned();
        let batch = arcp_core::store::Batch { id: crate::random::bits(), principal, ops: vec![op] };
        let store = journal.store.clone();
        journal.spawn(async move {
            if let Err(error) = commit_patiently(store, batch).await {
                tracing::warn!(%error, "a record for auditors could not be kept");
            }
        });
    }

    /// The agents, as a welcome tells of them.
    pub fn inventory(&self) -> &[AgentInfo] {
        &self.0.inventory
    }

    /// The tools, in the order of their names, with what they say of themselves.
    pub fn tools(&self) -> &[ToolInfo] {
        &self.0.tools
    }

    /// What the events survive that it sends.
    pub fn durability(&self) -> Durability {
        self.0.journal.as_ref().map_or(Durability::Volatile, |journal| journal.store.caps().durability)
    }

    /// Its bounds.
    pub fn config(&self) -> &Config {
        &self.0.config
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("agents", &self.0.inventory).finish_non_exhaustive()
    }
}

impl Service<Connect> for Runtime {
    type Response = Session<Commands>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Session<Commands>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, connect: Connect) -> Self::Future {
        open::open(self.clone(), connect).boxed()
    }
}
