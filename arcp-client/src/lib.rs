//! A client of the Agent Runtime Control Protocol, v1.1, on tokio.
//!
//! A [`Client`] is one session. It submits jobs, follows their events, fetches
//! their results, watches jobs of other sessions, and keeps the session alive and acknowledged by
//! itself.
//!
//! ```no_run
//! use arcp_client::{Client, JobError};
//! use futures_util::StreamExt as _;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("ws://127.0.0.1:7777/arcp").token("secret").connect().await?;
//! let mut job = client
//!     .submit("code-refactor@2.0.0")
//!     .input(&["src/auth.rs"])
//!     .lease("fs.read", ["/workspace/**"])
//!     .idempotency_key("refactor-auth-2026-W19")
//!     .send()
//!     .await?;
//! while let Some(event) = job.next().await {
//!     println!("{:?}", event?.body);
//! }
//! match job.result().await {
//!     Ok(outcome) => println!("{}", outcome.decode::<String>()?),
//!     Err(JobError::Ended(failure)) => eprintln!("the job ended badly: {failure}"),
//!     Err(JobError::Cut(why)) => eprintln!("the job may still run: {why}"),
//!     Err(JobError::Damaged(why)) => eprintln!("the result cannot be used: {why}"),
//! }
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! A task of its own owns the connection and reads it whatever the application does; events wait
//! in one bounded queue per job. An event counts as processed, and is acknowledged (§6.5), once
//! the application took it from the [`JobHandle`], or once nobody is left who could.
//!
//! When the connection is lost, the client reconnects and resumes the session by itself (§6.3):
//! events go on where they stopped, none is missing and none comes twice. Requests without an answer
//! are sent again if that does no harm (submits with an idempotency key, subscriptions, listings,
//! pings); the others fail. [`Client::status`] shows it, [`Builder::resume`] turns it off, and a
//! [`ResumePoint`] lets another process go on.
//!
//! Each submit has a span of [`tracing`]. With the feature `otel` its W3C trace context goes with the
//! submit, so that the job is part of the caller's trace (§11).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod attach;
mod client;
mod config;
mod connect;
mod connector;
mod driver;
mod engine;
mod error;
mod follow;
mod handshake;
mod inbound;
mod job;
mod jobs;
mod ledger;
mod list;
mod outcome;
mod outgoing;
mod pending;
mod point;
#[cfg(feature = "stdio")]
mod program;
mod random;
mod reconnect;
mod resume;
mod session;
mod status;
mod submit;
mod subscribe;
#[cfg(feature = "tls")]
mod tls;
mod trace;
mod upgrade;

pub use arcp_core;
pub use arcp_core::job::{FinalStatus, Status as JobStatus};
pub use arcp_core::wire::credential::Credential;
pub use arcp_core::wire::event::EventBody;
pub use arcp_core::{Code, Error, Feature, Features, JobId, Json, Timestamp};

pub use attach::AttachedJob;
pub use client::Client;
pub use config::{ClientConfig, implemented};
pub use connect::{Builder, Dial, Over, Url};
pub use error::{ConnectError, Disconnected, JobError, JobFailure, NotResumed, Reason, RequestError};
pub use job::JobHandle;
pub use jobs::JobEvent;
pub use list::{JobListing, JobsFilter};
pub use outcome::JobOutcome;
pub use point::ResumePoint;
#[cfg(feature = "stdio")]
pub use program::{Program, ProgramLimits};
pub use session::SessionInfo;
pub use status::ConnectionStatus;
pub use submit::Submission;
pub use subscribe::Subscription;
