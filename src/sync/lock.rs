//! `ShortLock`: the lock behind a gate.
//!
//! It holds the id of the thread that has it, so a thread that comes back to a lock it has is told, and it is
//! given back by a plain store. Nobody parks on it: critical sections last nanoseconds, and a holder that
//! lost its core is waited for by `Backoff`, which pauses and then sleeps.
//!
//! It is not fair, which is what makes it fast: a thread that pushes again has the cache lines. So that a
//! thread that comes rarely (whoever seals) is not kept waiting by threads that never stop, it may come
//! *first*: while it waits, whoever leaves the lock steps back for a moment.

use super::atomic::{AtomicU32, AtomicUsize, Ordering};
use super::{Backoff, STEP_BACK};

/// A lock without data; the gate keeps the data beside it.
pub(crate) struct ShortLock {
    /// Thread id of the holder, 0 = free.
    holder: AtomicUsize,
    /// Threads that wait in `lock_first`.
    first: AtomicU32,
}

/// The right to what the lock guards, until dropped.
pub(crate) struct Held<'a> {
    lock: &'a ShortLock,
}

impl ShortLock {
    /// A free lock.
    pub(crate) fn new() -> ShortLock {
        ShortLock {
            holder: AtomicUsize::new(0),
            first: AtomicU32::new(0),
        }
    }

    /// Takes the lock for thread `me` (not 0). Panics if that thread has it already.
    #[inline]
    pub(crate) fn lock(&self, me: usize) -> Held<'_> {
        if !self.take(me) {
            self.wait(me, Backoff::new());
        }
        Held { lock: self }
    }

    /// As `lock`, before threads that come again and again.
    #[inline]
    pub(crate) fn lock_first(&self, me: usize) -> Held<'_> {
        if !self.take(me) {
            let waiting = First::new(self);
            self.wait(me, Backoff::eager());
            drop(waiting);
        }
        Held { lock: self }
    }

    #[inline]
    fn take(&self, me: usize) -> bool {
        // SYNC: Acquire pairs with Held::drop - what the last holder wrote under the lock.
        self.holder
            .compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    #[cold]
    #[inline(never)]
    fn wait(&self, me: usize, mut backoff: Backoff) {
        loop {
            // SYNC: Relaxed; a hint before the exchange in `take`, except that only this thread stores `me`.
            let holder = self.holder.load(Ordering::Relaxed);
            if holder == 0 && self.take(me) {
                return;
            }
            assert!(holder != me, "the function given to a gate called the same gate");
            backoff.wait();
        }
    }

    /// Lets whoever waits in `lock_first` have the lock next, if it is awake.
    #[cold]
    #[inline(never)]
    fn step_back(&self) {
        let mut backoff = Backoff::new();
        for _ in 0..STEP_BACK {
            backoff.wait();
            // SYNC: Relaxed; hints that publish nothing.
            if self.holder.load(Ordering::Relaxed) != 0 || self.first.load(Ordering::Relaxed) == 0 {
                return;
            }
        }
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        // SYNC: Release pairs with ShortLock::take - what this holder wrote under the lock.
        self.lock.holder.store(0, Ordering::Release);
        // SYNC: Relaxed; a hint that publishes nothing. On the cache line just written.
        if self.lock.first.load(Ordering::Relaxed) != 0 {
            self.lock.step_back();
        }
    }
}

/// A thread waiting to be first; dropped also when the wait panics.
struct First<'a> {
    lock: &'a ShortLock,
}

impl<'a> First<'a> {
    fn new(lock: &'a ShortLock) -> First<'a> {
        // SYNC: Relaxed; a hint that publishes nothing.
        lock.first.fetch_add(1, Ordering::Relaxed);
        First { lock }
    }
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        // SYNC: Relaxed; a hint that publishes nothing.
        self.lock.first.fetch_sub(1, Ordering::Relaxed);
    }
}
