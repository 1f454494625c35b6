//! Locks whose holders do not panic half way: what a poisoned one guards is whole.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, whether a thread panicked under the lock or not.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
