//! The contract of every store, on files.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arcp_core::store::Store;
use arcp_core::store::kit::{Bed, Made};
use arcp_store_sqlite::{SqliteConfig, SqliteStore};
use tempfile::TempDir;

/// Files of one test, one after the other; the last one is opened again.
struct Files {
    dir: TempDir,
    made: AtomicU64,
}

impl Files {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), made: AtomicU64::new(0) }
    }

    fn open(&self) -> Arc<dyn Store> {
        let path = self.dir.path().join(format!("{}.db", self.made.load(Ordering::Relaxed)));
        Arc::new(SqliteStore::open(path, SqliteConfig::default()).unwrap())
    }
}

impl Bed for Files {
    fn fresh(&self) -> Made<'_> {
        self.made.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(self.open()))
    }

    fn reopen(
        &self,
        store: Arc<dyn Store>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Option<Arc<dyn Store>>> + Send + '_>> {
        drop(store);
        Box::pin(std::future::ready(Some(self.open())))
    }
}

arcp_core::contract_tests!(Files::new());
