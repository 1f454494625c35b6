//! The runtime: a connection service that opens sessions and runs their jobs.

mod builder;
mod cancel;
mod commands;
mod open;
mod publish;
mod registry;
mod stillborn;
mod submit;
mod subscribe;
mod supervise;

use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use arcp_core::agent::{AgentInfo, Inventory};
use arcp_core::wire::session::Party;
use arcp_core::{Error, Feature, Features};
use tokio::runtime::Handle;
use tower_layer::Layer;
use tower_service::Service;

pub use builder::{BuildError, Builder};
pub use commands::{CommandFuture, Commands};
pub use publish::Publish;
pub(crate) use publish::{JobStream, Slot};
use registry::Registry;

use crate::agent::Agent;
use crate::config::Config;
use crate::service::{Connect, Session};

/// What this runtime can do (§6.2); a session has what its client names too.
pub const FEATURES: &[Feature] = &[
    Feature::Heartbeat,
    Feature::Ack,
    Feature::Subscribe,
    Feature::Progress,
    Feature::ResultChunk,
    Feature::AgentVersions,
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
    /// Jobs run here and not where a connection happens to be served: a host's worker may go away.
    handle: Handle,
}

impl Runtime {
    /// Begins a runtime.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Puts a layer around it. `ServiceBuilder` does the same for several.
    pub fn layer<L: Layer<Self>>(self, layer: L) -> L::Service {
        layer.layer(self)
    }

    /// The agents, as a welcome tells of them.
    pub fn inventory(&self) -> &[AgentInfo] {
        &self.0.inventory
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
    type Future = Ready<Result<Session<Commands>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, connect: Connect) -> Self::Future {
        ready(open::open(self, connect))
    }
}
