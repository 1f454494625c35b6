//! Writing a file: beside the old one, then in its place.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{
    Access, AtFlags, FileType, Mode, OFlags, accessat, fchmod, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use super::fault::Fault;
use super::place::{Place, allowed};
use super::{Files, Granted};

impl Files {
    pub(super) fn write_now(&self, path: &str, content: &[u8], granted: &Granted) -> Result<(), Fault> {
        let (root, rest) = self.root(path)?;
        allowed(granted, path)?;
        if content.len() > self.limits.write {
            return Err(Fault::Limit("the bytes to write", self.limits.write));
        }
        if rest == "." {
            return Err(Fault::Directory);
        }
        let (parent, name) = rest.rsplit_once('/').unwrap_or((".", rest));
        let parent = Place::find(root, parent)?;
        if parent.kind != FileType::Directory {
            return Err(Fault::System(Errno::NOTDIR));
        }
        // The name is one component in a directory that is held: it cannot lead anywhere else.
        allowed(granted, &format!("{}/{name}", parent.path.trim_end_matches('/')))?;
        let directory = parent.handle.as_fd();
        let mode = self.replaceable(directory, name)?;
        let beside = Beside::create(directory)?;
        beside.fill(content, mode)?;
        beside.take_the_place_of(name)
    }

    /// The mode of the regular file with this name, if there is one and it may be replaced. What
    /// comes to have the name after this is replaced as well; it is never followed.
    fn replaceable(&self, directory: BorrowedFd<'_>, name: &str) -> Result<Option<Mode>, Fault> {
        let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(None),
            stat => stat?,
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => return Err(Fault::Directory),
            FileType::Symlink => return Err(Fault::Symlink),
            _ => return Err(Fault::Special),
        }
        self.single(&stat)?;
        // A rename asks only the directory; a file that is read-only says no here.
        accessat(directory, name, Access::WRITE_OK, AtFlags::empty())?;
        Ok(Some(Mode::from_raw_mode(stat.st_mode) & (Mode::RWXU | Mode::RWXG | Mode::RWXO)))
    }
}

/// A new file in the same directory, removed again unless it takes a place.
struct Beside<'a> {
    directory: BorrowedFd<'a>,
    name: String,
    file: File,
    kept: bool,
}

impl<'a> Beside<'a> {
    fn create(directory: BorrowedFd<'a>) -> Result<Self, Fault> {
        let name = format!(".arcp-{:032x}", crate::random::bits());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(directory, &name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(Self { directory, name, file: file.into(), kept: false })
    }

    fn fill(&self, content: &[u8], mode: Option<Mode>) -> Result<(), Fault> {
        (&self.file).write_all(content)?;
        if let Some(mode) = mode {
            fchmod(&self.file, mode)?;
        }
        Ok(self.file.sync_all()?)
    }

    fn take_the_place_of(mut self, name: &str) -> Result<(), Fault> {
        renameat(self.directory, &self.name, self.directory, name)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        if !self.kept {
            // The fault that led here is the one to tell.
            let _ = unlinkat(self.directory, &self.name, AtFlags::empty());
        }
    }
}
