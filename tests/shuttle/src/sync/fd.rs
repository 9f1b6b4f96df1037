//! A descriptor that models can wait for: [`crate::world::readable`].

use crate::world::{self, Armed};

/// A timer behind a number.
pub(crate) struct TimerFd {
    raw: i32,
}

impl TimerFd {
    /// A disarmed timer.
    pub(crate) fn new() -> Result<TimerFd, i32> {
        Ok(TimerFd {
            raw: world::open_fd(),
        })
    }

    /// Makes it readable now.
    pub(crate) fn fire_now(&self) {
        world::arm_fd(self.raw, Armed::At(0));
    }

    /// Makes it readable at `at_ns`.
    pub(crate) fn fire_at(&self, at_ns: i64) {
        world::arm_fd(
            self.raw,
            if at_ns == i64::MAX {
                Armed::Never
            } else {
                Armed::At(at_ns)
            },
        );
    }

    /// Makes it unreadable until set again.
    pub(crate) fn disarm(&self) {
        world::arm_fd(self.raw, Armed::Never);
    }

    /// The number.
    pub(crate) fn raw(&self) -> i32 {
        self.raw
    }
}

impl Drop for TimerFd {
    fn drop(&mut self) {
        world::arm_fd(self.raw, Armed::Closed);
    }
}
