//! Models of the lock: one thread at a time, also where one of them comes first.

use super::{check, start};
use crate::model::{self, be, mutants};
use loom::sync::Arc;

/// What a lock guards, for models.
struct Guarded<L> {
    lock: L,
    value: loom::cell::UnsafeCell<u32>,
}

/// Threads take the lock in turn; one of them comes first.
macro_rules! locking {
    ($lock:path, $first:expr) => {{
        use $lock as lock;
        check(3, || {
            be(1);
            let guarded = Arc::new(Guarded {
                lock: lock::ShortLock::new(),
                value: loom::cell::UnsafeCell::new(0),
            });
            let add = |guarded: &Guarded<lock::ShortLock>, me: usize, first: bool, by: u32| {
                let held = if first {
                    guarded.lock.lock_first(me)
                } else {
                    guarded.lock.lock(me)
                };
                // SAFETY: the lock is held; loom tells if it is not.
                guarded.value.with_mut(|value| unsafe { *value += by });
                drop(held);
            };
            let other = guarded.clone();
            let thread = start(2, move || {
                add(&other, 32, $first, 10);
                add(&other, 32, $first, 10);
            });
            add(&guarded, 16, false, 1);
            add(&guarded, 16, false, 1);
            thread.join().expect("no panic");
            // SAFETY: the other thread has ended.
            assert_eq!(guarded.value.with(|value| unsafe { *value }), 22);
        });
    }};
}

#[test]
fn a_lock_is_held_by_one() {
    locking!(model::lock, false);
}

#[test]
fn a_lock_is_held_by_one_that_comes_first() {
    locking!(model::lock, true);
}

controls! {
    control_relaxed_take: locking!(mutants::relaxed_take, false);
    control_relaxed_leave: locking!(mutants::relaxed_leave, true);
}
