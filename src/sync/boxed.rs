//! A `Box` whose allocation can fail.

use std::alloc::{Layout, alloc};

/// Moves `value` to the heap; None, and the value is dropped, if memory ran out.
pub(crate) fn try_box<T>(value: T) -> Option<Box<T>> {
    let layout = Layout::new::<T>();
    if layout.size() == 0 {
        // No memory is needed for it.
        return Some(Box::new(value));
    }
    // SAFETY: the layout is not of size zero.
    let place = unsafe { alloc(layout) }.cast::<T>();
    if place.is_null() {
        return None;
    }
    // SAFETY: the memory is fresh, aligned for T and large enough.
    unsafe { place.write(value) };
    // SAFETY: it was allocated by the global allocator with T's layout and holds a T.
    Some(unsafe { Box::from_raw(place) })
}
