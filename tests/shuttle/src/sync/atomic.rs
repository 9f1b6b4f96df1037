//! Atomics with a choice of who runs before every access. What they hold is where std's would be, so the engine may
//! lay them over plain memory. Only one coroutine runs at a time: every order is as strong as SeqCst.

use crate::world::point;
pub(crate) use core::sync::atomic::Ordering;
use core::sync::atomic::Ordering::SeqCst;

macro_rules! atomics {
    ($($name:ident: $value:ty),+) => {$(
        #[doc = concat!("As std's ", stringify!($name), ".")]
        #[repr(transparent)]
        pub(crate) struct $name(core::sync::atomic::$name);

        #[allow(dead_code, reason = "not every type needs every function")]
        impl $name {
            pub(crate) const fn new(value: $value) -> $name {
                $name(core::sync::atomic::$name::new(value))
            }

            pub(crate) fn load(&self, _order: Ordering) -> $value {
                point();
                self.0.load(SeqCst)
            }

            pub(crate) fn store(&self, value: $value, _order: Ordering) {
                point();
                self.0.store(value, SeqCst);
            }

            pub(crate) fn swap(&self, value: $value, _order: Ordering) -> $value {
                point();
                self.0.swap(value, SeqCst)
            }

            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                _success: Ordering,
                _failure: Ordering,
            ) -> Result<$value, $value> {
                point();
                self.0.compare_exchange(current, new, SeqCst, SeqCst)
            }

            pub(crate) fn fetch_update(
                &self,
                _set: Ordering,
                _fetch: Ordering,
                change: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                point();
                self.0.fetch_update(SeqCst, SeqCst, change)
            }
        }
    )+};
}

macro_rules! numbers {
    ($($name:ident: $value:ty),+) => {
        atomics!($($name: $value),+);
        $(
            #[allow(dead_code, reason = "not every type needs every function")]
            impl $name {
                pub(crate) fn fetch_add(&self, value: $value, _order: Ordering) -> $value {
                    point();
                    self.0.fetch_add(value, SeqCst)
                }

                pub(crate) fn fetch_sub(&self, value: $value, _order: Ordering) -> $value {
                    point();
                    self.0.fetch_sub(value, SeqCst)
                }

                pub(crate) fn fetch_or(&self, value: $value, _order: Ordering) -> $value {
                    point();
                    self.0.fetch_or(value, SeqCst)
                }

                pub(crate) fn fetch_max(&self, value: $value, _order: Ordering) -> $value {
                    point();
                    self.0.fetch_max(value, SeqCst)
                }
            }
        )+
    };
}

atomics!(AtomicBool: bool);
numbers!(AtomicU8: u8, AtomicU32: u32, AtomicU64: u64, AtomicI64: i64, AtomicUsize: usize);
