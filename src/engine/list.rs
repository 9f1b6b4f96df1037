//! `List<T>`: a list that few batchers need. Empty it is one word, and needs no memory.

use crate::sync::try_box;
use std::ops::{Deref, DerefMut};

/// Values one after another, in a place that is made with the first.
#[allow(
    clippy::box_collection,
    reason = "the box keeps two words of each of many batchers"
)]
pub(crate) struct List<T>(Option<Box<Vec<T>>>);

impl<T> List<T> {
    pub(crate) const fn new() -> List<T> {
        List(None)
    }

    /// Makes room for `more` values. False if memory ran out.
    pub(crate) fn reserve(&mut self, more: usize) -> bool {
        if self.0.is_none() {
            self.0 = try_box(Vec::new());
        }
        self.0.as_mut().is_some_and(|list| list.try_reserve(more).is_ok())
    }

    /// Adds a value for which room was reserved.
    pub(crate) fn push(&mut self, value: T) {
        self.0.get_or_insert_default().push(value);
    }

    /// Takes the last value.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.0.as_mut()?.pop()
    }

    /// Takes the value at `at`, if there is one; those behind it move up.
    pub(crate) fn remove(&mut self, at: usize) -> Option<T> {
        let list = self.0.as_mut().filter(|list| at < list.len())?;
        Some(list.remove(at))
    }

    /// Drops the values that `keep` does not want.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        if let Some(list) = &mut self.0 {
            list.retain(keep);
        }
    }

    /// Gives memory back if nothing is in it.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            self.0 = None;
        }
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_ref().map_or(&[], |list| list)
    }
}

impl<T> DerefMut for List<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.0.as_mut().map_or(&mut [], |list| list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_was_pushed_and_gives_its_memory_back_when_empty() {
        let mut list = List::new();
        assert_eq!(size_of_val(&list), size_of::<usize>());
        assert_eq!((list.pop(), list.remove(0), list.len()), (None, None, 0));
        list.retain(|_| false);
        assert!(list.reserve(3));
        (0..3).for_each(|value| list.push(value));
        list[1] += 10;
        assert_eq!((list.remove(3), list.remove(0)), (None, Some(0)));
        list.shrink();
        assert_eq!(*list, [11, 2]);
        list.retain(|value| *value > 9);
        assert_eq!((list.pop(), list.pop()), (Some(11), None));
        assert!(list.0.is_some());
        list.shrink();
        assert!(list.0.is_none());
    }
}
