//! From a path below a root to a handle, without leaving the root.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};

use super::fault::Fault;

/// A handle that nothing can be read from or written to: opening it has no effect on what it is of.
#[cfg(target_os = "linux")]
const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
/// Where there is no such handle: one that at least does not wait for the other end of a FIFO.
#[cfg(not(target_os = "linux"))]
const LOOK: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Follows symlinks that stay below the root; magic links, as those of `/proc`, never. The kernel does
/// all of it in one call. Where it cannot, [`without_symlinks`] is less able and as safe.
#[cfg(target_os = "linux")]
pub(super) fn below(root: BorrowedFd<'_>, rest: &str) -> Result<OwnedFd, Fault> {
    use rustix::fs::{ResolveFlags, openat2};
    use rustix::io::Errno;
    /// Renames elsewhere can make the kernel ask to be asked again.
    const ATTEMPTS: usize = 64;

    let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..ATTEMPTS {
        match openat2(root, rest, LOOK, Mode::empty(), how) {
            Err(Errno::AGAIN) => {}
            // A kernel before 5.6, or a sandbox that does not know the call.
            Err(Errno::NOSYS | Errno::PERM) => return without_symlinks(root, rest),
            answer => return answer.map_err(Fault::from),
        }
    }
    Err(Fault::Moved)
}

#[cfg(not(target_os = "linux"))]
pub(super) use without_symlinks as below;

/// Goes down one directory at a time and follows nothing, so that the way is what the path says.
pub(super) fn without_symlinks(root: BorrowedFd<'_>, rest: &str) -> Result<OwnedFd, Fault> {
    let mut at: Option<OwnedFd> = None;
    let mut parts = rest.split('/').peekable();
    while let Some(part) = parts.next() {
        let from = at.as_ref().map_or(root, |at| at.as_fd());
        let flags = match parts.peek() {
            Some(_) => LOOK | OFlags::NOFOLLOW | OFlags::DIRECTORY,
            None => LOOK | OFlags::NOFOLLOW,
        };
        at = Some(openat(from, part, flags, Mode::empty()).map_err(Fault::from)?);
    }
    at.ok_or(Fault::Outside)
}
