//! Systems that do not tell where a handle lies: no symlink was followed to it, so that is known.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{OFlags, fstat, stat};

use crate::operation::files::fault::Fault;
use crate::operation::files::root::Root;

/// The real path of what `handle` is of.
#[allow(clippy::unnecessary_wraps)]
pub(crate) fn path(root: &Root, _: BorrowedFd<'_>, asked: &str) -> Result<String, Fault> {
    Ok(root.path_of(asked))
}

/// The handle can be read from already.
pub(crate) fn reopen(handle: BorrowedFd<'_>, _: OFlags) -> Result<OwnedFd, Fault> {
    Ok(rustix::io::fcntl_dupfd_cloexec(handle, 0)?)
}

/// Devices are no regular files; `/dev` and `/proc`, where they are, are file systems of their own.
pub(crate) fn is_of_the_kernel(handle: &OwnedFd) -> Result<bool, Fault> {
    let (own, top) = (fstat(handle)?.st_dev, stat("/")?.st_dev);
    let same = |path: &str| stat(path).is_ok_and(|of| of.st_dev == own && own != top);
    Ok(["/dev", "/proc"].into_iter().any(same))
}
