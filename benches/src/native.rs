//! The sides that are written in C and C++, behind the calls of `peer/side.h`.

use crate::side::{Config, Name, Side};
use std::ffi::c_void;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// `struct side_tally`: the results as the callback saw them.
#[repr(C)]
#[derive(Debug, Default)]
struct Tally {
    delivered: AtomicU64,
    sum: AtomicU64,
    expected: AtomicU64,
    last_at: AtomicI64,
    batches: AtomicU64,
}

/// `struct side_calls`.
#[repr(C)]
struct Calls {
    create: extern "C" fn(*const Config) -> *mut c_void,
    push: extern "C" fn(*mut c_void, u64, u64, u64) -> u64,
    drain: extern "C" fn(*mut c_void),
    tally: extern "C" fn(*mut c_void) -> *const Tally,
    bytes_in_use: extern "C" fn(*mut c_void) -> u64,
    destroy: extern "C" fn(*mut c_void),
}

// SAFETY: constants of the files in `peer` with the layout of Calls.
unsafe extern "C" {
    safe static side_batcher: Calls;
    safe static side_producer: Calls;
    safe static side_future: Calls;
    safe static side_mutex: Calls;
    safe static side_promise: Calls;
    safe fn side_bare_lock(count: u64);
}

#[cfg(has_moodycamel)]
// SAFETY: as above.
unsafe extern "C" {
    safe static side_moodycamel: Calls;
    safe static side_moodycamel_blocking: Calls;
}

#[cfg(has_rdkafka)]
// SAFETY: as above.
unsafe extern "C" {
    safe static side_rdkafka: Calls;
}

// The C objects call the library's exported functions, so it must be linked though no Rust here names it.
use microbatch as _;

/// A side in C or C++.
pub struct Native {
    calls: &'static Calls,
    raw: *mut c_void,
}

// SAFETY: every side may be pushed to and waited for from any thread.
unsafe impl Send for Native {}
// SAFETY: as above, and several at once.
unsafe impl Sync for Native {}

impl Native {
    /// Makes one.
    pub fn new(name: Name, config: Config) -> Native {
        let calls = match name {
            Name::Batcher => &side_batcher,
            Name::Producer => &side_producer,
            Name::Future => &side_future,
            Name::Mutex => &side_mutex,
            Name::Promise => &side_promise,
            #[cfg(has_moodycamel)]
            Name::Moodycamel => &side_moodycamel,
            #[cfg(has_moodycamel)]
            Name::MoodycamelBlocking => &side_moodycamel_blocking,
            #[cfg(has_rdkafka)]
            Name::Rdkafka => &side_rdkafka,
            _ => unreachable!("cases leave out what is missing"),
        };
        let raw = (calls.create)(&config);
        assert!(!raw.is_null(), "{name:?} could not be made with {config:?}");
        Native { calls, raw }
    }

    fn tally(&self) -> &Tally {
        let tally = (self.calls.tally)(self.raw);
        // SAFETY: it lives as long as the side, and others change it by atomic stores only: `sum` and `expected`
        // before the store to `delivered` that tells of them.
        unsafe { &*tally }
    }
}

impl Side for Native {
    fn push(&self, producer: u64, first: u64, count: u64) {
        let taken = (self.calls.push)(self.raw, producer, first, count);
        assert!(
            taken == count,
            "a push was refused after {taken} of {count} values"
        );
    }

    fn drain(&self) {
        (self.calls.drain)(self.raw);
    }

    fn delivered(&self) -> u64 {
        // SYNC: Acquire pairs with the store of side_delivered in side.h - the sums.
        self.tally().delivered.load(Ordering::Acquire)
    }

    fn last_at(&self) -> i64 {
        self.tally().last_at.load(Ordering::Relaxed)
    }

    fn batches(&self) -> u64 {
        self.tally().batches.load(Ordering::Relaxed)
    }

    fn sums(&self) -> (u64, u64) {
        let tally = self.tally();
        (
            tally.sum.load(Ordering::Relaxed),
            tally.expected.load(Ordering::Relaxed),
        )
    }

    fn bytes_in_use(&self) -> u64 {
        (self.calls.bytes_in_use)(self.raw)
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        (self.calls.destroy)(self.raw);
    }
}

/// `count` times lock and unlock of a `std::mutex`.
pub fn bare_lock(count: u64) {
    side_bare_lock(count);
}
