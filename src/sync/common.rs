//! `Common<T>`: values that are often equal are kept once.

use super::Shared;
use std::sync::{Mutex, TryLockError};

/// Hands out references to values; whoever asks for the same as the last one gets the same.
pub(crate) struct Common<T>(Mutex<Option<Shared<T>>>);

impl<T: PartialEq> Common<T> {
    /// Nobody asked yet.
    pub(crate) const fn new() -> Common<T> {
        Common(Mutex::new(None))
    }

    /// A reference to `value`, or to its equal. None if memory ran out.
    pub(crate) fn get(&self, value: T) -> Option<Shared<T>> {
        // Not waited for: in a forked child whoever has the lock may never leave it.
        let Some(mut last) = self.try_lock() else {
            return Shared::try_new(value);
        };
        if let Some(last) = &*last
            && **last == value
        {
            return Some(last.clone());
        }
        let fresh = Shared::try_new(value)?;
        *last = Some(fresh.clone());
        Some(fresh)
    }

    /// `value` is about to be dropped: where it is the last reference, none is kept here.
    pub(crate) fn forget(&self, value: &Shared<T>) {
        if let Some(mut last) = self.try_lock()
            && last.as_ref().is_some_and(|last| Shared::ptr_eq(last, value))
            && Shared::strong_count(value) == 2
        {
            *last = None;
        }
    }

    fn try_lock(&self) -> Option<std::sync::MutexGuard<'_, Option<Shared<T>>>> {
        match self.0.try_lock() {
            Ok(last) => Some(last),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn equals_are_one_and_nothing_is_kept_for_nobody() {
        let common = Common::new();
        let first = common.get(7).unwrap();
        let second = common.get(7).unwrap();
        assert!(Shared::ptr_eq(&first, &second));
        common.forget(&second);
        drop(second);
        assert!(
            Shared::ptr_eq(&first, &common.get(7).unwrap()),
            "the first is still there"
        );
        let other = common.get(8).unwrap();
        assert_eq!((*first, *other), (7, 8));
        common.forget(&first);
        assert!(Shared::ptr_eq(&other, &common.get(8).unwrap()));
        assert!(
            !Shared::ptr_eq(&first, &common.get(7).unwrap()),
            "7 was not the last"
        );
        let last = common.get(7).unwrap();
        common.forget(&last);
        assert_eq!(Shared::strong_count(&last), 1);
    }

    #[test]
    fn nobody_waits_for_the_lock() {
        let common = Common::new();
        let first = common.get(7).unwrap();
        let held = common.0.lock().unwrap();
        let second = common.get(7).unwrap();
        assert!(!Shared::ptr_eq(&first, &second));
        common.forget(&first);
        drop(held);
        assert_eq!(
            (Shared::strong_count(&first), Shared::strong_count(&second)),
            (2, 1)
        );
    }
}
