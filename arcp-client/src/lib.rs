//! A client of the Agent Runtime Control Protocol, v1.1, on tokio.
//!
//! A [`Client`] is one session on one connection. It submits jobs, follows their events, fetches
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
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod client;
mod config;
mod connect;
mod driver;
mod engine;
mod error;
mod follow;
mod inbound;
mod job;
mod jobs;
mod ledger;
mod outcome;
mod outgoing;
mod pending;
mod random;
mod session;
mod submit;
mod subscribe;
mod upgrade;

pub use arcp_core;

pub use client::Client;
pub use config::{ClientConfig, implemented};
pub use connect::{Builder, Over, Url};
pub use error::{ConnectError, Disconnected, JobError, JobFailure, Reason, RequestError};
pub use job::JobHandle;
pub use jobs::JobEvent;
pub use outcome::JobOutcome;
pub use session::SessionInfo;
pub use submit::Submission;
pub use subscribe::Subscription;
