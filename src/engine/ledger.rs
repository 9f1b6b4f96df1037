//! The ledger: what of each batch is not delivered yet, and the flush marks that are checked against it.

use super::core::Core;
use std::collections::VecDeque;

/// How many values of each batch are not delivered yet, in order of opening: what a flush mark is checked against.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Undelivered values per batch; an open batch has `OPEN` on top, so that it is never done.
    owed: VecDeque<u64>,
    /// Id of the first entry.
    base: u64,
}

const OPEN: u64 = 1 << 40;

/// Flush marks the descriptor watches at a time.
const MARKS: usize = 64;

impl Ledger {
    /// Makes room for the next batch's account, and for that of a batch in reserve behind it.
    pub(super) fn reserve(&mut self) -> bool {
        self.owed.try_reserve(2).is_ok()
    }

    /// Gives memory back, if nothing is owed.
    pub(super) fn shrink(&mut self) {
        if self.owed.is_empty() {
            self.owed = VecDeque::new();
        }
    }

    /// Opens the next batch's account and answers its id.
    pub(crate) fn open(&mut self) -> u64 {
        self.owed.push_back(OPEN);
        self.base + self.owed.len() as u64 - 1
    }

    /// The batch has all its values.
    pub(crate) fn seal(&mut self, id: u64, values: u64) {
        if let Some(owed) = self.entry(id) {
            *owed = *owed + values - OPEN;
        }
        self.advance();
    }

    /// Values of a batch were delivered.
    pub(crate) fn deliver(&mut self, id: u64, values: u64) {
        if let Some(owed) = self.entry(id) {
            *owed -= values;
        }
        self.advance();
    }

    fn entry(&mut self, id: u64) -> Option<&mut u64> {
        self.owed
            .get_mut(usize::try_from(id.checked_sub(self.base)?).ok()?)
    }

    fn advance(&mut self) {
        while self.owed.front() == Some(&0) {
            self.owed.pop_front();
            self.base += 1;
        }
    }

    /// A mark after everything sealed so far.
    pub(crate) fn mark(&self) -> u64 {
        self.base + self.owed.len() as u64
    }

    /// Everything before the mark is delivered.
    pub(crate) fn reached(&self, mark: u64) -> bool {
        self.base >= mark
    }
}

impl Core {
    /// The descriptor is to fire for this mark. Of many the oldest are forgotten: who began them never asked.
    pub(crate) fn watch_mark(&mut self, mark: u64) {
        if self.flush_marks.contains(&mark) {
            return;
        }
        if self.flush_marks.len() >= MARKS || !self.flush_marks.reserve(1) {
            if self.flush_marks.is_empty() {
                return;
            }
            self.flush_marks.remove(0);
        }
        self.flush_marks.push(mark);
    }

    pub(crate) fn forget_mark(&mut self, mark: u64) {
        self.flush_marks.retain(|other| *other != mark);
    }

    pub(crate) fn a_mark_is_reached(&self) -> bool {
        self.flush_marks.iter().any(|mark| self.ledger.reached(*mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p23_a_mark_is_reached_when_all_before_it_is_delivered() {
        let mut ledger = Ledger::default();
        let first = ledger.open();
        ledger.deliver(first, 1); // cancelled while the batch was open
        ledger.seal(first, 3);
        let mark = ledger.mark();
        let second = ledger.open();
        ledger.seal(second, 1);
        ledger.deliver(second, 1);
        assert!(!ledger.reached(mark));
        ledger.deliver(first, 2);
        assert!(ledger.reached(mark));
        assert!(ledger.reached(ledger.mark()));
    }
}
