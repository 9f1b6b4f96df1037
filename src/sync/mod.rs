//! The only door to atomics, locks, threads, the clock, fork and descriptors.
//!
//! Nothing here knows what a batch is. Nothing here allocates in a way that can abort: what needs memory
//! answers `None` or an errno.
//!
//! | file | what it gives |
//! |---|---|
//! | [`gate`] | `Gate<T>`: a lock biased to the thread that pushes; its owner needs no read-modify-write |
//! | [`lock`] | `ShortLock`: the lock behind the gate, for critical sections of nanoseconds |
//! | [`barrier`] | the asymmetric fence: free for the owner of a gate, `membarrier` for whoever revokes it |
//! | [`backoff`] | how to wait for something short: pause, then sleep |
//! | [`mutex`] | `Mutex` and `Condvar` without poisoning, deadlines on the monotonic clock |
//! | [`line`] | what of a cache line is left |
//! | [`boxed`] | `try_box`: a `Box` whose allocation can fail |
//! | [`common`] | `Common<T>`: values that are often equal are kept once |
//! | [`shared`] | `Shared<T>`: `Arc` whose allocation can fail |
//! | [`thread`] | threads with signals blocked, a name, a stack size and an exit sentinel |
//! | [`clock`] | nanoseconds of `CLOCK_MONOTONIC` |
//! | [`fetch`] | having a cache line at hand before it is written |
//! | [`fork`] | an epoch that a forked child bumps |
//! | [`fd`] | `TimerFd`: the descriptor a host polls |
//!
//! Miri has no membarrier, timerfd, atfork and thread attributes: where `cfg(miri)` stands in `barrier.rs`, `fd.rs`,
//! `fork.rs` and `backoff.rs`, and in `thread_miri.rs`, it gets the nearest thing that it has.
//!
//! `gate.rs` and `lock.rs` take everything they need from `super`, so that `tests/loom` compiles the very same
//! files against a parent that hands out loom's types. Each atomic access carries a `SYNC:` comment that
//! names its partner and what it publishes.

pub(crate) mod backoff;
pub(crate) mod barrier;
pub(crate) mod boxed;
pub(crate) mod cell;
pub(crate) mod clock;
pub(crate) mod common;
pub(crate) mod fd;
pub(crate) mod fetch;
pub(crate) mod fork;
pub(crate) mod gate;
pub(crate) mod line;
pub(crate) mod lock;
pub(crate) mod mutex;
pub(crate) mod shared;
#[cfg_attr(miri, path = "thread_miri.rs")]
pub(crate) mod thread;

pub(crate) use core::sync::atomic;
pub(crate) use std::sync::OnceLock;

pub(crate) use boxed::try_box;
pub(crate) use common::Common;
pub(crate) use fetch::fetch_to_write;
pub(crate) use gate::Gate;
pub(crate) use line::{LINE, rest_of_line};
pub(crate) use mutex::{Condvar, Mutex, MutexGuard};
pub(crate) use shared::Shared;

// What gate.rs and lock.rs ask of their parent; tests/loom has a second set.
use backoff::{Backoff, sleep_ns};
use barrier::{heavy_fence, light_fence, register};
use cell::UnsafeCell;
use clock::monotonic_ns;
use thread::current_id;

/// Pushes in a row through the lock after which a thread gets the bias of a fresh gate.
const BIAS_AFTER: u32 = 64;

/// Where `BIAS_AFTER` stops doubling: a gate that many threads push to now and then practically stays shared.
const BIAS_AFTER_MAX: u32 = 1 << 20;

/// Pushes that pay for taking the bias back: a revocation costs some microseconds, and the bias saves some nanoseconds
/// a push.
const PAID_RUN: u64 = 1024;

/// Nanoseconds a push: a thread that takes no longer does little else, and while such threads take turns each has the
/// gate for as long as it has a core.
const DENSE_NS: u64 = 20;

/// Pushes that show how dense they come.
const DENSE_RUN: u64 = 32;

/// Nanoseconds of a turn: long beside a revocation, and no longer than whoever waits for a lock sleeps anyway.
const TURN_NS: i64 = 50_000;

/// Values by each push that was woken for room, from which on those that sleep are woken in turns: what a wake costs. It
/// stands here so that the models can have a smaller one.
pub(crate) const DENSE_TURN: u64 = 64;

/// Looks that a thread leaving a `ShortLock` takes while somebody waits to be first: half a microsecond in
/// all.
const STEP_BACK: u32 = 5;

/// Places for owners in one gate; a power of two, at most 16.
const GATE_SLOTS: usize = 8;

// Not inside gate.rs, which tests/loom compiles as well.
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod gate_tests;
