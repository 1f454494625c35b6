//! Why an operation on a file failed, and how the agent is told.

use std::io;

use arcp_core::{Code, Error};
use rustix::io::Errno;

/// What stood in the way. It never holds a path: the only one that is told is the one that was asked
/// for.
#[derive(Debug)]
pub(super) enum Fault {
    /// The text of the path breaks this rule.
    Form(&'static str),
    /// The path leads out of the roots.
    Outside,
    /// The lease does not cover what the path leads to.
    NotGranted,
    /// The lease allows nothing any more.
    Over(Error),
    /// A regular file with more names than one.
    HardLink,
    /// The last component of a write is a symlink.
    Symlink,
    /// Neither a regular file nor a directory, or part of `/proc`, `/sys` or `/dev`.
    Special,
    /// A directory, where a file is needed.
    Directory,
    /// No directory, where one is needed.
    NotDirectory,
    /// More than a bound: of what, and which.
    Limit(&'static str, usize),
    /// The place moved again and again while it was looked for.
    Moved,
    /// The system refused.
    System(Errno),
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        match errno {
            // What the kernel says when a path would leave the directory that it is resolved below.
            Errno::XDEV => Self::Outside,
            Errno::LOOP => Self::Symlink,
            Errno::ISDIR => Self::Directory,
            // A rename elsewhere made the kernel unsure.
            Errno::AGAIN => Self::Moved,
            // What opening a socket or a device without a driver says.
            Errno::NXIO | Errno::NODEV => Self::Special,
            errno => Self::System(errno),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Errno::from_io_error(&error).unwrap_or(Errno::IO).into()
    }
}

impl Fault {
    /// The error that an agent sees.
    pub(super) fn about(self, path: &str) -> Error {
        use Code::{InternalError, InvalidRequest, PermissionDenied};
        let (code, reason, text) = match self {
            Self::Over(error) => return error,
            Self::Form(rule) => return Error::fault("path", rule).with_detail("reason", "path"),
            Self::Limit(of, most) => return Error::limit(format!("`{path}`: {of} must be at most {most}")),
            Self::Outside => (PermissionDenied, "outside", "leads out of the directories that are served"),
            Self::NotGranted => (PermissionDenied, "not_granted", "is not covered by the lease"),
            Self::HardLink => (PermissionDenied, "hard_link", "has more than one name"),
            Self::Symlink => (PermissionDenied, "symlink", "is or has a symlink that is not followed"),
            Self::Special => (PermissionDenied, "special", "is neither a regular file nor a directory"),
            Self::Directory => (InvalidRequest, "directory", "is a directory"),
            Self::NotDirectory => (InvalidRequest, "not_a_directory", "is not a directory"),
            Self::Moved => (InternalError, "moved", "moved while it was opened"),
            Self::System(Errno::NOENT | Errno::NOTDIR) => (InvalidRequest, "not_found", "does not exist"),
            Self::System(Errno::NAMETOOLONG) => (InvalidRequest, "path", "is too long"),
            Self::System(Errno::ACCESS | Errno::PERM) => {
                (PermissionDenied, "system", "is not open to the runtime")
            }
            Self::System(Errno::ROFS) => (PermissionDenied, "system", "is on a read-only file system"),
            Self::System(Errno::NOSPC | Errno::DQUOT) => (InternalError, "storage_full", "has no room"),
            Self::System(_) => (InternalError, "io", "could not be used"),
        };
        Error::new(code, format!("`{path}` {text}")).with_detail("reason", reason)
    }
}
