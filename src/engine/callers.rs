//! Callers: the threads that are inside a callback.

use super::list::List;
use crate::sync::thread::current_id;

/// Which threads are inside a callback, and how often. Most batchers have one or two.
pub(crate) struct Callers {
    /// 0 is none.
    first: [usize; 2],
    more: List<usize>,
}

impl Callers {
    pub(crate) const fn new() -> Callers {
        Callers {
            first: [0; 2],
            more: List::new(),
        }
    }

    /// Makes room for so many more. False if memory ran out.
    pub(crate) fn reserve(&mut self, callers: usize) -> bool {
        let free = self.first.iter().filter(|caller| **caller == 0).count();
        callers <= free || self.more.reserve(callers - free)
    }

    /// The calling thread goes into a callback; room for it was reserved.
    pub(crate) fn enter(&mut self) {
        match self.first.iter_mut().find(|caller| **caller == 0) {
            Some(free) => *free = current_id(),
            None => self.more.push(current_id()),
        }
    }

    /// The calling thread comes out of a callback.
    pub(crate) fn leave(&mut self) {
        let me = current_id();
        if let Some(at) = self.more.iter().rposition(|caller| *caller == me) {
            self.more.remove(at);
        } else if let Some(mine) = self.first.iter_mut().find(|caller| **caller == me) {
            *mine = 0;
        }
    }

    /// The calling thread is inside one.
    pub(crate) fn has_me(&self) -> bool {
        let me = current_id();
        self.first.contains(&me) || self.more.contains(&me)
    }

    pub(crate) fn len(&self) -> usize {
        self.first.iter().filter(|caller| **caller != 0).count() + self.more.len()
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
