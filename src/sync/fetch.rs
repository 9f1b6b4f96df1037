//! Having a cache line at hand before it is written.

/// Asks for the line at `at` to write to it, without waiting for it. The address may lie anywhere: nothing is read, and
/// nothing faults.
///
/// A producer writes where another core read last. A store waits for such a line, and stores wait in a queue that a few
/// pushes fill; lines asked for early come while other work is done. (The compiler's own prefetch asks to read, which
/// leaves the line with the other core.)
#[inline(always)]
pub(crate) fn fetch_to_write<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a hint; on processors that do not know it, it does nothing.
    unsafe {
        core::arch::asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: a hint, which never faults.
    unsafe {
        core::arch::asm!("prfm pstl1keep, [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = at;
}
