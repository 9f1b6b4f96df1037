//! Aligned memory for columns: fixed arrays and a growing byte buffer.
//!
//! With `shelf.rs`, `rows.rs`, `writer.rs` and `utf8.rs` the unsafe code of the engine's data path. Cells are zeroed
//! first, so every one is initialised and reads need no proof; of bytes only those that were appended are read.
//! Allocation failure is an `Option`, never an abort.

use super::utf8::Short;
use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Every column starts on a cache line, as Arrow recommends.
pub(crate) const ALIGN: usize = 64;

/// Plain cells: every bit pattern, also all zeroes, is a valid value.
pub(crate) trait Cell: Copy {}
impl Cell for u8 {}
impl Cell for u32 {}
impl Cell for i32 {}
impl Cell for u64 {}
impl Cell for i64 {}

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.max(1), ALIGN).ok()
}

/// Zeroed memory of at least one byte, 64-byte aligned.
fn zeroed(bytes: usize) -> Option<NonNull<u8>> {
    let layout = layout(bytes)?;
    // SAFETY: the layout is never of size zero (`max(1)` above).
    NonNull::new(unsafe { alloc_zeroed(layout) })
}

/// As `zeroed`, for bytes that are written before they are read: pages nobody came to stay the system's.
fn unwritten(bytes: usize) -> Option<NonNull<u8>> {
    let layout = layout(bytes)?;
    // SAFETY: the layout is never of size zero.
    NonNull::new(unsafe { alloc(layout) })
}

fn give_back(ptr: NonNull<u8>, bytes: usize) {
    if let Some(layout) = layout(bytes) {
        // SAFETY: `ptr` came from `zeroed` (or `realloc`) with this very size and alignment, and its owner ends here.
        unsafe { dealloc(ptr.as_ptr(), layout) };
    }
}

/// Zeroed memory of at least one byte, 64-byte aligned, whose pages the system gives when they are first written: an
/// allocator clears what it aligns beyond its own alignment, so this is aligned by hand. `give_back_lazy` ends it.
pub(super) fn zeroed_lazily(bytes: usize) -> Option<NonNull<u8>> {
    let layout = lazy_layout(bytes)?;
    // SAFETY: the layout is not of size zero.
    let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
    let gap = ALIGN - start.addr().get() % ALIGN;
    // SAFETY: the gap is at most ALIGN, which the layout has beyond `bytes`.
    let aligned = unsafe { start.add(gap) };
    // SAFETY: a gap is at least as long as the allocator's alignment, so a byte before `aligned` is inside.
    let note = unsafe { aligned.sub(1) };
    // SAFETY: as above, and nobody else has this memory yet.
    unsafe { note.write(gap as u8) };
    Some(aligned)
}

pub(super) fn give_back_lazy(aligned: NonNull<u8>, bytes: usize) {
    // SAFETY: `aligned` came from `zeroed_lazily`, which noted the gap in the byte before it.
    let note = unsafe { aligned.sub(1) };
    // SAFETY: as above.
    let gap = usize::from(unsafe { note.read() });
    if let Some(layout) = lazy_layout(bytes) {
        // SAFETY: the gap leads back to the start of the allocation.
        let start = unsafe { aligned.sub(gap) };
        // SAFETY: it was made with this very layout, and its owner ends here.
        unsafe { dealloc(start.as_ptr(), layout) };
    }
}

/// Room for `bytes` and for aligning them, at the alignment that allocators give anyway.
fn lazy_layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.checked_add(ALIGN)?, 16).ok()
}

/// A fixed array of plain cells.
pub(crate) struct Column<T: Cell> {
    ptr: NonNull<T>,
    len: usize,
}

// SAFETY: a Column owns its memory alone, like Box<[T]>, and T is plain data.
unsafe impl<T: Cell> Send for Column<T> {}
// SAFETY: shared access only reads.
unsafe impl<T: Cell> Sync for Column<T> {}

impl<T: Cell> Column<T> {
    pub(crate) fn new(len: usize) -> Option<Column<T>> {
        let bytes = len.checked_mul(size_of::<T>())?;
        Some(Column {
            ptr: zeroed(bytes)?.cast(),
            len,
        })
    }

    pub(crate) fn bytes(&self) -> u64 {
        (self.len * size_of::<T>()) as u64
    }
}

impl<T: Cell> Deref for Column<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `len` cells were allocated and zeroed, and Cell types are valid in any bit pattern.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl<T: Cell> DerefMut for Column<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl<T: Cell> Drop for Column<T> {
    fn drop(&mut self) {
        give_back(self.ptr.cast(), self.len * size_of::<T>());
    }
}

/// A growing byte buffer, 64-byte aligned.
pub(crate) struct Bytes {
    ptr: NonNull<u8>,
    len: usize,
    capacity: usize,
}

// SAFETY: owns its memory alone, like Vec<u8>.
unsafe impl Send for Bytes {}
// SAFETY: shared access only reads.
unsafe impl Sync for Bytes {}

impl Bytes {
    pub(crate) const fn new() -> Bytes {
        Bytes {
            ptr: NonNull::dangling(),
            len: 0,
            capacity: 0,
        }
    }

    /// Makes room for `more` bytes; false if memory ran out (nothing changes then).
    pub(crate) fn reserve(&mut self, more: usize) -> bool {
        let Some(need) = self.len.checked_add(more) else {
            return false;
        };
        if need <= self.capacity {
            return true;
        }
        let grown = need.max(self.capacity.saturating_mul(2)).max(256);
        let ptr = if self.capacity == 0 {
            unwritten(grown)
        } else {
            let Some(old) = layout(self.capacity) else {
                return false;
            };
            if layout(grown).is_none() {
                return false;
            }
            // SAFETY: `ptr` was allocated with `old`, and `grown` is not zero and fits a layout of this alignment.
            NonNull::new(unsafe { realloc(self.ptr.as_ptr(), old, grown) })
        };
        let Some(ptr) = ptr else { return false };
        self.ptr = ptr;
        self.capacity = grown;
        true
    }

    /// Appends `data`; the room must have been reserved.
    pub(crate) fn append(&mut self, data: &[u8]) {
        assert!(data.len() <= self.capacity - self.len, "append without reserve");
        // SAFETY: `len` lies inside the allocation (or both are zero and nothing is copied).
        let end = unsafe { self.ptr.as_ptr().add(self.len) };
        // SAFETY: the assertion above leaves room for `data`, which cannot overlap memory owned here exclusively.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), end, data.len()) };
        self.len += data.len();
    }

    /// Whether short text fits without growing.
    #[inline(always)]
    pub(crate) fn has_room(&self, text: Short) -> bool {
        text.room() <= self.capacity - self.len
    }

    /// Appends short text, for which there is room.
    #[inline(always)]
    pub(crate) fn append_short(&mut self, text: Short) {
        assert!(self.has_room(text), "append without room");
        let end = self.ptr.as_ptr().wrapping_add(self.len);
        // SAFETY: by the assertion the text's room lies between `len` and `capacity`, which is this buffer's alone.
        unsafe { text.write(end) };
        self.len += text.len();
    }

    /// Moves `from..from + len` down to `to` (closing a gap) without changing the length.
    pub(crate) fn move_down(&mut self, from: usize, len: usize, to: usize) {
        self.as_mut().copy_within(from..from + len, to);
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity as u64
    }

    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: the first `len` bytes were written by `append`.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the first `len` bytes were written by `append`; with capacity 0 the dangling pointer spans 0 bytes.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if self.capacity > 0 {
            give_back(self.ptr, self.capacity);
        }
    }
}

/// Cells read as int64.
pub(crate) fn as_int64s(cells: &[u64]) -> &[i64] {
    // SAFETY: u64 and i64 have one size and alignment, and every bit pattern is valid in both.
    unsafe { std::slice::from_raw_parts(cells.as_ptr().cast(), cells.len()) }
}

/// Cells read as float64.
pub(crate) fn as_float64s(cells: &[u64]) -> &[f64] {
    // SAFETY: u64 and f64 have one size and alignment, and every bit pattern is valid in both.
    unsafe { std::slice::from_raw_parts(cells.as_ptr().cast(), cells.len()) }
}

/// Values of one cell each.
pub(crate) trait Word: Copy {}
impl Word for i64 {}
impl Word for f64 {}

/// Values read as cells.
pub(crate) fn as_cells<T: Word>(values: &[T]) -> &[u64] {
    // SAFETY: only i64 and f64 are Words: 8 bytes, aligned as u64, and any bits are valid.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), values.len()) }
}

/// Result cells whose outcomes stand, read as plain cells.
pub(crate) fn plain_cells(cells: &[crate::sync::atomic::AtomicU64]) -> &[u64] {
    // SAFETY: AtomicU64 has the size, alignment and bit validity of u64. The caller reads only cells of rows that
    // are OK: nobody stores to those once the outcomes stand.
    unsafe { std::slice::from_raw_parts(cells.as_ptr().cast(), cells.len()) }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::rows::Rows;
    use super::*;

    #[test]
    fn columns_are_aligned_and_zeroed() {
        let rows = Rows::new(100).expect("memory");
        assert_eq!(rows.capacity(), 128);
        for address in [
            rows.values(100).as_ptr() as usize,
            rows.tags(100).as_ptr() as usize,
            rows.kinds(100).as_ptr() as usize,
            rows.out().as_ptr() as usize,
            rows.outcomes().as_ptr() as usize,
        ] {
            assert_eq!(address % ALIGN, 0);
        }
        assert!(rows.values(100).iter().all(|v| *v == 0));
    }

    #[test]
    fn bytes_grow_and_keep_what_they_hold() {
        let mut bytes = Bytes::new();
        for i in 0..100u8 {
            assert!(bytes.reserve(100));
            bytes.append(&[i; 100]);
        }
        assert_eq!(bytes.len(), 10_000);
        assert!((0..100).all(|i| bytes[i * 100..][..100].iter().all(|b| *b == i as u8)));
        assert_eq!(bytes.as_ptr() as usize % ALIGN, 0);
        assert!(!bytes.reserve(usize::MAX));
    }
}
