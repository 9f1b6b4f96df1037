//! Waiting for something that takes nanoseconds, unless its thread was descheduled.
//!
//! Pauses first, then short sleeps. There is no `sched_yield` between: beside threads that never sleep it
//! costs a whole time slice (measured: 5 to 35 ms at p99 for one visit against two busy pushers on two
//! cores), and to a thread of lower priority it gives nothing.

/// Sleep of every round after the pauses, in nanoseconds.
const SLEEP_NS: i64 = 50_000;

/// The state of one wait. Make a new one for each.
pub(crate) struct Backoff {
    round: u32,
    /// Rounds of pauses before the first sleep.
    rounds: u32,
    /// Log2 of the most `pause` instructions in a round; the rounds before double up to it.
    most: u32,
}

impl Backoff {
    /// A wait that looks less and less often: for locks that many want, and the fewer look the faster they
    /// turn.
    pub(crate) const fn new() -> Backoff {
        Backoff {
            round: 0,
            rounds: 12,
            most: 5,
        }
    }

    /// A wait that looks all the time: for the one thread that others step back for.
    pub(crate) const fn eager() -> Backoff {
        Backoff {
            round: 0,
            rounds: 500,
            most: 1,
        }
    }

    /// Waits a little.
    pub(crate) fn wait(&mut self) {
        if self.round < self.rounds {
            for _ in 0..1_u32 << self.round.min(self.most) {
                core::hint::spin_loop();
            }
            self.round += 1;
        } else {
            sleep_ns(SLEEP_NS);
        }
    }
}

/// Sleeps about `ns` nanoseconds, below one second; a signal may end it early. Unlike `nanosleep` of libc it
/// is no cancellation point, so a host that cancels its threads cannot unwind out of it.
pub(crate) fn sleep_ns(ns: i64) {
    if cfg!(miri) {
        // Miri has the function and not the system call, and no cancellation.
        return std::thread::sleep(core::time::Duration::from_nanos(ns as u64));
    }
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: ns as _,
    };
    // SAFETY: the kernel reads `time`, which lives through the call, and writes nothing (the rest is null).
    unsafe {
        libc::syscall(
            libc::SYS_nanosleep,
            &raw const time,
            core::ptr::null_mut::<libc::timespec>(),
        )
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::clock::monotonic_ns;

    #[test]
    fn a_wait_reaches_the_sleep_and_stays_there() {
        for mut backoff in [Backoff::new(), Backoff::eager()] {
            for _ in 0..backoff.rounds {
                backoff.wait();
            }
            let start = monotonic_ns();
            backoff.wait();
            backoff.wait();
            assert!(
                monotonic_ns() - start >= SLEEP_NS,
                "two sleeping rounds last at least one"
            );
            assert_eq!(backoff.round, backoff.rounds);
        }
    }
}
