//! Files below the directories that an operator named (§9.2 `fs.read`, `fs.write`).
//!
//! A lease speaks of paths, and what a path leads to can change between a check and its use. So
//! nothing here is checked by its path. The kernel resolves the path below the root and gives a
//! handle, with which nothing can be done yet; the handle says what it is and where it really lies;
//! the lease is asked about that place; and only then the same handle is opened for reading. A
//! symlink that is swapped meanwhile changes what a path means, not what a handle is.
//!
//! | found | answer |
//! |---|---|
//! | a way out of the root (`..`, an absolute symlink, `/proc/self/root`) | `PERMISSION_DENIED`, reason `outside` |
//! | a place that the lease does not cover, through a symlink or not | `PERMISSION_DENIED`, reason `not_granted` |
//! | a regular file with a second name | `PERMISSION_DENIED`, reason `hard_link` |
//! | a device, a FIFO, a socket; anything of `/proc`, `/sys` or `/dev` | `PERMISSION_DENIED`, reason `special` |
//! | nothing | `INVALID_REQUEST`, reason `not_found` |
//! | more than a bound of [`FileLimits`] | `INTERNAL_ERROR`, reason `limit` |
//!
//! A symlink whose target is relative and stays below the root is followed on Linux, in the last
//! component of a write excepted. An absolute one is refused even if it leads back. Systems that
//! cannot say where a handle lies follow no symlink at all.

mod canonical;
mod fault;
mod limits;
mod list;
mod place;
mod read;
mod resolve;
mod root;
mod write;

use std::io;
use std::path::Path;
use std::sync::Arc;

use arcp_core::{Code, Error};
use bytes::Bytes;
use tokio::sync::Semaphore;

use self::fault::Fault;
use self::root::Root;
use super::Granted;

pub use limits::FileLimits;
pub use list::{Entry, EntryKind};

/// The directories that may be opened at all, whatever a lease says. Cheap to clone; clones share the
/// bound on operations at once.
///
/// An operation runs on a thread for blocking work. It is not undone when its caller goes away.
///
/// ```
/// use arcp_tower::operation::Granted;
/// use arcp_tower::operation::files::Files;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let workspace = directory.path().canonicalize()?;
/// # let workspace = workspace.to_str().ok_or("no UTF-8")?;
/// let files = Files::below(workspace)?;
/// let readme = format!("{workspace}/README.md");
/// let granted = Granted::new({
///     let readme = readme.clone();
///     move |path: &str| path == readme
/// });
///
/// files.write(&readme, "hello", &granted).await?;
/// assert_eq!(files.read(&readme, &granted).await?, "hello");
/// assert!(files.read("/etc/passwd", &granted).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Files {
    roots: Vec<Arc<Root>>,
    limits: FileLimits,
    /// Whether they were chosen for these files.
    own_limits: bool,
    hard_links: bool,
    slots: Arc<Semaphore>,
}

impl Files {
    /// Files below `directory`, which is opened now and kept open. Agents name it as it is written
    /// here, even if a symlink is part of it.
    ///
    /// # Errors
    /// If it cannot be opened, is no directory, is not a UTF-8 text without `..`, or lies in `/proc`,
    /// `/sys` or `/dev`.
    pub fn below(directory: impl AsRef<Path>) -> io::Result<Self> {
        let limits = FileLimits::default();
        Ok(Self {
            roots: vec![Arc::new(Root::open(directory.as_ref())?)],
            limits,
            own_limits: false,
            hard_links: false,
            slots: Arc::new(Semaphore::new(limits.concurrent)),
        })
    }

    /// And below another. If one root lies in the other, a path belongs to the inner one.
    ///
    /// # Errors
    /// As [`below`](Self::below).
    pub fn and_below(mut self, directory: impl AsRef<Path>) -> io::Result<Self> {
        self.roots.push(Arc::new(Root::open(directory.as_ref())?));
        Ok(self)
    }

    /// With bounds of their own, instead of those of [`Config::files`](crate::Config::files).
    pub fn with_limits(mut self, limits: FileLimits) -> Self {
        self.own_limits = true;
        self.bounded(limits)
    }

    /// With `limits`, unless others were chosen.
    pub(crate) fn or_limits(self, limits: FileLimits) -> Self {
        if self.own_limits { self } else { self.bounded(limits) }
    }

    fn bounded(mut self, limits: FileLimits) -> Self {
        self.slots = Arc::new(Semaphore::new(limits.concurrent.clamp(1, Semaphore::MAX_PERMITS)));
        self.limits = limits;
        self
    }

    /// Opens regular files that have more than one name. One of the names may lie outside of every
    /// grant, and nobody can tell.
    pub fn allow_hard_links(mut self) -> Self {
        self.hard_links = true;
        self
    }

    /// The content of the regular file at `path`.
    ///
    /// # Errors
    /// See the [table](self); `INVALID_REQUEST`, reason `directory`, for a directory.
    pub async fn read(&self, path: &str, granted: &Granted) -> Result<Bytes, Error> {
        self.run(path, granted, Self::read_now).await
    }

    /// Makes `content` the content of the regular file at `path`, at once: it is written beside the
    /// old one, to disk, and takes its place. A reader sees the old or the new, as does whoever looks
    /// after a power cut; nothing is truncated. A new file has mode 0600 less the umask; one that is
    /// replaced keeps its mode, not its owner. Directories are not made.
    ///
    /// # Errors
    /// See the [table](self); `PERMISSION_DENIED`, reason `symlink`, if the last component is a
    /// symlink: it is not followed.
    pub async fn write(&self, path: &str, content: impl Into<Bytes>, granted: &Granted) -> Result<(), Error> {
        let content = content.into();
        self.run(path, granted, move |files, path, granted| files.write_now(path, &content, granted)).await
    }

    /// What the directory at `path` has, by name. Entries are not followed: a symlink is listed as one.
    /// Names that are not UTF-8 are left out, since no path could name them.
    ///
    /// # Errors
    /// See the [table](self); `INVALID_REQUEST`, reason `not_a_directory`, for a file.
    pub async fn list(&self, path: &str, granted: &Granted) -> Result<Vec<Entry>, Error> {
        self.run(path, granted, Self::list_now).await
    }

    /// Runs `work` where it may block, when there is room.
    async fn run<T: Send + 'static>(
        &self,
        path: &str,
        granted: &Granted,
        work: impl FnOnce(&Self, &str, &Granted) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        let stopped = || Error::new(Code::InternalError, "the file operation was interrupted");
        let slot = self.slots.clone().acquire_owned().await.map_err(|_| stopped())?;
        let (files, path, granted) = (self.clone(), path.to_owned(), granted.clone());
        let work = move || {
            let _slot = slot;
            work(&files, &path, &granted).map_err(|fault| fault.about(&path))
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| stopped())?
    }

    /// The innermost root that `path` is below, and the rest of the path.
    fn root<'a>(&self, path: &'a str) -> Result<(&Root, &'a str), Fault> {
        canonical::check(path)?;
        let below = self.roots.iter().filter_map(|root| Some((root.as_ref(), root.rest(path)?)));
        below.min_by_key(|(_, rest)| rest.len()).ok_or(Fault::Outside)
    }
}
