//! What batch and result handles stand for, and the pools from which a batcher lends them to its callbacks.
//!
//! A handler gets a handle for the length of its call. The object behind it is made once per handler thread and lent
//! again and again, each time under a new generation of the same slot: a call costs no allocation. `keep` turns a
//! loan into a holding: object and slot leave the pool and belong to whoever completes the batch.
//!
//! Nothing on the stack between the engine and the host's function needs to be dropped: a loan is a plain word. A
//! thread that ends in a callback leaves its loan behind; `forget_thread` takes it back.

use super::ctext::CText;
use super::gather::Gathered;
use super::table::{self, KEPT, Slot, Type};
use crate::engine::column::{Bytes, Column};
use crate::engine::delivery::ResultSet;
use crate::engine::error::Status;
use crate::engine::part::Part;
use crate::engine::rows::FAILED;
use crate::engine::value::Kind;
use crate::sync::atomic::{AtomicPtr, Ordering};
use crate::sync::{Mutex, OnceLock, thread, try_box};
use std::ptr::{self, NonNull, null_mut};

/// A batch as C sees it: borrowed by a handler, or kept, or pulled.
pub(crate) struct HeldBatch {
    /// The engine's own during a handler's call, `owned` once it is kept.
    part: AtomicPtr<Part>,
    owned: OnceLock<Part>,
    /// Columns made on request, by kind.
    gathered: [OnceLock<Gathered>; Kind::COUNT],
}

impl HeldBatch {
    const fn empty() -> HeldBatch {
        HeldBatch {
            part: AtomicPtr::new(null_mut()),
            owned: OnceLock::new(),
            gathered: [const { OnceLock::new() }; Kind::COUNT],
        }
    }

    /// The part.
    pub(crate) fn part(&self) -> &Part {
        // SYNC: Acquire pairs with `hold` - the owned part.
        let part = self.part.load(Ordering::Acquire);
        // SAFETY: an object is found by its handle only while it is lent, when the engine keeps the part for the
        // call, or held, when the part is its own.
        unsafe { &*part }
    }

    /// Makes the part this object's own.
    fn hold(&self, part: Part) -> Result<(), Status> {
        self.owned.set(part).map_err(|_| Status::INTERNAL)?;
        if let Some(part) = self.owned.get() {
            // SYNC: Release pairs with `part`.
            self.part.store(ptr::from_ref(part).cast_mut(), Ordering::Release);
        }
        Ok(())
    }

    /// Keeps the batch past its handler: `slot` is the one its handle is in.
    pub(crate) fn keep(&self, slot: &Slot) -> Result<(), Status> {
        self.hold(self.part().keep()?)?;
        slot.set(KEPT);
        Ok(())
    }

    /// The rows of one kind as contiguous columns; made at the first call.
    pub(crate) fn gather(&self, kind: Kind) -> Result<&Gathered, Status> {
        let place = &self.gathered[kind as usize];
        if place.get().is_none() {
            let made = Gathered::new(self.part().batch(), kind).ok_or(Status::NO_MEMORY)?;
            // If another thread was first, its columns count.
            let _ = place.set(made);
        }
        place.get().ok_or(Status::INTERNAL)
    }

    /// The part of an object that is held by nobody any more.
    pub(crate) fn into_part(self: Box<HeldBatch>) -> Option<Part> {
        self.owned.into_inner()
    }
}

/// A place for a batch that will be pulled: reserved first, so that nothing can fail once there is one.
pub(crate) struct Place<T> {
    object: Box<T>,
    slot: &'static Slot,
}

impl Place<HeldBatch> {
    pub(crate) fn reserve() -> Option<Place<HeldBatch>> {
        let object = try_box(HeldBatch::empty())?;
        Some(Place {
            object,
            slot: table::take(Type::Batch)?,
        })
    }

    /// Puts the part in and answers the handle.
    pub(crate) fn fill(self, part: Part, parent: u64) -> Result<u64, Status> {
        self.object.hold(part)?;
        let object = Box::into_raw(self.object);
        Ok(self.slot.publish(object.cast(), parent, KEPT))
    }
}

impl Place<HeldResults> {
    pub(crate) fn reserve() -> Option<Place<HeldResults>> {
        let object = try_box(HeldResults::empty())?;
        Some(Place {
            object,
            slot: table::take(Type::Results)?,
        })
    }

    /// Puts the set in and answers the handle.
    pub(crate) fn fill(mut self, set: ResultSet) -> u64 {
        let set = self.object.owned.insert(set);
        self.object.set = AtomicPtr::new(set);
        let object = Box::into_raw(self.object);
        self.slot.publish(object.cast(), 0, KEPT)
    }
}

impl<T> Place<T> {
    /// Gives a place back that was not needed.
    pub(crate) fn release(self) {
        self.slot.give_back();
    }
}

/// A set of results as C sees it: borrowed by on_result, or pulled.
pub(crate) struct HeldResults {
    set: AtomicPtr<ResultSet>,
    owned: Option<ResultSet>,
    /// The text column over all rows, made on request.
    text: OnceLock<(Column<i32>, Bytes)>,
    /// Kinds and cells of a batch that ended as a whole, made on request.
    ended: OnceLock<(Column<u8>, Column<u64>)>,
    /// Texts of failures that were asked for, as C wants them.
    notes: Mutex<Vec<Note>>,
}

/// The texts of one failure, by where the engine keeps them.
struct Note {
    key: (usize, usize),
    type_name: CText,
    message: CText,
}

impl HeldResults {
    const fn empty() -> HeldResults {
        HeldResults {
            set: AtomicPtr::new(null_mut()),
            owned: None,
            text: OnceLock::new(),
            ended: OnceLock::new(),
            notes: Mutex::new(Vec::new()),
        }
    }

    /// The set.
    pub(crate) fn set(&self) -> &ResultSet {
        // SYNC: Relaxed; ordered by the lookup of the handle.
        let set = self.set.load(Ordering::Relaxed);
        // SAFETY: an object is found by its handle only while it is lent, when the engine keeps the set for the
        // call, or held, when the set is its own.
        unsafe { &*set }
    }

    /// The Arrow-shaped text column; made at the first call.
    pub(crate) fn text(&self) -> Result<&(Column<i32>, Bytes), Status> {
        if self.text.get().is_none() {
            let made = self.set().batch().gather_text().ok_or(Status::NO_MEMORY)?;
            // If another thread was first, its column counts.
            let _ = self.text.set(made);
        }
        self.text.get().ok_or(Status::INTERNAL)
    }

    /// Kinds and cells of the rows. Where a batch ended as a whole they are a copy, made at the first call: a handler
    /// that overruns its time-out may still store to the batch's own, which only a lack of memory lets show.
    pub(crate) fn cells(&self) -> (*const u8, *const u64) {
        let batch = self.set().batch();
        if self.ended.get().is_none()
            && batch.number != 0
            && let Some(code) = batch.whole_code()
            && let (Some(mut kinds), Some(mut cells)) = (Column::new(batch.len), Column::new(batch.len))
        {
            kinds.fill(FAILED);
            cells.fill(i64::from(code) as u64);
            // If another thread was first, its copy counts.
            let _ = self.ended.set((kinds, cells));
        }
        match self.ended.get() {
            Some((kinds, cells)) => (kinds.as_ptr(), cells.as_ptr()),
            None => (
                batch.rows.out_kinds().as_ptr().cast(),
                batch.rows.out().as_ptr().cast(),
            ),
        }
    }

    /// A failure's type name and message ending with NUL, and the message's length; valid as long as the handle.
    pub(crate) fn note(&self, type_name: &str, message: &str) -> Result<Texts, Status> {
        let key = (type_name.as_ptr().addr(), message.as_ptr().addr());
        let mut notes = self.notes.lock();
        let at = match notes.binary_search_by_key(&key, |note| note.key) {
            Ok(at) => at,
            Err(at) => {
                notes.try_reserve(1).map_err(|_| Status::NO_MEMORY)?;
                let type_name = CText::copy(type_name).ok_or(Status::NO_MEMORY)?;
                let message = CText::copy(message).ok_or(Status::NO_MEMORY)?;
                notes.insert(
                    at,
                    Note {
                        key,
                        type_name,
                        message,
                    },
                );
                at
            }
        };
        let note = &notes[at];
        Ok(Texts {
            type_name: note.type_name.as_ptr(),
            message: note.message.as_ptr(),
            length: note.message.len(),
        })
    }
}

/// Texts of a failure for C.
pub(crate) struct Texts {
    pub(crate) type_name: *const std::ffi::c_char,
    pub(crate) message: *const std::ffi::c_char,
    pub(crate) length: usize,
}

/// What a pool lends.
pub(crate) trait Lendable {
    /// What the engine shows a callback.
    type Shown;
    const TYPE: Type;
    fn new() -> Self;
    /// Shows it for the length of a call.
    fn show(&self, shown: *const Self::Shown);
    /// Forgets everything about the call.
    fn clear(&mut self);
}

impl Lendable for HeldBatch {
    type Shown = Part;
    const TYPE: Type = Type::Batch;

    fn new() -> HeldBatch {
        HeldBatch::empty()
    }

    fn show(&self, shown: *const Part) {
        // SYNC: Relaxed; published with the handle.
        self.part.store(shown.cast_mut(), Ordering::Relaxed);
    }

    fn clear(&mut self) {
        self.part = AtomicPtr::new(null_mut());
        for gathered in &mut self.gathered {
            gathered.take();
        }
    }
}

impl Lendable for HeldResults {
    type Shown = ResultSet;
    const TYPE: Type = Type::Results;

    fn new() -> HeldResults {
        HeldResults::empty()
    }

    fn show(&self, shown: *const ResultSet) {
        // SYNC: Relaxed; published with the handle.
        self.set.store(shown.cast_mut(), Ordering::Relaxed);
    }

    fn clear(&mut self) {
        self.set = AtomicPtr::new(null_mut());
        self.text.take();
        self.ended.take();
        self.notes.get_mut().clear();
    }
}

/// A handle lent for the length of a call.
#[derive(Clone, Copy)]
pub(crate) struct Loan {
    pub(crate) word: u64,
}

/// The objects of one batcher that are lent, or can be.
pub(crate) struct Pool<T: Lendable> {
    entries: Mutex<Vec<Entry<T>>>,
}

struct Entry<T> {
    /// A leaked box. It is the pool's unless the handle `word` was kept or has ended.
    object: NonNull<T>,
    slot: &'static Slot,
    /// The handle it is lent as; 0 if it is not.
    word: u64,
    thread: usize,
}

// SAFETY: the objects may move to and be used from any thread, like what they show.
unsafe impl<T: Lendable> Send for Pool<T> {}
// SAFETY: entries are behind a lock.
unsafe impl<T: Lendable> Sync for Pool<T> {}

impl<T: Lendable> Pool<T> {
    pub(crate) const fn new() -> Pool<T> {
        Pool {
            entries: Mutex::new(Vec::new()),
        }
    }

    /// Makes an object in advance; false if memory ran out.
    pub(crate) fn prepare(&self) -> bool {
        add(&mut self.entries.lock()).is_some()
    }

    /// Lends a handle that shows this; None if memory ran out.
    pub(crate) fn lend(&self, shown: &T::Shown, parent: u64) -> Option<Loan> {
        let mut entries = self.entries.lock();
        take_back(&mut entries);
        let entry = match entries.iter().position(|entry| entry.word == 0) {
            Some(at) => &mut entries[at],
            None => add(&mut entries)?,
        };
        // SAFETY: an entry that is not lent has its object to itself.
        unsafe { entry.object.as_ref() }.show(shown);
        entry.word = entry.slot.publish(entry.object.as_ptr().cast(), parent, 0);
        entry.thread = thread::current_id();
        Some(Loan { word: entry.word })
    }

    /// The call is over. A handle that was kept, or has ended already, is not the pool's any more.
    pub(crate) fn end(&self, loan: Loan) {
        let mut entries = self.entries.lock();
        if let Some(at) = entries.iter().position(|entry| entry.word == loan.word) {
            settle(&mut entries, at);
        }
    }

    /// The calling thread ends, and leaves behind what it was lent.
    pub(crate) fn forget_thread(&self) {
        take_back(&mut self.entries.lock());
    }
}

/// Takes back what was lent to the calling thread. It is in no callback of the batcher: it is ending, or was made after
/// another thread of this number ended in one.
fn take_back<T: Lendable>(entries: &mut Vec<Entry<T>>) {
    let thread = thread::current_id();
    while let Some(at) = entries
        .iter()
        .position(|entry| entry.word != 0 && entry.thread == thread)
    {
        settle(entries, at);
    }
}

/// Makes an entry.
fn add<T: Lendable>(entries: &mut Vec<Entry<T>>) -> Option<&mut Entry<T>> {
    entries.try_reserve(1).ok()?;
    let object = try_box(T::new())?;
    let slot = table::take(T::TYPE)?;
    let object = NonNull::from(Box::leak(object));
    entries.push(Entry {
        object,
        slot,
        word: 0,
        thread: 0,
    });
    entries.last_mut()
}

/// Ends the loan of an entry.
fn settle<T: Lendable>(entries: &mut Vec<Entry<T>>, at: usize) {
    let entry = &mut entries[at];
    let lent = entry.slot.is(entry.word) && !entry.slot.has(KEPT);
    // Between the two questions a kept batch may end and its slot go to somebody else: then `retire` says no.
    if !lent || !entry.slot.retire(entry.word) {
        entries.swap_remove(at);
        return;
    }
    entry.word = 0;
    // SAFETY: the handle has ended, so nobody but the pool reaches the object.
    unsafe { entry.object.as_mut() }.clear();
    if entry.slot.is_worn_out() {
        free(&entries.swap_remove(at));
    }
}

/// Frees an entry that is not lent.
fn free<T>(entry: &Entry<T>) {
    entry.slot.give_back();
    // SAFETY: the entry's box was leaked by `add`; it is not lent, and the entry is not used any more.
    drop(unsafe { Box::from_raw(entry.object.as_ptr()) });
}

impl<T: Lendable> Drop for Pool<T> {
    fn drop(&mut self) {
        let entries = self.entries.get_mut();
        while !entries.is_empty() {
            let last = entries.len() - 1;
            if entries[last].word == 0 {
                free(&entries.swap_remove(last));
            } else {
                settle(entries, last);
            }
        }
    }
}
