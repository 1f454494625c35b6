//! The question that a backend asks again, once it knows what an operation really reaches.

use std::fmt;
use std::sync::Arc;

use arcp_core::Error;

/// Whether a lease allows a target that was found on the way: the real path of an opened file, the
/// next address of a redirect. A backend asks for every one of them, for the asked one too, and does
/// nothing before it heard yes.
///
/// ```
/// use arcp_tower::operation::Granted;
/// let granted = Granted::new(|path: &str| path.starts_with("/workspace/"));
/// assert!(granted.allows("/workspace/a.txt") && !granted.allows("/etc/passwd"));
/// ```
#[derive(Clone)]
pub struct Granted(Arc<Ask>);

type Ask = dyn Fn(&str) -> Result<bool, Error> + Send + Sync;

impl Granted {
    /// `allows` is asked with a canonical absolute path, or with a URL as the WHATWG rules write it,
    /// without its fragment.
    pub fn new(allows: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self::asking(move |target| Ok(allows(target)))
    }

    /// The same with what else may stand in the way, whatever the target: the end of the lease.
    pub(crate) fn asking(ask: impl Fn(&str) -> Result<bool, Error> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    /// Asks.
    pub fn allows(&self, target: &str) -> bool {
        matches!(self.ask(target), Ok(true))
    }

    /// Whether the lease covers `target`.
    ///
    /// # Errors
    /// What the operation fails with whether it does or not.
    pub(crate) fn ask(&self, target: &str) -> Result<bool, Error> {
        (self.0)(target)
    }
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Granted")
    }
}
