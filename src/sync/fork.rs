//! Knowing that this process is a forked child, where the threads of the parent do not exist.
//!
//! The epoch grows in every child that `fork()` makes. A `clone` or `_Fork` called directly runs no handler
//! and goes unnoticed.

use super::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use super::boxed::try_box;
use core::ptr::null_mut;

static EPOCH: AtomicU32 = AtomicU32::new(0);
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// The number of forks between the first process and this one, or more; compare for equality only.
#[inline(always)]
pub(crate) fn epoch() -> u32 {
    // SYNC: Relaxed; written by `forked` only, in a child that has one thread and starts others later.
    EPOCH.load(Ordering::Relaxed)
}

/// Has forked children counted from now on. `Err` is an errno (ENOMEM).
pub(crate) fn install() -> Result<(), i32> {
    // SYNC: Acquire pairs with the store below - the handler is registered. Two threads that come at once
    // both register: the child then counts twice, which changes the epoch as well. A lock here could be held
    // by a thread that a fork leaves behind.
    if INSTALLED.load(Ordering::Acquire) || cfg!(miri) {
        // Miri neither forks nor has pthread_atfork.
        return Ok(());
    }
    // SAFETY: `forked` may run in a forked child: it touches one atomic. The library is never unloaded.
    let errno = unsafe { libc::pthread_atfork(None, None, Some(forked)) };
    if errno != 0 {
        return Err(errno);
    }
    // SYNC: Release pairs with the load above.
    INSTALLED.store(true, Ordering::Release);
    Ok(())
}

unsafe extern "C" fn forked() {
    // SYNC: Relaxed; the child has one thread.
    EPOCH.fetch_add(1, Ordering::Relaxed);
}

/// Something that each process has one of. A forked child makes its own and leaves its parent's alone: a thread that
/// the child does not have may have been in the middle of changing that, with its lock held. One that was made stays
/// for good.
pub(crate) struct PerProcess<T> {
    newest: AtomicPtr<OfProcess<T>>,
}

struct OfProcess<T> {
    epoch: u32,
    value: T,
}

impl<T> PerProcess<T> {
    pub(crate) const fn new() -> PerProcess<T> {
        PerProcess {
            newest: AtomicPtr::new(null_mut()),
        }
    }

    /// This process's, if it has one.
    pub(crate) fn get(&self) -> Option<&T> {
        // SYNC: Acquire pairs with the exchange of `get_or_make` - the value.
        let newest = self.newest.load(Ordering::Acquire);
        // SAFETY: null, or a leaked box, which is never freed and never changed but by its own means.
        let newest = unsafe { newest.as_ref() }?;
        (newest.epoch == epoch()).then_some(&newest.value)
    }

    /// This process's, made if there is none; None if memory ran out.
    pub(crate) fn get_or_make(&self, make: impl FnOnce() -> T) -> Option<&T> {
        if let Some(value) = self.get() {
            return Some(value);
        }
        // SYNC: Relaxed; only compared with.
        let before = self.newest.load(Ordering::Relaxed);
        let made = Box::into_raw(try_box(OfProcess {
            epoch: epoch(),
            value: make(),
        })?);
        // SYNC: Release pairs with the load of `get`. If another thread was first, its value counts.
        if self
            .newest
            .compare_exchange(before, made, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            // SAFETY: the box was just leaked, and nobody was told of it.
            drop(unsafe { Box::from_raw(made) });
        }
        self.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_has_another_epoch_and_the_parent_keeps_its_own() {
        assert_eq!(install(), Ok(()));
        assert_eq!(install(), Ok(()));
        let before = epoch();
        // SAFETY: the child makes only calls that are safe in a signal handler, and _exit.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let code = if epoch() != before && install().is_ok() {
                42
            } else {
                1
            };
            // SAFETY: _exit ends the child and runs nothing.
            unsafe { libc::_exit(code) };
        }
        assert!(child > 0);
        let mut status = 0;
        // SAFETY: waits for the child above and writes one int.
        let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(waited, child);
        assert!(libc::WIFEXITED(status));
        assert_eq!(libc::WEXITSTATUS(status), 42);
        assert_eq!(epoch(), before);
    }
}
