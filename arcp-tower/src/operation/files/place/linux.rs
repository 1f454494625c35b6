//! Linux tells where a handle lies, and opens a handle again.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FsWord, Mode, OFlags, PROC_SUPER_MAGIC, fstatfs, openat, readlinkat};
use rustix::io::Errno;

use crate::operation::files::fault::Fault;
use crate::operation::files::root::Root;

const SYSFS_MAGIC: FsWord = 0x6265_6572;

/// `/proc/self/fd`, if it is what it seems to be.
fn handles() -> Result<OwnedFd, Fault> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handles = openat(CWD, "/proc/self/fd", flags, Mode::empty())?;
    if fstatfs(&handles)?.f_type != PROC_SUPER_MAGIC {
        return Err(Fault::System(Errno::NOSYS));
    }
    Ok(handles)
}

/// Where the kernel says that a handle's file lies now.
fn whereabouts(handle: BorrowedFd<'_>) -> Result<String, Fault> {
    let link = readlinkat(handles()?, handle.as_raw_fd().to_string(), Vec::new())?;
    link.into_string().map_err(|_| Fault::Outside)
}

/// The real path of what `handle` is of, as the root is named.
pub(crate) fn path(root: &Root, handle: BorrowedFd<'_>, _asked: &str) -> Result<String, Fault> {
    let (top, found) = (whereabouts(root.handle.as_fd())?, whereabouts(handle)?);
    // The kernel's mark on what has no place any more; nothing tells it from a name.
    if found.ends_with(" (deleted)") {
        return Err(Fault::Moved);
    }
    match found.strip_prefix(top.trim_end_matches('/')) {
        Some("") => Ok(root.path_of(".")),
        Some(rest) if rest.starts_with('/') => Ok(root.path_of(&rest[1..])),
        _ => Err(Fault::Outside),
    }
}

/// Opens what `handle` is of, whatever its path leads to by now.
pub(crate) fn reopen(handle: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd, Fault> {
    Ok(openat(handles()?, handle.as_raw_fd().to_string(), flags, Mode::empty())?)
}

/// Files of the kernel are nobody's. They are told by their file system, and by their place too,
/// since that of `/dev` is an ordinary one.
pub(crate) fn is_of_the_kernel(handle: &OwnedFd) -> Result<bool, Fault> {
    let (system, place) = (fstatfs(handle)?.f_type, whereabouts(handle.as_fd())?);
    let within =
        |top: &str| place.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    Ok(system == PROC_SUPER_MAGIC
        || system == SYSFS_MAGIC
        || ["/proc", "/sys", "/dev"].into_iter().any(within))
}
