//! A mutex that counts who holds how many, and a condition variable on virtual time.

use crate::world::{self, Waiters};
use core::ops::{Deref, DerefMut};
use std::sync::{PoisonError, TryLockError};

/// A lock to sleep on.
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

/// The right to what a `Mutex` guards, until dropped.
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    /// None only while it is being dropped.
    inner: Option<shuttle::sync::MutexGuard<'a, T>>,
}

/// Where threads wait for a change of what a `Mutex` guards.
pub(crate) struct Condvar(Waiters);

impl<T> Mutex<T> {
    /// A free lock around `value`.
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex(shuttle::sync::Mutex::new(value))
    }

    /// Waits for the lock and takes it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.guard(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the lock if it is free.
    #[allow(dead_code, reason = "as the real one")]
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(self.guard(guard)),
            Err(TryLockError::Poisoned(poisoned)) => Some(self.guard(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The value, by exclusive borrow.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn guard<'a>(&'a self, inner: shuttle::sync::MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        world::count_locks(1);
        MutexGuard {
            mutex: self,
            inner: Some(inner),
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.inner {
            Some(inner) => inner,
            None => unreachable!("a guard has the lock until it is dropped"),
        }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.inner {
            Some(inner) => inner,
            None => unreachable!("a guard has the lock until it is dropped"),
        }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        world::count_locks(-1);
        self.inner = None;
    }
}

impl Condvar {
    /// Nobody waits.
    pub(crate) const fn new() -> Condvar {
        Condvar(Waiters::new())
    }

    /// Leaves the lock, sleeps until notified (or, rarely, for no reason) and takes the lock again.
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.wait_until(guard, i64::MAX)
    }

    /// As `wait`, but no longer than until `deadline_ns`; one that has come returns at once, without leaving the
    /// lock.
    pub(crate) fn wait_until<'a, T>(&self, guard: MutexGuard<'a, T>, deadline_ns: i64) -> MutexGuard<'a, T> {
        if deadline_ns != i64::MAX && deadline_ns <= world::read_clock() {
            return guard;
        }
        world::ensure(world::locks() == 1, "a thread sleeps with a second lock held");
        let mutex = guard.mutex;
        let waiting = self.0.join();
        drop(guard);
        waiting.until(deadline_ns);
        mutex.lock()
    }

    /// Wakes one waiting thread.
    pub(crate) fn notify_one(&self) {
        world::point();
        if !lost() {
            self.0.tell_one();
        }
    }

    /// Wakes all waiting threads.
    pub(crate) fn notify_all(&self) {
        world::point();
        if !lost() {
            self.0.tell_all();
        }
    }
}

/// Whether this notification gets lost: a bug of a world that is to be caught.
fn lost() -> bool {
    world::bug(world::LOSE_NOTIFICATIONS) && world::random(4) == 0
}
