//! The asymmetric fence: one side pays nothing, the other asks the kernel to run a fence on every core.
//!
//! `light_fence()` on the frequent side and `heavy_fence()` on the rare side order as a pair of
//! `fence(SeqCst)` would: of `store a; light; load b` and `store b; heavy; load a`, at least one load sees the
//! other's store. The kernel's half is `membarrier(PRIVATE_EXPEDITED)`: every core that runs a thread of
//! this process passes a full barrier before the call returns, and a thread that runs nowhere passed one when
//! it was switched out.

use super::atomic::Ordering;
#[cfg(not(miri))]
use super::atomic::compiler_fence;

/// How long `heavy_fence` sleeps when the kernel stops answering.
const DRAIN_NS: i64 = 10_000_000;

/// Keeps the compiler from moving memory accesses across; costs no instruction.
#[inline(always)]
pub(crate) fn light_fence() {
    // SYNC: pairs with heavy_fence of whoever stored before it; the processor's half is made there.
    #[cfg(not(miri))]
    compiler_fence(Ordering::SeqCst);
    // SYNC: the same pair. Miri has no membarrier: both halves are the fences that they stand for.
    #[cfg(miri)]
    super::atomic::fence(Ordering::SeqCst);
}

/// Announces to the kernel that this process uses `heavy_fence`. False: it refuses, so nothing may rely on
/// it. Calling again is cheap.
pub(crate) fn register() -> bool {
    membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
}

/// Runs a full barrier on every core that runs this process.
///
/// False: the kernel answered before and refuses now (a sandbox was closed meanwhile). The call has then
/// slept 10 ms, far longer than a store waits in a store buffer or an issued load for its value, so the order
/// holds in practice; the caller must not rely on the fence again.
pub(crate) fn heavy_fence() -> bool {
    let fenced = membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
        // A new address space (some forks and clones) has no registration yet.
        || (register() && membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED));
    // SYNC: the caller's own half, also against a compiler that would look through the system call.
    super::atomic::fence(Ordering::SeqCst);
    if !fenced {
        super::backoff::sleep_ns(DRAIN_NS);
        // SYNC: what the caller loads next, it loads after the sleep.
        super::atomic::fence(Ordering::SeqCst);
    }
    fenced
}

fn membarrier(command: libc::c_int) -> bool {
    #[cfg(test)]
    if tests::REFUSE.get() {
        return false;
    }
    if cfg!(miri) {
        // See `light_fence`.
        return true;
    }
    // SAFETY: membarrier takes two integers (and ignores a third) and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        /// Set, the kernel of this thread refuses membarrier.
        pub(crate) static REFUSE: Cell<bool> = const { Cell::new(false) };
    }

    #[test]
    fn a_refusing_kernel_is_noticed_and_the_fence_waits() {
        REFUSE.set(true);
        assert!(!register());
        let start = crate::sync::clock::monotonic_ns();
        assert!(!heavy_fence());
        assert!(crate::sync::clock::monotonic_ns() - start >= DRAIN_NS);
        REFUSE.set(false);
    }

    #[test]
    fn registration_can_be_repeated() {
        let first = register();
        assert_eq!(register(), first);
        assert_eq!(heavy_fence(), first);
    }
}
