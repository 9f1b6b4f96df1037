//! `Mutex` and `Condvar` of std without poisoning: what they guard in the engine is consistent at every point
//! where code that can panic runs, because no callback runs under a lock.

use core::ops::{Deref, DerefMut};
use core::time::Duration;
use std::sync::PoisonError;
#[cfg(test)]
use std::sync::TryLockError;

use super::clock::monotonic_ns;

/// A lock to sleep on, for critical sections that are not the gate's. Allocates nothing.
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

/// The right to what a `Mutex` guards, until dropped.
#[must_use = "the lock is left when the guard is dropped"]
pub(crate) struct MutexGuard<'a, T>(std::sync::MutexGuard<'a, T>);

/// Where threads wait for a change of what a `Mutex` guards.
pub(crate) struct Condvar(std::sync::Condvar);

impl<T> Mutex<T> {
    /// A free lock around `value`.
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex(std::sync::Mutex::new(value))
    }

    /// Waits for the lock and takes it.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the lock if it is free.
    #[inline]
    #[cfg(test)]
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(MutexGuard(guard)),
            Err(TryLockError::Poisoned(poisoned)) => Some(MutexGuard(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The value, by exclusive borrow.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl Condvar {
    /// Nobody waits.
    pub(crate) const fn new() -> Condvar {
        Condvar(std::sync::Condvar::new())
    }

    /// Leaves the lock, sleeps until notified (or, rarely, for no reason) and takes the lock again.
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        MutexGuard(self.0.wait(guard.0).unwrap_or_else(PoisonError::into_inner))
    }

    /// As `wait`, but no longer than until `deadline_ns` of `monotonic_ns()`; `i64::MAX` is forever. A
    /// deadline that has come returns at once, without leaving the lock. The caller looks at its condition
    /// and the clock again.
    pub(crate) fn wait_until<'a, T>(&self, guard: MutexGuard<'a, T>, deadline_ns: i64) -> MutexGuard<'a, T> {
        if deadline_ns == i64::MAX {
            return self.wait(guard);
        }
        let left = deadline_ns.saturating_sub(monotonic_ns());
        if left <= 0 {
            return guard;
        }
        // Positive, so the cast keeps it. std adds it to the same clock and sleeps to an absolute time.
        let left = Duration::from_nanos(left as u64);
        let (guard, _) = self
            .0
            .wait_timeout(guard.0, left)
            .unwrap_or_else(PoisonError::into_inner);
        MutexGuard(guard)
    }

    /// Wakes one waiting thread.
    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all waiting threads.
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_ends_a_wait_and_a_past_one_does_not_begin_it() {
        let mutex = Mutex::new(7);
        let condvar = Condvar::new();
        let deadline = monotonic_ns() + 2_000_000;
        let mut guard = mutex.lock();
        while monotonic_ns() < deadline {
            guard = condvar.wait_until(guard, deadline);
        }
        guard = condvar.wait_until(guard, deadline);
        guard = condvar.wait_until(guard, i64::MIN);
        assert_eq!(*guard, 7);
        assert!(mutex.try_lock().is_none());
        drop(guard);
        assert!(mutex.try_lock().is_some());
    }

    #[test]
    fn a_notification_ends_a_wait_without_end() {
        let turn = Mutex::new(0);
        let condvar = Condvar::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut guard = turn.lock();
                while *guard != 1 {
                    guard = condvar.wait_until(guard, i64::MAX);
                }
                *guard = 2;
                condvar.notify_all();
            });
            let mut guard = turn.lock();
            *guard = 1;
            condvar.notify_one();
            while *guard != 2 {
                guard = condvar.wait(guard);
            }
        });
    }

    #[test]
    fn a_panic_under_the_lock_leaves_it_usable() {
        let mut mutex = Mutex::new(1);
        std::thread::scope(|scope| {
            let ended = scope
                .spawn(|| {
                    let mut guard = mutex.lock();
                    *guard = 2;
                    std::panic::resume_unwind(Box::new("on purpose"));
                })
                .join();
            assert!(ended.is_err());
        });
        assert_eq!(*mutex.lock(), 2);
        assert_eq!(mutex.try_lock().map(|guard| *guard), Some(2));
        assert_eq!(*mutex.get_mut(), 2);
    }
}
