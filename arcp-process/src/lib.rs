//! Agents that are programs: any ARCP runtime on its standard input and output, in any language.
//!
//! A [`ProcessAgent`] runs a job of this runtime as a job of another one, which is a program that it
//! starts and keeps running. The program gets the job's input and what the job may do, and what it
//! says of its job becomes events of this one.
//!
//! ```
//! use arcp_client::Program;
//! use arcp_process::ProcessAgent;
//! use arcp_tower::Runtime;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let program = Program::new("python3").args(["research.py"]);
//! let agent = ProcessAgent::new("research", &program)?;
//! let runtime = Runtime::builder().agent("research", agent.clone()).build()?;
//! # let _ = runtime;
//! // When all is over:
//! agent.stop().await;
//! # Ok(())
//! # }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod agent;
mod backoff;
mod config;
mod fault;
mod grant;
mod host;
mod relay;
mod result;

pub use arcp_client::{Program, ProgramLimits};

pub use agent::ProcessAgent;
pub use config::ProcessConfig;
