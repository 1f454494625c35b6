//! Listing a directory.

use rustix::fs::{AtFlags, Dir, FileType, OFlags, statat};
use rustix::io::Errno;

use super::fault::Fault;
use super::{Files, Granted};

/// What something in a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symlink, whatever it leads to.
    Symlink,
    /// Something that cannot be opened here: a device, a FIFO, a socket.
    Other,
}

impl EntryKind {
    /// Its name: `file`, `directory`, `symlink`, `other`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
            Self::Other => "other",
        }
    }
}

/// Something in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its name in the directory.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of a regular file; 0 for the others.
    pub size: u64,
}

impl Files {
    pub(super) fn list_now(&self, path: &str, granted: &Granted) -> Result<Vec<Entry>, Fault> {
        let place = self.place(path, granted)?;
        if place.kind != FileType::Directory {
            return Err(Fault::NotDirectory);
        }
        let directory = place.open(OFlags::DIRECTORY)?;
        let mut entries = Vec::new();
        for found in Dir::read_from(&directory)? {
            let found = found?;
            let Ok(name) = found.file_name().to_str() else { continue };
            if matches!(name, "." | "..") {
                continue;
            }
            if entries.len() == self.limits.entries {
                return Err(Fault::Limit("the entries of the directory", self.limits.entries));
            }
            let stat = match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                // It went away meanwhile.
                Err(Errno::NOENT) => continue,
                stat => stat?,
            };
            let (kind, size) = match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => (EntryKind::File, u64::try_from(stat.st_size).unwrap_or(0)),
                FileType::Directory => (EntryKind::Directory, 0),
                FileType::Symlink => (EntryKind::Symlink, 0),
                _ => (EntryKind::Other, 0),
            };
            entries.push(Entry { name: name.to_owned(), kind, size });
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }
}
