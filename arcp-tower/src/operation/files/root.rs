//! A directory that an operator named, held open.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};

use super::place;

/// A directory and the name by which leases know it.
#[derive(Debug)]
pub(super) struct Root {
    /// Absolute, without a slash at its end; empty for `/`.
    name: String,
    pub(super) handle: OwnedFd,
}

impl Root {
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let refuse = |rule: &str| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {rule}", directory.display()))
        };
        let absolute = std::path::absolute(directory)?;
        let name = absolute.to_str().ok_or_else(|| refuse("is not UTF-8"))?.trim_end_matches('/');
        if name.split('/').any(|part| part == "..") {
            return Err(refuse("must have no `..`"));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = open(&absolute, flags, Mode::empty()).map_err(|e| refuse(&e.to_string()))?;
        if place::is_of_the_kernel(&handle).map_err(|_| refuse("cannot be placed, is /proc mounted?"))? {
            return Err(refuse("is part of /proc, /sys or /dev"));
        }
        Ok(Self { name: name.to_owned(), handle })
    }

    /// What `path` is below this directory: `None` if it is not, `.` if it is this one.
    pub(super) fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        match path.strip_prefix(&self.name)? {
            "" | "/" => Some("."),
            rest => rest.strip_prefix('/'),
        }
    }

    /// The path of what lies at `rest` below it.
    pub(super) fn path_of(&self, rest: &str) -> String {
        match rest {
            "." | "" if self.name.is_empty() => "/".to_owned(),
            "." | "" => self.name.clone(),
            rest => format!("{}/{rest}", self.name),
        }
    }
}
