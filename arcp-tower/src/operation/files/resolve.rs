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
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match openat2(root, rest, LOOK, Mode::empty(), how) {
        // A kernel before 5.6, or a sandbox that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => without_symlinks(root, rest),
        answer => answer.map_err(Fault::from),
    }
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::open;

    use super::*;

    #[test]
    fn without_the_help_of_the_kernel_no_symlink_is_followed_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::write(at("a/b/file"), "x").unwrap();
        symlink("a", at("inside")).unwrap();
        symlink("/etc", at("outside")).unwrap();
        symlink("a/b/file", at("last")).unwrap();
        let root = open(directory.path(), LOOK | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let find = |rest: &str| without_symlinks(root.as_fd(), rest);
        for rest in [".", "a", "a/b", "a/b/file"] {
            assert!(find(rest).is_ok(), "{rest}");
        }
        for rest in ["inside/b", "inside/b/file", "outside/passwd", "a/b/file/x", "none"] {
            assert!(find(rest).is_err(), "{rest}");
        }
        // Where a handle of a symlink can be had, it is one of the symlink itself.
        if let Ok(last) = find("last") {
            let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(last).unwrap().st_mode);
            assert_eq!(kind, rustix::fs::FileType::Symlink);
        }
    }
}
