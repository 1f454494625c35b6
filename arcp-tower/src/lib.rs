//! An ARCP v1.1 runtime as a [`tower`](tower_service) service.
//!
//! Everything is a service, at five levels; at each of them *ready* means one thing.
//!
//! | level | service | ready means |
//! |---|---|---|
//! | HTTP | [`upgrade::Upgrade`], `Service<http::Request<_>>` | always |
//! | connection | [`Runtime`], `Service<`[`Connect`]`>` | always, unless a layer limits it |
//! | command | `Service<`[`Request`]`>`, one of each session | this command may run now |
//! | operation | `Service<`[`Operation`](operation::Operation)`>`, tools and the like | it may be carried out |
//! | event | `Service<`[`Emit`]`>`, one of each job | the submitter can take an event |
//!
//! Ping, pong, ack, close and cancel pass none of the user's layers: a rate limit cannot cost a
//! connection its heartbeat, and an ack can always open the gate again.
//!
//! ```
//! use arcp_tower::{AuthLayer, BearerTokens, Job, Runtime, agent_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::builder()
//!     .agent("greet", agent_fn(|name: String, job: Job| async move {
//!         job.status("greeting").await?;
//!         Ok(format!("hello {name}"))
//!     }))
//!     .build()?
//!     .layer(AuthLayer::new(BearerTokens::new([("secret", "me@example.com")])));
//! # let _ = runtime;
//! # Ok(())
//! # }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod agent;
pub mod auth;
pub mod clock;
pub mod config;
pub mod credential;
mod door;
pub mod driver;
mod fault;
pub mod layer;
mod lock;
pub mod observe;
pub mod operation;
pub mod profile;
#[cfg(feature = "litellm")]
pub mod provision;
mod random;
mod replay;
pub mod runtime;
#[cfg(feature = "schema")]
mod schema;
pub mod service;
pub mod telemetry;
#[cfg(any(
    feature = "fetch",
    feature = "litellm",
    all(feature = "jwks", any(feature = "jwt-aws-lc-rs", feature = "jwt-rust-crypto"))
))]
mod tls;
pub mod upgrade;

pub use agent::{Agent, AgentError, Job, Level, Reservation, ResultStream, Verdict, agent_fn, agent_service};
pub use auth::{BearerTokens, Credentials, HostSession, Principal, Scope, Scopes, auth_fn};
pub use clock::Clock;
pub use config::Config;
pub use credential::CredentialProvisioner;
pub use door::Door;
pub use driver::serve;
pub use layer::{
    AckGateLayer, AuthLayer, PrincipalRateLayer, SessionCapLayer, TraceLayer, each_session, each_session_fn,
};
pub use observe::{Access, ObservePolicy, Observed};
pub use operation::tool_fn;
pub use replay::replay;
pub use runtime::{Builder, ChildJob, Drained, Handle, Runtime};
pub use service::{Connect, Emit, HttpInfo, MakeSession, Mount, Request, Response, Session, SessionCtx};

pub use arcp_core as core;
#[cfg(feature = "schema")]
pub use schemars;
pub use tokio_util::sync::CancellationToken;
pub use tokio_util::task::TaskTracker;
pub use tower_layer::Layer;
pub use tower_service::Service;

/// The error of a service that is not ours.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
