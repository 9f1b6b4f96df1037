//! Knowing that this process is a forked child, where the threads of the parent do not exist.
//!
//! The epoch grows in every child that `fork()` makes. A `clone` or `_Fork` called directly runs no handler
//! and goes unnoticed.

use super::atomic::{AtomicBool, AtomicU32, Ordering};

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
    if INSTALLED.load(Ordering::Acquire) {
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
