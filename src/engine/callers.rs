//! Callers: the threads that are inside a callback.

use super::list::List;
use crate::sync::thread::current_id;

/// Which threads are inside a callback, and how often. Many batchers have one at most.
pub(crate) struct Callers {
    /// 0 is none.
    first: usize,
    more: List<usize>,
}

impl Callers {
    pub(crate) const fn new() -> Callers {
        Callers {
            first: 0,
            more: List::new(),
        }
    }

    /// Makes room for so many more. False if memory ran out.
    pub(crate) fn reserve(&mut self, callers: usize) -> bool {
        let free = usize::from(self.first == 0);
        callers <= free || self.more.reserve(callers - free)
    }

    /// The calling thread goes into a callback; room for it was reserved.
    pub(crate) fn enter(&mut self) {
        if self.first == 0 {
            self.first = current_id();
        } else {
            self.more.push(current_id());
        }
    }

    /// The calling thread comes out of a callback.
    pub(crate) fn leave(&mut self) {
        let me = current_id();
        if let Some(at) = self.more.iter().rposition(|caller| *caller == me) {
            self.more.remove(at);
        } else if self.first == me {
            self.first = 0;
        }
    }

    /// The calling thread is inside one.
    pub(crate) fn has_me(&self) -> bool {
        let me = current_id();
        self.first == me || self.more.contains(&me)
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first != 0) + self.more.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_inside_until_it_left_as_often_as_it_came() {
        let mut callers = Callers::new();
        for inside in 0..5 {
            assert_eq!((callers.len(), callers.has_me()), (inside, inside > 0));
            assert!(callers.reserve(1));
            callers.enter();
        }
        assert!(callers.reserve(7));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let before = callers.has_me();
                callers.leave();
                callers.enter();
                (before, callers.has_me(), callers.len())
            });
            assert_eq!(other.join().ok(), Some((false, true, 6)));
        });
        for inside in (1..6).rev() {
            assert!(callers.has_me());
            callers.leave();
            assert_eq!(callers.len(), inside);
        }
        assert!(!callers.has_me());
        callers.leave();
        assert_eq!(callers.len(), 1);
    }
}
