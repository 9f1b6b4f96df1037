//! `Shared<T>`: a counted pointer whose allocation can fail. `Arc::new` aborts when memory runs out; this answers
//! `None`. There are no weak pointers.

use core::marker::PhantomData;
use core::mem::offset_of;
use core::ops::Deref;
use core::ptr::NonNull;
use std::alloc::Layout;

use super::LINE;
use super::atomic::{AtomicUsize, Ordering};

/// One reference to a counted value; the last one dropped drops the value.
pub(crate) struct Shared<T> {
    inner: NonNull<Inner<T>>,
    /// Dropping a `Shared` may drop an `Inner`.
    owns: PhantomData<Inner<T>>,
}

#[repr(C)]
struct Inner<T> {
    count: AtomicUsize,
    value: T,
}

/// Where a value of several cache lines begins: behind the count, and thereby so many bytes into the first line.
pub(crate) const IN_LINE: usize = size_of::<AtomicUsize>();

/// Counts beyond this abort: references were leaked, and the count must not wrap.
const MAX_COUNT: usize = isize::MAX as usize;

// SAFETY: as Arc: a reference on another thread gives &T there (Sync), and may be the last and drop T there
// (Send).
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as Arc: a &Shared can be cloned on another thread, which makes it a Shared there.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

/// Inner's, from the start of a cache line on if it takes several.
fn layout<T>() -> Layout {
    let layout = Layout::new::<Inner<T>>();
    if layout.size() < 2 * LINE {
        return layout;
    }
    layout.align_to(LINE).unwrap_or(layout)
}

impl<T> Shared<T> {
    /// The first reference to `value`; None, with `value` dropped, when there is no memory.
    pub(crate) fn try_new(value: T) -> Option<Shared<T>> {
        // SAFETY: Inner has a count, so its size is not 0.
        let memory = unsafe { std::alloc::alloc(layout::<T>()) };
        let inner = NonNull::new(memory.cast::<Inner<T>>())?;
        // SAFETY: fresh memory of Inner's layout, which nobody else knows.
        unsafe {
            inner.write(Inner {
                count: AtomicUsize::new(1),
                value,
            })
        };
        Some(Shared {
            inner,
            owns: PhantomData,
        })
    }

    /// The value, if this is the only reference.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        // SYNC: Acquire pairs with the Release decrement of drop - what the other references did before they
        // went.
        if self.inner().count.load(Ordering::Acquire) != 1 {
            return None;
        }
        // SAFETY: the only reference is borrowed exclusively by the caller, so nobody can clone or read it.
        Some(unsafe { &mut self.inner.as_mut().value })
    }

    /// How many references there are; only a hint while other threads have some.
    pub(crate) fn strong_count(this: &Shared<T>) -> usize {
        // SYNC: Relaxed; a hint that publishes nothing.
        this.inner().count.load(Ordering::Relaxed)
    }

    /// Whether both are references to one value.
    pub(crate) fn ptr_eq(this: &Shared<T>, other: &Shared<T>) -> bool {
        this.inner == other.inner
    }

    /// Gives the reference away as a pointer to the value; `from_raw` takes it back.
    pub(crate) fn into_raw(this: Shared<T>) -> NonNull<T> {
        let inner = this.inner;
        core::mem::forget(this);
        // SAFETY: the field lies inside the allocation of `inner`.
        unsafe { inner.byte_add(offset_of!(Inner<T>, value)) }.cast()
    }

    /// Takes back the reference that `into_raw` gave away.
    ///
    /// # Safety
    /// `value` came from `into_raw` of the same T, and each such pointer is taken back at most once.
    pub(crate) unsafe fn from_raw(value: NonNull<T>) -> Shared<T> {
        // SAFETY: by the contract `value` is the field of a live Inner, whose start lies this far below.
        let inner = unsafe { value.byte_sub(offset_of!(Inner<T>, value)) };
        Shared {
            inner: inner.cast(),
            owns: PhantomData,
        }
    }

    #[inline(always)]
    fn inner(&self) -> &Inner<T> {
        // SAFETY: this reference is counted, so the allocation lives as long as it; only get_mut makes a
        // &mut, by an exclusive borrow of the only reference.
        unsafe { self.inner.as_ref() }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.inner().value
    }
}

impl<T> Clone for Shared<T> {
    #[inline]
    fn clone(&self) -> Shared<T> {
        // SYNC: Relaxed; the new reference comes from one that sees the value already.
        let before = self.inner().count.fetch_add(1, Ordering::Relaxed);
        if before > MAX_COUNT {
            std::process::abort();
        }
        Shared {
            inner: self.inner,
            owns: PhantomData,
        }
    }
}

impl<T> Drop for Shared<T> {
    #[inline]
    fn drop(&mut self) {
        // SYNC: Release pairs with the Acquire load below and that of get_mut - what this reference did
        // to the value.
        if self.inner().count.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        // SYNC: Acquire pairs with the Release decrements of all other references. A load, not a fence: the thread
        // sanitizer knows nothing of fences.
        self.inner().count.load(Ordering::Acquire);
        /// Gives the memory back, also when dropping the value panics.
        struct Memory<T>(NonNull<Inner<T>>);
        impl<T> Drop for Memory<T> {
            fn drop(&mut self) {
                // SAFETY: try_new allocated it with this layout, and the last reference is gone.
                unsafe { std::alloc::dealloc(self.0.as_ptr().cast(), layout::<T>()) };
            }
        }
        let memory = Memory(self.inner);
        // SAFETY: the count fell to 0 by this thread, so the value is dropped once, and nobody reads it
        // after.
        unsafe { memory.0.drop_in_place() };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    struct Counted<'a>(&'a AtomicU32);

    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_last_reference_drops_the_value_once() {
        let drops = AtomicU32::new(0);
        let first = Shared::try_new(Counted(&drops)).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let mine = first.clone();
                scope.spawn(move || {
                    for _ in 0..1000 {
                        drop(mine.clone());
                    }
                });
            }
        });
        assert_eq!(Shared::strong_count(&first), 1);
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        drop(first);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn get_mut_needs_the_only_reference() {
        let mut first = Shared::try_new(5_u8).unwrap();
        let second = first.clone();
        assert!(first.get_mut().is_none());
        assert!(Shared::ptr_eq(&first, &second));
        assert!(!Shared::ptr_eq(&first, &Shared::try_new(5_u8).unwrap()));
        drop(second);
        *first.get_mut().unwrap() += 1;
        assert_eq!(*first, 6);
    }

    #[test]
    fn raw_pointers_keep_the_count_and_the_alignment() {
        #[repr(align(128))]
        struct Wide(u8);
        let first = Shared::try_new(Wide(9)).unwrap();
        let raw = Shared::into_raw(first.clone());
        assert_eq!(Shared::strong_count(&first), 2);
        assert_eq!(raw.as_ptr() as usize % 128, 0);
        assert!(core::ptr::eq(raw.as_ptr(), &*first));
        // SAFETY: from into_raw above, taken back once.
        let second = unsafe { Shared::from_raw(raw) };
        drop(first);
        assert_eq!(second.0, 9);
        assert_eq!(Shared::strong_count(&second), 1);
    }
}
