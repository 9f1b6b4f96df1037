//! `Apart<T>`: a value on cache lines of its own.

use core::ops::{Deref, DerefMut};

/// Shares no cache line with its neighbours: what one thread writes here does not slow down another that reads there.
#[repr(align(64))]
pub(crate) struct Apart<T>(T);

impl<T> Apart<T> {
    /// Sets `value` apart.
    pub(crate) const fn new(value: T) -> Apart<T> {
        Apart(value)
    }
}

impl<T> Deref for Apart<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Apart<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
