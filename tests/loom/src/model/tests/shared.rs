//! Models of the counted pointer: its value goes once, after all, and is written by whoever is left alone.

use super::{check, start};
use crate::model::{self, be, mutants};
use loom::sync::Arc;

/// A counted value that loom watches.
struct Counted {
    value: loom::cell::UnsafeCell<u32>,
    drops: Arc<loom::sync::atomic::AtomicUsize>,
}

impl Counted {
    fn new(drops: &Arc<loom::sync::atomic::AtomicUsize>) -> Counted {
        Counted {
            value: loom::cell::UnsafeCell::new(0),
            drops: drops.clone(),
        }
    }

    fn read(&self) -> u32 {
        // SAFETY: nobody writes while it is shared.
        self.value.with(|value| unsafe { *value })
    }
}

// SAFETY: loom tells of every access that is not ordered.
unsafe impl Sync for Counted {}
// SAFETY: as above.
unsafe impl Send for Counted {}

impl Drop for Counted {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // SAFETY: the last reference; loom tells if others are not seen to be gone.
        self.value.with_mut(|value| unsafe { *value += 1 });
        self.drops.fetch_add(1, loom::sync::atomic::Ordering::Relaxed);
    }
}

/// References are cloned, read and dropped by two threads: the value goes once, after all were done with it.
macro_rules! counting {
    ($shared:path) => {{
        use $shared as shared;
        check(3, || {
            be(1);
            let drops = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
            let one = shared::Shared::try_new(Counted::new(&drops)).expect("memory");
            let two = one.clone();
            let thread = start(2, move || {
                let three = two.clone();
                drop(two);
                three.read();
            });
            one.read();
            drop(one);
            thread.join().expect("no panic");
            assert_eq!(drops.load(loom::sync::atomic::Ordering::Relaxed), 1);
        });
    }};
}

/// Whoever is left alone may write: it sees what the other did.
macro_rules! left_alone {
    ($shared:path) => {{
        use $shared as shared;
        check(3, || {
            be(1);
            let drops = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
            let mut one = shared::Shared::try_new(Counted::new(&drops)).expect("memory");
            let two = one.clone();
            let thread = start(2, move || {
                two.read();
            });
            if let Some(counted) = one.get_mut() {
                // SAFETY: the only reference; loom tells if it is not.
                counted.value.with_mut(|value| unsafe { *value += 1 });
            }
            thread.join().expect("no panic");
        });
    }};
}

/// A reference goes to another thread as a pointer, as a handle's does.
macro_rules! raw {
    ($shared:path) => {{
        use $shared as shared;
        check(3, || {
            be(1);
            let drops = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
            let one = shared::Shared::try_new(Counted::new(&drops)).expect("memory");
            let address = shared::Shared::into_raw(one.clone()).as_ptr() as usize;
            let thread = start(2, move || {
                let value = std::ptr::NonNull::new(address as *mut Counted).expect("an address");
                // SAFETY: from into_raw above, taken back once.
                drop(unsafe { shared::Shared::from_raw(value) });
            });
            one.read();
            drop(one);
            thread.join().expect("no panic");
            assert_eq!(drops.load(loom::sync::atomic::Ordering::Relaxed), 1);
        });
    }};
}

#[test]
fn a_shared_value_goes_once_and_last() {
    counting!(model::shared);
}

#[test]
fn a_shared_value_is_written_by_who_is_left_alone() {
    left_alone!(model::shared);
}

#[test]
fn a_shared_value_crosses_as_a_pointer() {
    raw!(model::shared);
}

controls! {
    control_relaxed_drop: counting!(mutants::relaxed_drop);
    control_no_drop_load: raw!(mutants::no_drop_load);
    control_relaxed_get_mut: left_alone!(mutants::relaxed_get_mut);
}
