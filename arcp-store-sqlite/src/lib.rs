//! Sessions and jobs of the Agent Runtime Control Protocol in one SQLite file.
//!
//! One thread writes. It takes what is queued, makes one transaction of it with a savepoint per
//! batch, and answers all when that transaction is on the disk: `synchronous=FULL` costs one fsync
//! per group, not per batch. A few threads read, each on a snapshot of its own, and never wait for
//! the writer. Checkpoints run beside it on a connection of their own.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("arcp.db");
//! use arcp_store_sqlite::{SqliteConfig, SqliteStore};
//! let store = SqliteStore::open(&path, SqliteConfig::default())?;
//! assert!(SqliteStore::open(&path, SqliteConfig::default()).is_err(), "one process at a time");
//! store.close();
//! # Ok(())
//! # }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod apply;
mod checkpoint;
mod config;
mod error;
mod group;
mod ids;
mod kept;
mod lent;
mod open;
mod read;
mod readers;
mod row;
mod schema;
mod segment;
mod stats;
mod store;
mod trim;
mod vacuum;
mod writer;

pub use config::SqliteConfig;
pub use error::OpenError;
pub use stats::Stats;
pub use store::SqliteStore;
