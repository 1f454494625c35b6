//! Bounds on operations on files.

/// How much one operation on files may read, write and list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileLimits {
    /// Bytes of the largest file that is read. 8 MiB.
    pub read: usize,
    /// Bytes of the largest file that is written. 8 MiB.
    pub write: usize,
    /// Entries of the largest directory that is listed. 10,000.
    pub entries: usize,
    /// Operations at once; the others wait. 16.
    pub concurrent: usize,
}

impl Default for FileLimits {
    fn default() -> Self {
        Self { read: 8 << 20, write: 8 << 20, entries: 10_000, concurrent: 16 }
    }
}

impl FileLimits {
    /// Changes some bounds.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}
