//! The gate as a plain lock.

use super::mutex::Mutex;
use crate::world;

/// A value that one thread at a time reaches.
pub(crate) struct Gate<T>(Mutex<T>);

impl<T> Gate<T> {
    /// A gate around `value`; nobody takes turns.
    pub(crate) const fn new(value: T, _count: fn(&T) -> u64) -> Gate<T> {
        Gate(Mutex::new(value))
    }

    /// Runs `f` on the value.
    pub(crate) fn push<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        self.visit(f)
    }

    /// Runs `f` on the value.
    pub(crate) fn push_if_owner<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        Some(self.visit(f))
    }

    /// Runs `f` on the value.
    pub(crate) fn visit<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let mut guard = self.0.lock();
        // Plain stores follow that others must not see half done; a choice here shows a lock that does not lock.
        world::point();
        f(&mut guard)
    }
}
