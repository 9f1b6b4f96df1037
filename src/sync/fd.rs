//! The descriptor that a host polls: readable now, or from a time on, until it is set again.

use core::cell::Cell;
use core::ffi::c_int;
use core::num::NonZeroI32;

/// An epoll of two: an eventfd that is always readable, watched while the answer is "now", and a timerfd on CLOCK_MONOTONIC
/// for later. A timer alone would do, but one set to a time that is past fires by an interrupt, which costs ten times as
/// much, more in a virtual machine; and a busy host is told "now" once for every batch. Nobody reads it: it is
/// level-triggered.
///
/// A forked child shares it with its parent: there it may only be dropped.
pub(crate) struct TimerFd {
    both: Fd,
    event: Fd,
    timer: Fd,
    /// Whether the eventfd is watched.
    fired: Cell<bool>,
    /// What the timer is set to, 0 if it is not.
    armed: Cell<i64>,
}

impl TimerFd {
    /// Not readable, close-on-exec. `Err` is an errno (EMFILE, ENFILE, ENOMEM).
    pub(crate) fn new() -> Result<TimerFd, i32> {
        let made = if cfg!(miri) {
            // Miri has no timerfd: nobody polls there.
            TimerFd::of([const { Fd(NonZeroI32::MIN) }; 3])
        } else {
            // SAFETY: takes an integer.
            let both = Fd::of(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
            // SAFETY: takes two integers.
            let event = Fd::of(unsafe { libc::eventfd(1, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
            let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
            // SAFETY: takes two integers.
            let timer = Fd::of(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
            both.watch(libc::EPOLL_CTL_ADD, &event, 0)?;
            both.watch(libc::EPOLL_CTL_ADD, &timer, libc::EPOLLIN)?;
            TimerFd::of([both, event, timer])
        };
        Ok(made)
    }

    fn of([both, event, timer]: [Fd; 3]) -> TimerFd {
        TimerFd {
            both,
            event,
            timer,
            fired: Cell::new(false),
            armed: Cell::new(0),
        }
    }

    /// Makes it readable now.
    pub(crate) fn fire_now(&self) {
        self.fire(true);
    }

    /// Makes it unreadable, and readable at `at_ns` of `monotonic_ns()`; `i64::MAX` is never.
    pub(crate) fn fire_at(&self, at_ns: i64) {
        self.arm(if at_ns == i64::MAX { 0 } else { at_ns.max(1) });
        self.fire(false);
    }

    /// Makes it unreadable until set again.
    pub(crate) fn disarm(&self) {
        self.fire_at(i64::MAX);
    }

    /// The descriptor, for select, poll or epoll.
    pub(crate) fn raw(&self) -> c_int {
        self.both.raw()
    }

    fn fire(&self, now: bool) {
        if self.fired.replace(now) == now || cfg!(miri) {
            return;
        }
        let events = if now { libc::EPOLLIN } else { 0 };
        let set = self.both.watch(libc::EPOLL_CTL_MOD, &self.event, events);
        debug_assert_eq!(
            set,
            Ok(()),
            "the descriptor of the engine was closed by somebody else"
        );
    }

    /// Absolute time; one in the past fires at once, 0 disarms.
    fn arm(&self, at_ns: i64) {
        if self.armed.replace(at_ns) == at_ns || cfg!(miri) {
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
                self.timer.raw(),
                libc::TFD_TIMER_ABSTIME,
                &raw const timer,
                core::ptr::null_mut(),
            )
        };
        debug_assert_eq!(set, 0, "the descriptor of the engine was closed by somebody else");
    }
}

/// A descriptor of the engine's own, closed on drop: its complement, which is never 0.
struct Fd(NonZeroI32);

impl Fd {
    fn of(raw: c_int) -> Result<Fd, i32> {
        NonZeroI32::new(!raw).map(Fd).ok_or_else(errno)
    }

    fn raw(&self) -> c_int {
        !self.0.get()
    }

    fn watch(&self, how: c_int, other: &Fd, events: c_int) -> Result<(), i32> {
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: 0,
        };
        // SAFETY: two open descriptors, a valid epoll_event to read.
        let set = unsafe { libc::epoll_ctl(self.raw(), how, other.raw(), &raw mut event) };
        if set < 0 { Err(errno()) } else { Ok(()) }
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        if cfg!(miri) {
            return;
        }
        // As a system call: `close` of libc is a cancellation point of the host's thread.
        // SAFETY: the descriptor is this one's own and not used after.
        unsafe { libc::syscall(libc::SYS_close, self.raw()) };
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
    fn now_and_later_do_not_mix() {
        let timer = TimerFd::new().unwrap();
        timer.fire_at(monotonic_ns() + 3_600_000_000_000);
        timer.fire_now();
        timer.fire_now();
        assert!(readable(&timer, 0));
        timer.fire_at(monotonic_ns() + 3_600_000_000_000);
        assert!(!readable(&timer, 0), "later is not now");
        timer.fire_at(1);
        assert!(readable(&timer, -1));
        timer.fire_now();
        timer.disarm();
        assert!(!readable(&timer, 0));
    }

    #[test]
    fn it_does_not_survive_exec() {
        let timer = TimerFd::new().unwrap();
        for fd in [&timer.both, &timer.event, &timer.timer] {
            // SAFETY: reads the flag word of an open descriptor.
            let closes = unsafe { libc::fcntl(fd.raw(), libc::F_GETFD) };
            assert_ne!(closes & libc::FD_CLOEXEC, 0);
        }
    }
}
