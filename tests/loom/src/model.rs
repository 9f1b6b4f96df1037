//! What gate.rs, lock.rs and shared.rs find in their parent when loom runs them, and the models.

use std::cell::Cell;

pub(crate) use loom::sync::atomic;

#[path = "../../../src/sync/line.rs"]
mod line;

#[path = "../../../src/sync/lock.rs"]
pub(crate) mod lock;

#[path = "../../../src/sync/gate.rs"]
#[allow(dead_code, reason = "the models need no get_mut")]
mod gate;

#[allow(clippy::expect_used, reason = "a model fails by panicking")]
mod tests;

use line::{LINE, rest_of_line};

/// shared.rs as it is, without its own tests.
#[allow(dead_code, reason = "the models do not need all of it")]
mod shared {
    include!(concat!(env!("OUT_DIR"), "/shared.rs"));
}

/// The first push gets the bias of a fresh gate, the second after a revocation gets it back.
const BIAS_AFTER: u32 = 1;
const BIAS_AFTER_MAX: u32 = 1;

/// A slot for each thread of a model of two, so that turns pass: the trap of the stale owner is two handovers away.
const GATE_SLOTS: usize = 2;

/// Whoever owned the gate once takes turns from then on, and nobody sleeps for them: all orders come without.
const PAID_RUN: u64 = 1;
const DENSE_NS: u64 = 1;
const DENSE_RUN: u64 = 0;
const TURN_NS: i64 = 0;

/// There is memory enough.
fn try_box<T>(value: T) -> Option<Box<T>> {
    Some(Box::new(value))
}

/// Time stands still: everything is dense.
fn monotonic_ns() -> i64 {
    0
}

fn sleep_ns(_ns: i64) {
    unreachable!("turns have no length");
}

/// One look shows all there is to see.
const STEP_BACK: u32 = 1;

loom::thread_local! {
    static ME: Cell<usize> = Cell::new(0);
}

/// Names the calling thread; ids are multiples of 16.
fn be(number: usize) {
    ME.with(|me| me.set(number * 16));
}

fn current_id() -> usize {
    ME.with(Cell::get)
}

fn register() -> bool {
    true
}

/// A compiler fence in the engine, where the kernel's barrier on this core makes the rest.
fn light_fence() {
    atomic::fence(atomic::Ordering::SeqCst);
}

fn heavy_fence() -> bool {
    atomic::fence(atomic::Ordering::SeqCst);
    !REFUSES.get()
}

thread_local! {
    /// The kernel answers no more: the fence has waited, and nobody may rely on it again. loom runs a model on one thread.
    static REFUSES: Cell<bool> = const { Cell::new(false) };
}

struct Backoff;

impl Backoff {
    fn new() -> Backoff {
        Backoff
    }

    fn eager() -> Backoff {
        Backoff
    }

    fn wait(&mut self) {
        loom::thread::yield_now();
    }
}

struct UnsafeCell<T>(loom::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(loom::cell::UnsafeCell::new(value))
    }

    fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        self.0.with_mut(f)
    }
}

/// The files with one bug each.
#[allow(
    dead_code,
    unused_variables,
    unused_imports,
    reason = "a mutant leaves out what it breaks"
)]
mod mutants {
    use super::*;

    macro_rules! mutants {
        ($($name:ident),*) => {
            $(pub(super) mod $name {
                include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
            })*
        };
    }
    mutants!(
        no_light_fence,
        no_heavy_fence,
        no_second_look,
        relaxed_revoke,
        relaxed_return,
        turn_at_once,
        slot_unseen,
        relaxed_take,
        relaxed_leave,
        relaxed_drop,
        no_drop_load,
        relaxed_get_mut
    );
}
