//! What a handle is: the number of a slot, the generation of what is in it, and its type, in one word.
//!
//! A handle is never followed. Each type has a table of slots. A slot holds the very word while the object lives, and
//! otherwise a word that leads to another slot, so that one comparison tells a good handle from NULL, a freed one, a
//! random word and one of another type. Slot memory is never freed: any word at all can be looked up at any time.
//! Lookup takes no lock; neither do taking and freeing a slot, so that a fork in the middle of either leaves the child
//! a usable table.
//!
//! The word from its top: 5 marker bits and 3 type bits, which keep it clear of every address a program can
//! have; 34 bits of generation; 22 bits of slot number.

use crate::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::null_mut;

/// What a handle stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Type {
    Batcher = 1,
    Producer = 2,
    Batch = 3,
    Results = 4,
    Error = 5,
}

/// One more than the last type.
const TYPES: usize = 6;

const INDEX_BITS: u32 = 22;
const TAG_SHIFT: u32 = 56;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
const GENERATION_MASK: u64 = (1 << (TAG_SHIFT - INDEX_BITS)) - 1;
/// No address of x86-64 or AArch64 has these bits on top.
const MARKER: u64 = 0b1011_0000;

const CHUNK_BITS: u32 = 11;
const CHUNK_SLOTS: usize = 1 << CHUNK_BITS;
const CHUNKS: usize = 1 << (INDEX_BITS - CHUNK_BITS);

/// The place of one handle. A line of its own: pushes read a batcher's while batches come and go in others.
#[repr(C, align(64))]
pub(crate) struct Slot {
    /// The word of the handle that lives here; else [`over`] of the last that did. Its complement, so that slots begin as
    /// zeroes and NULL finds none.
    word: Complement,
    object: AtomicPtr<()>,
    /// The batcher of a batch, as a handle word; 0 inside map.
    parent: AtomicU64,
    /// The last batch handle of this slot that was completed or freed.
    consumed: AtomicU64,
    /// The batcher of the last of those that came from one: those of map did not.
    counted_by: AtomicU64,
    flags: AtomicU32,
    /// What lives here.
    of: AtomicU8,
    /// The next free slot, plus 1.
    next: AtomicU32,
}

/// A word kept as its complement.
struct Complement(AtomicU64);

impl Complement {
    #[inline(always)]
    fn load(&self, order: Ordering) -> u64 {
        // SYNC: the caller's.
        !self.0.load(order)
    }

    fn store(&self, word: u64, order: Ordering) {
        // SYNC: the caller's.
        self.0.store(!word, order);
    }

    /// Replaces `from` by `to`; false if another word is there.
    fn replace(&self, from: u64, to: u64, order: Ordering) -> bool {
        // SYNC: the caller's; on failure nothing is read.
        self.0
            .compare_exchange(!from, !to, order, Ordering::Relaxed)
            .is_ok()
    }
}

/// The batch is its holder's, not borrowed by a handler.
pub(crate) const KEPT: u32 = 1;
/// Somebody is freeing the batcher.
pub(crate) const FREEING: u32 = 2;

/// The slots of one type.
struct Table {
    chunks: [AtomicPtr<Slot>; CHUNKS],
    /// Slots ever used.
    used: AtomicU32,
    /// The first free slot plus 1 in the low half; a count of changes in the high half, against ABA.
    free: AtomicU64,
}

/// The first chunk of each type, whose address every lookup knows. Memory that is not used is not resident.
static FIRST: [[Slot; CHUNK_SLOTS]; TYPES] = [const { [const { Slot::new() }; CHUNK_SLOTS] }; TYPES];

static TABLES: [Table; TYPES] = [const {
    Table {
        chunks: [const { AtomicPtr::new(null_mut()) }; CHUNKS],
        used: AtomicU32::new(0),
        free: AtomicU64::new(0),
    }
}; TYPES];

const fn tag(of: u8) -> u64 {
    MARKER | of as u64
}

/// A word for something that is one of a few and has no slot: no slot's handle has generation 0.
pub(crate) const fn fixed(of: Type, number: u32) -> u64 {
    tag(of as u8) << TAG_SHIFT | number as u64 & INDEX_MASK
}

/// The number in a word of [`fixed`].
pub(crate) fn fixed_number(word: u64, of: Type) -> Option<u32> {
    let number = word & INDEX_MASK;
    (word == tag(of as u8) << TAG_SHIFT | number).then_some(number as u32)
}

fn generation(word: u64) -> u64 {
    (word >> INDEX_BITS) & GENERATION_MASK
}

/// What a slot holds after the handle `word`: the same generation, and the number of another slot, so that no word
/// finds it.
fn over(word: u64) -> u64 {
    (word ^ INDEX_MASK) & !(u64::MAX << TAG_SHIFT)
}

/// The slot of a live handle of this type.
#[inline(always)]
pub(crate) fn find(word: u64, of: Type) -> Option<&'static Slot> {
    let slot = slot(of as usize, word)?;
    // SYNC: Acquire pairs with the Release store of `publish` - the object and what it points to.
    if slot.word.load(Ordering::Acquire) == word {
        Some(slot)
    } else {
        None
    }
}

/// The slot in which a batch with this handle lived once, if it was completed or freed not too long ago.
pub(crate) fn find_consumed(word: u64) -> Option<&'static Slot> {
    // No handle has generation 0.
    if word >> TAG_SHIFT != tag(Type::Batch as u8) || generation(word) == 0 {
        return None;
    }
    let slot = slot(Type::Batch as usize, word)?;
    // SYNC: Acquire pairs with the Release store of `retire` - the parent.
    let last = slot.consumed.load(Ordering::Acquire);
    let behind = generation(last).wrapping_sub(generation(word));
    (last != 0 && behind <= u64::from(u16::MAX)).then_some(slot)
}

/// Takes a slot for a handle to come; None if memory, or the table, is exhausted. [`Slot::publish`] puts a handle
/// in it, `give_back` ends it.
pub(crate) fn take(of: Type) -> Option<&'static Slot> {
    let table = &TABLES[of as usize];
    table.pop(of).or_else(|| table.fresh(of))
}

/// The slot with this number, if its chunk exists.
#[inline(always)]
fn slot(of: usize, index: u64) -> Option<&'static Slot> {
    let index = (index & INDEX_MASK) as usize;
    match FIRST[of].get(index) {
        Some(slot) => Some(slot),
        None => TABLES[of].slot(index),
    }
}

impl Table {
    /// The slot with this number, beyond the first chunk, if its chunk exists.
    fn slot(&self, index: usize) -> Option<&'static Slot> {
        // SYNC: Acquire pairs with the exchange of `chunk_for` - the zeroed slots.
        let chunk = self.chunks[index >> CHUNK_BITS].load(Ordering::Acquire);
        if chunk.is_null() {
            return None;
        }
        // SAFETY: a chunk has CHUNK_SLOTS slots and is never freed.
        let slot = unsafe { chunk.add(index & (CHUNK_SLOTS - 1)) };
        // SAFETY: slots are made of atomics, zeroed before the chunk was published.
        Some(unsafe { &*slot })
    }

    fn pop(&self, of: Type) -> Option<&'static Slot> {
        // SYNC: Acquire pairs with the Release exchange of `give_back` - the `next` of the slot on top.
        let mut head = self.free.load(Ordering::Acquire);
        loop {
            let index = (head & u64::from(u32::MAX)).checked_sub(1)?;
            let top = slot(of as usize, index)?;
            // SYNC: Relaxed; ordered by the load of `free`. If another thread took `top` meanwhile, the count differs.
            let next = u64::from(top.next.load(Ordering::Relaxed));
            let new = ((head >> 32).wrapping_add(1) << 32) | next;
            // SYNC: as for the load above.
            match self
                .free
                .compare_exchange_weak(head, new, Ordering::Acquire, Ordering::Acquire)
            {
                Ok(_) => return Some(top),
                Err(now) => head = now,
            }
        }
    }

    /// A slot never used before.
    fn fresh(&self, of: Type) -> Option<&'static Slot> {
        // SYNC: Relaxed; the number alone is the thread's.
        let mut index = self.used.load(Ordering::Relaxed);
        loop {
            // The last number is that of a word of ones, which all slots begin with.
            if u64::from(index) >= INDEX_MASK {
                return None;
            }
            self.chunk_for(index as usize)?;
            // SYNC: Relaxed; as above.
            match self
                .used
                .compare_exchange_weak(index, index + 1, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(now) => index = now,
            }
        }
        let slot = slot(of as usize, u64::from(index))?;
        // SYNC: Relaxed; nobody has a word of this slot yet.
        slot.word.store(over(u64::from(index)), Ordering::Relaxed);
        // SYNC: Relaxed; the slot is this thread's.
        slot.of.store(of as u8, Ordering::Relaxed);
        Some(slot)
    }

    /// Makes sure that the chunk of a slot exists.
    fn chunk_for(&self, index: usize) -> Option<()> {
        if index < CHUNK_SLOTS {
            return Some(());
        }
        let place = &self.chunks[index >> CHUNK_BITS];
        // SYNC: Relaxed; only whether there is one.
        if !place.load(Ordering::Relaxed).is_null() {
            return Some(());
        }
        let layout = Layout::new::<[Slot; CHUNK_SLOTS]>();
        // SAFETY: the layout is not of size zero.
        let chunk = unsafe { alloc_zeroed(layout) }.cast::<Slot>();
        if chunk.is_null() {
            return None;
        }
        // SYNC: Release pairs with the load of `slot` - the zeroed slots.
        if place
            .compare_exchange(null_mut(), chunk, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            // SAFETY: another thread was first, and nobody saw this chunk.
            unsafe { dealloc(chunk.cast(), layout) };
        }
        Some(())
    }
}

impl Slot {
    const fn new() -> Slot {
        Slot {
            word: Complement(AtomicU64::new(0)),
            object: AtomicPtr::new(null_mut()),
            parent: AtomicU64::new(0),
            consumed: AtomicU64::new(0),
            counted_by: AtomicU64::new(0),
            flags: AtomicU32::new(0),
            of: AtomicU8::new(0),
            next: AtomicU32::new(0),
        }
    }

    /// Puts an object in a taken slot and answers its handle. The generation before is over for good.
    pub(crate) fn publish(&self, object: *mut (), parent: u64, flags: u32) -> u64 {
        // SYNC: Relaxed; the slot is this thread's until the store below.
        let before = self.word.load(Ordering::Relaxed);
        let generation = (generation(before) + 1) & GENERATION_MASK;
        let word = tag(self.of()) << TAG_SHIFT | generation << INDEX_BITS | !before & INDEX_MASK;
        // SYNC: Relaxed, all three; ordered by the store below.
        self.object.store(object, Ordering::Relaxed);
        // SYNC: as above.
        self.parent.store(parent, Ordering::Relaxed);
        // SYNC: as above.
        self.flags.store(flags, Ordering::Relaxed);
        // SYNC: Release pairs with the load of `find` - the object and what it points to.
        self.word.store(word, Ordering::Release);
        word
    }

    fn of(&self) -> u8 {
        // SYNC: Relaxed; stored once, before the slot had a handle.
        self.of.load(Ordering::Relaxed)
    }

    /// What the handle stands for.
    #[inline(always)]
    pub(crate) fn object<T>(&self) -> *mut T {
        // SYNC: Relaxed; ordered by the load of `find`.
        self.object.load(Ordering::Relaxed).cast()
    }

    /// The handle in this slot now, whatever it is.
    pub(crate) fn is(&self, word: u64) -> bool {
        // SYNC: Acquire pairs with the exchange of `retire`: what was done before the handle ended.
        self.word.load(Ordering::Acquire) == word
    }

    /// Whether a flag is set.
    pub(crate) fn has(&self, flag: u32) -> bool {
        // SYNC: Acquire pairs with `set` - what was done before it.
        self.flags.load(Ordering::Acquire) & flag != 0
    }

    /// Sets a flag; true for the one caller that did it.
    pub(crate) fn set(&self, flag: u32) -> bool {
        // SYNC: AcqRel; pairs with itself and `has`.
        self.flags.fetch_or(flag, Ordering::AcqRel) & flag == 0
    }

    /// Takes a flag back, by the caller that set it.
    pub(crate) fn unset(&self, flag: u32) {
        // SYNC: AcqRel; pairs with `set` and `has`.
        self.flags.fetch_and(!flag, Ordering::AcqRel);
    }

    /// The batcher, as a handle word, that counts what comes too late for a batch that was here: that of the last one.
    pub(crate) fn counted_by(&self) -> u64 {
        // SYNC: Relaxed; a hint for counting.
        self.counted_by.load(Ordering::Relaxed)
    }

    /// Ends a handle. True for the one caller that ended it; the object is that caller's then, and so is the slot.
    pub(crate) fn retire(&self, word: u64) -> bool {
        // SYNC: AcqRel; Acquire pairs with `publish` in whatever thread, Release with `is` and `find`.
        if !self.word.replace(word, over(word), Ordering::AcqRel) {
            return false;
        }
        if self.of() == Type::Batch as u8 {
            // SYNC: Relaxed; the slot is this thread's, and a hint for counting.
            match self.parent.load(Ordering::Relaxed) {
                0 => {}
                // SYNC: as above.
                parent => self.counted_by.store(parent, Ordering::Relaxed),
            }
            // SYNC: Release pairs with the load of `find_consumed`.
            self.consumed.store(word, Ordering::Release);
        }
        true
    }

    /// Whether every generation of this slot was used. It is left alone then, for good.
    pub(crate) fn is_worn_out(&self) -> bool {
        // SYNC: Relaxed; the slot is this thread's.
        generation(self.word.load(Ordering::Relaxed)) == GENERATION_MASK
    }

    /// Lets others have a slot whose handle has ended.
    pub(crate) fn give_back(&'static self) {
        if self.is_worn_out() {
            return;
        }
        // SYNC: Relaxed; the slot is this thread's until the exchange below.
        let index = !self.word.load(Ordering::Relaxed) & INDEX_MASK;
        let free = &TABLES[usize::from(self.of())].free;
        // SYNC: Relaxed; the exchange checks it.
        let mut head = free.load(Ordering::Relaxed);
        loop {
            // SYNC: Relaxed; published by the exchange below.
            self.next.store(head as u32, Ordering::Relaxed);
            let new = ((head >> 32).wrapping_add(1) << 32) | (index + 1);
            // SYNC: Release pairs with the load of `pop` - this slot's `next`.
            match free.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn p30_only_the_very_word_finds_its_object() {
        let mut thing = 7u32;
        let object = (&raw mut thing).cast::<()>();
        let slot = take(Type::Batcher).unwrap();
        let word = slot.publish(object, 0, 0);
        assert_eq!(find(word, Type::Batcher).unwrap().object::<()>(), object);
        assert!(find(word, Type::Producer).is_none());
        for bit in 0..64 {
            assert!(find(word ^ 1 << bit, Type::Batcher).is_none(), "bit {bit}");
        }
        for other in [
            0,
            1,
            u64::MAX,
            word & INDEX_MASK,
            object as u64,
            over(word),
            tag(Type::Batcher as u8) << TAG_SHIFT,
        ] {
            assert!(find(other, Type::Batcher).is_none(), "{other:#x}");
        }
        assert!(slot.retire(word));
        assert!(!slot.retire(word));
        assert!(find(word, Type::Batcher).is_none());
        // Whatever a dead slot, or one never used, holds: that word finds nothing.
        for index in 0..3 {
            let held = super::slot(Type::Batcher as usize, index)
                .unwrap()
                .word
                .load(Ordering::Relaxed);
            assert!(
                find(held, Type::Batcher)
                    .is_none_or(|slot| slot.word.load(Ordering::Relaxed) >> TAG_SHIFT != 0)
            );
        }
        assert!(find_consumed(word).is_none(), "only batches are remembered");
        slot.give_back();
    }

    #[test]
    fn p18_a_consumed_batch_is_remembered() {
        let slot = take(Type::Batch).unwrap();
        let first = slot.publish(null_mut(), 5, 0);
        assert!(find_consumed(first).is_none());
        assert!(slot.retire(first));
        assert_eq!(find_consumed(first).unwrap().counted_by(), 5);
        let of_map = slot.publish(null_mut(), 0, 0);
        assert!(slot.retire(of_map));
        assert_eq!(find_consumed(first).unwrap().counted_by(), 5);
        let second = slot.publish(null_mut(), 6, KEPT);
        assert!(find(first, Type::Batch).is_none());
        assert_eq!(
            find_consumed(first).unwrap().counted_by(),
            5,
            "until the next is consumed"
        );
        assert!(find_consumed(second).is_none());
        assert!(slot.retire(second));
        assert!(find_consumed(first).is_some() && find_consumed(second).is_some());
        assert_eq!(find_consumed(second).unwrap().counted_by(), 6);
        slot.give_back();
    }

    #[test]
    fn p30_a_slot_whose_generations_are_used_up_is_left_alone() {
        let slot = take(Type::Error).unwrap();
        let index = slot.word.load(Ordering::Relaxed) & INDEX_MASK;
        slot.word
            .store((GENERATION_MASK - 1) << INDEX_BITS | index, Ordering::Relaxed);
        assert!(!slot.is_worn_out());
        let last = slot.publish(null_mut(), 0, 0);
        assert_eq!(generation(last), GENERATION_MASK);
        assert!(slot.retire(last));
        assert!(slot.is_worn_out());
        slot.give_back();
        let taken: Vec<_> = (0..100).map(|_| take(Type::Error).unwrap()).collect();
        assert!(taken.iter().all(|other| !std::ptr::eq(*other, slot)));
        taken.iter().for_each(|slot| slot.give_back());
    }

    #[test]
    fn p30_no_handle_is_a_canonical_address() {
        for of in [
            Type::Batcher,
            Type::Producer,
            Type::Batch,
            Type::Results,
            Type::Error,
        ] {
            let word = tag(of as u8) << TAG_SHIFT;
            // Bits 47..63 (and 56..63 with five-level paging) of an address are all equal.
            for unused in [16, 7] {
                let top = (word >> (64 - unused)) & ((1 << unused) - 1);
                assert!(top != 0 && top != (1 << unused) - 1);
            }
        }
    }

    #[test]
    fn slots_survive_many_threads() {
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    for round in 0..5_000_u64 {
                        let slot = take(Type::Results).unwrap();
                        let object = std::ptr::without_provenance_mut((thread << 32 | round) as usize);
                        let word = slot.publish(object, 0, 0);
                        mine.push((word, object));
                        if round % 3 == 0 {
                            let (word, object) = mine.swap_remove(mine.len() / 2);
                            let slot = find(word, Type::Results).unwrap();
                            assert_eq!(slot.object::<()>(), object);
                            assert!(slot.retire(word));
                            slot.give_back();
                        }
                    }
                    for (word, object) in mine {
                        let slot = find(word, Type::Results).unwrap();
                        assert_eq!(slot.object::<()>(), object);
                        assert!(slot.retire(word));
                        slot.give_back();
                    }
                });
            }
        });
    }
}
