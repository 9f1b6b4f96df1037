//! The world of one input: its bytes, every handle there was, and the books.

use std::ptr::without_provenance_mut;

use arbitrary::Unstructured;

pub(super) const OWNER: u32 = 7;

/// The world of one input: callbacks reach it too.
pub(super) struct World<'a> {
    pub(super) bytes: Unstructured<'a>,
    /// Every handle there was; none is ever taken out.
    pub(super) words: Vec<usize>,
    pub(super) marks: Vec<u64>,
    pub(super) now: i64,
    pub(super) depth: u32,
    /// Objects accepted and not given back.
    pub(super) references: i64,
    /// One call may free, and then nothing is asked of the books.
    pub(super) calls: u32,
}

/// The most calls of one input: callbacks that call back would go on for ever.
const MOST_CALLS: u32 = 400;

impl World<'_> {
    pub(super) fn choose(&mut self, count: usize) -> usize {
        self.bytes.choose_index(count.max(1)).unwrap_or(0)
    }

    pub(super) fn number(&mut self) -> u64 {
        match self.choose(4) {
            0 => self.bytes.arbitrary().unwrap_or(0),
            1 => [0, 1, u64::MAX, i64::MAX as u64, u64::from(u32::MAX)][self.choose(5)],
            _ => self.choose(12) as u64,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.bytes.is_empty() || self.calls >= MOST_CALLS
    }

    /// A handle of any type: mostly one that there was.
    pub(super) fn handle<T>(&mut self) -> *mut T {
        let word = match self.choose(16) {
            0 => 0,
            1 => self.number() as usize,
            _ if self.words.is_empty() => 0,
            // The newest and the oldest are the interesting ones.
            2..=8 => {
                let back = self.choose(self.words.len().min(4));
                self.words[self.words.len() - 1 - back]
            }
            _ => {
                let at = self.choose(self.words.len());
                self.words[at]
            }
        };
        without_provenance_mut(word)
    }

    pub(super) fn keep<T>(&mut self, handle: *mut T) {
        if !handle.is_null() {
            self.words.push(handle.addr());
        }
    }

    pub(super) fn timeout(&mut self) -> i64 {
        [0, 5, -1, i64::MAX][self.choose(4)]
    }
}
