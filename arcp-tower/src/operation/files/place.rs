//! What a handle is of, and where that really lies.

#[cfg(not(target_os = "linux"))]
#[path = "place/elsewhere.rs"]
mod real;
#[cfg(target_os = "linux")]
#[path = "place/linux.rs"]
mod real;

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{FileType, OFlags, Stat, fstat};

use super::fault::Fault;
use super::resolve;
use super::root::Root;
use super::{Files, Granted};

pub(super) use self::real::is_of_the_kernel;

/// A handle of a regular file or a directory, and its real path as leases name it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) handle: OwnedFd,
    pub(super) path: String,
    pub(super) kind: FileType,
}

/// How often something is looked for that was renamed or replaced meanwhile.
const ATTEMPTS: usize = 64;

impl Place {
    /// What lies at `rest` below `root`. Whether the lease covers it was not asked.
    pub(super) fn find(root: &Root, rest: &str) -> Result<Self, Fault> {
        for _ in 0..ATTEMPTS {
            match Self::find_once(root, rest) {
                Err(Fault::Moved) => {}
                answer => return answer,
            }
        }
        Err(Fault::Moved)
    }

    fn find_once(root: &Root, rest: &str) -> Result<Self, Fault> {
        let handle = resolve::below(root.handle.as_fd(), rest)?;
        let kind = FileType::from_raw_mode(fstat(&handle)?.st_mode);
        match kind {
            FileType::RegularFile | FileType::Directory => {}
            FileType::Symlink => return Err(Fault::Symlink),
            _ => return Err(Fault::Special),
        }
        if is_of_the_kernel(&handle)? {
            return Err(Fault::Special);
        }
        let path = real::path(root, handle.as_fd(), rest)?;
        Ok(Self { handle, path, kind })
    }

    /// The same thing, open for reading: not the path again, but the handle.
    pub(super) fn open(&self, flags: OFlags) -> Result<OwnedFd, Fault> {
        let flags = flags | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        real::reopen(self.handle.as_fd(), flags)
    }
}

/// Asks the lease about a path, which is the one that was named or the real one of a handle.
pub(super) fn allowed(granted: &Granted, path: &str) -> Result<(), Fault> {
    if granted.ask(path).map_err(Fault::Over)? { Ok(()) } else { Err(Fault::NotGranted) }
}

impl Files {
    /// The regular file or directory at `path`, if the lease covers the path and the place.
    pub(super) fn place(&self, path: &str, granted: &Granted) -> Result<Place, Fault> {
        let (root, rest) = self.root(path)?;
        // First by name: who may not have it is not told whether it exists.
        allowed(granted, path)?;
        let place = Place::find(root, rest)?;
        allowed(granted, &place.path)?;
        self.single(&fstat(&place.handle)?)?;
        Ok(place)
    }

    /// A regular file has one name. Each other would be a way around the lease.
    pub(super) fn single(&self, stat: &Stat) -> Result<(), Fault> {
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if stat.st_nlink > 1 && regular && !self.hard_links {
            return Err(Fault::HardLink);
        }
        Ok(())
    }
}
