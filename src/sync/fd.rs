//! The descriptor that a host polls: a timerfd, readable from the time it is set to until it is set again.

use core::ffi::c_int;

/// A timer on CLOCK_MONOTONIC behind a descriptor, closed on drop. Nobody reads it: it is level-triggered,
/// and `disarm` or a later `fire_at` makes it unreadable.
///
/// A forked child shares the timer with its parent: there it may only be dropped.
pub(crate) struct TimerFd {
    raw: c_int,
}

impl TimerFd {
    /// A disarmed timer, close-on-exec and non-blocking. `Err` is an errno (EMFILE, ENFILE, ENOMEM).
    pub(crate) fn new() -> Result<TimerFd, i32> {
        if cfg!(miri) {
            // Miri has no timerfd: nobody polls there.
            return Ok(TimerFd { raw: -1 });
        }
        // SAFETY: takes two integers.
        let raw =
            unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) };
        if raw < 0 {
            Err(errno())
        } else {
            Ok(TimerFd { raw })
        }
    }

    /// Makes it readable now. The kernel does so by a timer interrupt, within microseconds.
    pub(crate) fn fire_now(&self) {
        self.set(1);
    }

    /// Makes it unreadable, and readable at `at_ns` of `monotonic_ns()`; `i64::MAX` is never.
    pub(crate) fn fire_at(&self, at_ns: i64) {
        if at_ns == i64::MAX {
            self.disarm()
        } else {
            self.set(at_ns.max(1))
        }
    }

    /// Makes it unreadable until set again.
    pub(crate) fn disarm(&self) {
        self.set(0);
    }

    /// The descriptor, for select, poll or epoll.
    pub(crate) fn raw(&self) -> c_int {
        self.raw
    }

    /// Absolute time; one in the past fires at once, 0 disarms.
    fn set(&self, at_ns: i64) {
        if cfg!(miri) {
            return;
        }
        let value = libc::timespec {
            tv_sec: (at_ns / 1_000_000_000) as libc::time_t,
            tv_nsec: (at_ns % 1_000_000_000) as _,
        };
        let interval = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let timer = libc::itimerspec {
            it_interval: interval,
            it_value: value,
        };
        // SAFETY: an open timerfd, a valid itimerspec to read, nothing to write.
        let set = unsafe {
            libc::timerfd_settime(
                self.raw,
                libc::TFD_TIMER_ABSTIME,
                &raw const timer,
                core::ptr::null_mut(),
            )
        };
        debug_assert_eq!(set, 0, "the descriptor of the engine was closed by somebody else");
    }
}

impl Drop for TimerFd {
    fn drop(&mut self) {
        if cfg!(miri) {
            return;
        }
        // As a system call: `close` of libc is a cancellation point of the host's thread.
        // SAFETY: the descriptor is this timer's own and not used after.
        unsafe { libc::syscall(libc::SYS_close, self.raw) };
    }
}

fn errno() -> i32 {
    std::io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::sync::clock::monotonic_ns;

    fn readable(timer: &TimerFd, timeout_ms: c_int) -> bool {
        let mut poll = libc::pollfd {
            fd: timer.raw(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&raw mut poll, 1, timeout_ms) == 1 }
    }

    #[test]
    fn it_is_readable_from_its_time_until_disarmed() {
        let timer = TimerFd::new().unwrap();
        assert!(!readable(&timer, 0));
        timer.fire_now();
        assert!(readable(&timer, -1));
        assert!(readable(&timer, 0), "polling does not consume it");
        timer.disarm();
        assert!(!readable(&timer, 0));

        let at = monotonic_ns() + 3_000_000;
        timer.fire_at(at);
        assert!(readable(&timer, -1));
        assert!(monotonic_ns() >= at);

        timer.fire_at(i64::MAX);
        assert!(!readable(&timer, 0));
        timer.fire_at(i64::MAX - 1);
        assert!(!readable(&timer, 0));
        timer.fire_at(i64::MIN);
        assert!(readable(&timer, -1));
    }

    #[test]
    fn it_does_not_survive_exec_and_does_not_block() {
        let timer = TimerFd::new().unwrap();
        // SAFETY: reads two flag words of an open descriptor.
        let closes = unsafe { libc::fcntl(timer.raw(), libc::F_GETFD) };
        // SAFETY: as above.
        let flags = unsafe { libc::fcntl(timer.raw(), libc::F_GETFL) };
        assert_ne!(closes & libc::FD_CLOEXEC, 0);
        assert_ne!(flags & libc::O_NONBLOCK, 0);
    }
}
