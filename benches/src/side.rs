//! The two sides, behind the calls of `peer/side.h`.

use std::ffi::c_void;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// `struct side_config`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Values a batch at most.
    pub max_batch_size: u64,
    /// Values accepted and not delivered at most; a push that finds no room waits.
    pub outstanding: u64,
    /// The longest a value waits for its batch to fill.
    pub max_delay_ns: i64,
    /// 0: nothing is taken from the queue before `drain`.
    pub consumer: i32,
}

/// `struct side_tally`: the results as the callback saw them.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Tally {
    /// How many came.
    pub delivered: AtomicU64,
    /// Their sum.
    pub sum: AtomicU64,
    /// What the sum should be, by their tags.
    pub expected: AtomicU64,
    /// When the last batch of them came.
    pub last_at: AtomicI64,
}

/// `struct side_calls`.
#[repr(C)]
pub(crate) struct Calls {
    pub(crate) create: extern "C" fn(*const Config) -> *mut c_void,
    pub(crate) push: extern "C" fn(*mut c_void, u64, u64) -> u64,
    pub(crate) drain: extern "C" fn(*mut c_void),
    pub(crate) tally: extern "C" fn(*mut c_void) -> *const Tally,
    pub(crate) bytes_in_use: extern "C" fn(*mut c_void) -> u64,
    pub(crate) destroy: extern "C" fn(*mut c_void),
}

unsafe extern "C" {
    static side_peer: Calls;
    static side_ours: Calls;
    safe fn side_bare_lock(count: u64);
}

// The C objects call the library's exported functions, so it must be linked though no Rust here names it.
use microbatch as _;

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// microbatch.
    Ours,
    /// Mutex, vector and condition variable.
    Peer,
}

/// A batcher of one of the sides.
pub struct Side {
    calls: &'static Calls,
    raw: *mut c_void,
}

// SAFETY: both sides may be pushed to and waited for from any thread.
unsafe impl Send for Side {}
// SAFETY: as above, and several at once.
unsafe impl Sync for Side {}

impl Side {
    /// Makes a batcher. The bench cannot go on without one.
    pub fn new(name: Name, config: Config) -> Side {
        let calls = match name {
            // SAFETY: a constant of peer.cpp with the layout of Calls.
            Name::Peer => unsafe { &side_peer },
            // SAFETY: a constant of ours.c with the layout of Calls.
            Name::Ours => unsafe { &side_ours },
        };
        let raw = (calls.create)(&config);
        assert!(!raw.is_null(), "{name:?} could not be made with {config:?}");
        Side { calls, raw }
    }

    /// Pushes `count` values one by one; value and tag count up from `first`.
    pub fn push(&self, first: u64, count: u64) {
        let taken = (self.calls.push)(self.raw, first, count);
        assert!(
            taken == count,
            "a push was refused after {taken} of {count} values"
        );
    }

    /// Waits until everything pushed is delivered.
    pub fn drain(&self) {
        (self.calls.drain)(self.raw);
    }

    /// The results so far.
    pub fn tally(&self) -> &Tally {
        let tally = (self.calls.tally)(self.raw);
        // SAFETY: it lives as long as the side, and others change it by atomic stores only: `sum` and `expected`
        // before the store to `delivered` that tells of them.
        unsafe { &*tally }
    }

    /// Results delivered so far.
    pub fn delivered(&self) -> u64 {
        // SYNC: Acquire pairs with the store of side_delivered in side.h - the sums.
        self.tally().delivered.load(Ordering::Acquire)
    }

    /// Waits for everything and checks it: `pushed` results, each the double of its value.
    pub fn check(&self, pushed: u64) {
        self.drain();
        assert_eq!(self.delivered(), pushed, "every value has one result");
        let tally = self.tally();
        let (sum, expected) = (
            tally.sum.load(Ordering::Relaxed),
            tally.expected.load(Ordering::Relaxed),
        );
        assert_eq!(sum, expected, "every result belongs to its tag");
    }

    /// Bytes that the side says it holds; 0 if it does not say.
    pub fn bytes_in_use(&self) -> u64 {
        (self.calls.bytes_in_use)(self.raw)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        (self.calls.destroy)(self.raw);
    }
}

/// `count` times lock and unlock of a `std::mutex`.
pub fn bare_lock(count: u64) {
    side_bare_lock(count);
}

/// Nanoseconds of CLOCK_MONOTONIC.
pub fn now() -> i64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is writable.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
