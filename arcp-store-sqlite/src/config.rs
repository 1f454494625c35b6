//! How a store is opened.

/// How a store is opened. The defaults suit a server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SqliteConfig {
    /// Threads that read, 1 to 8. 3.
    pub readers: usize,
    /// Batches that may wait to be written; above it a commit is refused as unavailable. 8,192.
    pub queue: usize,
    /// Bytes of payload that may wait to be written. 256 MiB: of each principal that writes, a few.
    pub queue_bytes: usize,
    /// Batches that one transaction takes. 512.
    pub group: usize,
    /// Bytes of payload that one transaction takes. 16 MiB.
    pub group_bytes: usize,
    /// The size in bytes that the write-ahead log is kept to, roughly. 64 MiB.
    pub wal_bytes: u64,
    /// The size in bytes that the file never passes, as if the disk were full there. A trim leaves
    /// at most three quarters of it in events and ended jobs, whatever its bounds.
    pub max_bytes: Option<u64>,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            readers: 3,
            queue: 8192,
            queue_bytes: 256 << 20,
            group: 512,
            group_bytes: 16 << 20,
            wal_bytes: 64 << 20,
            max_bytes: None,
        }
    }
}
