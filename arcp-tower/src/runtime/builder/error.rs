//! Why there is no runtime.

use arcp_core::agent::InvalidAgentRef;
use arcp_core::store::StoreError;

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
    /// An agent's schema cannot be used.
    #[cfg(feature = "schema")]
    #[error("{agent}: {rule}")]
    Schema {
        /// Its name.
        agent: String,
        /// What is wrong with it.
        rule: String,
    },
    /// A tool or a namespace cannot be registered.
    #[error("{name:?}: {rule}")]
    Operation {
        /// Its name.
        name: String,
        /// What it breaks.
        rule: String,
    },
    /// The store cannot be used.
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    /// A runtime with a store is opened ([`Builder::open`](crate::Builder::open)), not built.
    #[error("a runtime with a store is opened, not built")]
    NotOpened,
    /// Jobs need a tokio runtime, and there is none here.
    #[error("a runtime must be built inside a tokio runtime, where its jobs will run")]
    NoTokio,
}
