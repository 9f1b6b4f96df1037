//! The rows of a batch: values, tags, kinds and results as columns.

use super::column::{Cell, give_back_lazy, zeroed_lazily};
use super::shelf::{Place, RESULT_BYTES};
use super::writer::{Common, Writer};
use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::ptr::NonNull;

/// What a result row holds besides a kind code.
pub(crate) const UNSET: u8 = 0xff;

/// The row failed; its cell holds the code.
pub(crate) const FAILED: u8 = 0xfe;

/// Bytes of a row's input: value, tag and kind.
const INPUT_BYTES: usize = 8 + 8 + 1;

/// The columns every batch has: input values, tags and kinds in one allocation, and the places of the results.
///
/// The result columns are atomics because a handler that overran its time-out may still write to them while the
/// outcome (already fixed, and then not OK) is delivered.
pub(crate) struct Rows {
    base: NonNull<u8>,
    /// Rows there is room for: a multiple of 64, so that every column stays aligned.
    capacity: usize,
    /// Where the input values are: inside `base`, or the caller's own array (`borrow_values`).
    values: NonNull<u64>,
    results: Place,
    /// What the rows have in common instead of it standing in the columns.
    common: Common,
}

// SAFETY: owns `base` and the place of its results alone; `values` points into `base`, or at memory that `borrow_values`
// makes the caller keep.
unsafe impl Send for Rows {}

// SAFETY: shared access reads plain columns and uses atomics on the result columns.
unsafe impl Sync for Rows {}

impl Rows {
    /// For how many rows there is room where there must be for `rows`.
    pub(crate) fn room_for(rows: usize) -> Option<usize> {
        rows.max(1).checked_next_multiple_of(64)
    }

    pub(crate) fn new(rows: usize) -> Option<Rows> {
        Rows::with(Place::alone(Rows::room_for(rows)?)?)
    }

    /// As many rows as there is a place for the results of.
    pub(super) fn with(results: Place) -> Option<Rows> {
        let capacity = results.rows;
        let base = zeroed_lazily(capacity.checked_mul(INPUT_BYTES)?)?;
        Some(Rows {
            base,
            capacity,
            values: base.cast(),
            results,
            common: Common::default(),
        })
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Reads values from the caller's array instead of the own column.
    ///
    /// # Safety
    /// `values` points to at least as many aligned cells as rows are ever read, unchanged until `own_values`.
    pub(crate) unsafe fn borrow_values(&mut self, values: NonNull<u64>) {
        self.values = values;
    }

    pub(crate) fn own_values(&mut self) {
        self.values = self.base.cast();
    }

    fn at<T>(&self, bytes_before: usize) -> NonNull<T> {
        // SAFETY: callers pass the sum of the widths of the columns before theirs, below INPUT_BYTES, so the
        // pointer stays inside the one allocation.
        unsafe { self.base.add(self.capacity * bytes_before) }.cast()
    }

    fn result_at<T>(&self, bytes_before: usize) -> NonNull<T> {
        // SAFETY: as in `at`, below RESULT_BYTES and inside the place.
        unsafe { self.results.base.add(self.capacity * bytes_before) }.cast()
    }

    /// The input cells of the first `len` rows.
    pub(crate) fn values(&self, len: usize) -> &[u64] {
        assert!(len <= self.capacity);
        // SAFETY: `values` spans `capacity` zeroed cells, or what `borrow_values` promised.
        unsafe { std::slice::from_raw_parts(self.values.as_ptr(), len) }
    }

    /// The tags; spelled out first.
    pub(crate) fn tags(&self, len: usize) -> &[u64] {
        assert!(len <= self.capacity);
        debug_assert!(self.common.first_tag.is_none());
        // SAFETY: the second column spans `capacity` zeroed cells.
        unsafe { std::slice::from_raw_parts(self.at::<u64>(8).as_ptr(), len) }
    }

    /// The kind codes; spelled out first.
    pub(crate) fn kinds(&self, len: usize) -> &[u8] {
        assert!(len <= self.capacity);
        debug_assert!(self.common.kind.is_none());
        // SAFETY: the first byte column spans `capacity` zeroed cells.
        unsafe { std::slice::from_raw_parts(self.at::<u8>(16).as_ptr(), len) }
    }

    /// Result cells: the value of an OK row, the code of any other.
    pub(crate) fn out(&self) -> &[AtomicU64] {
        // SAFETY: the first result column spans `capacity` zeroed, aligned cells that are only used as atomics.
        unsafe { std::slice::from_raw_parts(self.result_at::<AtomicU64>(0).as_ptr(), self.capacity) }
    }

    /// Kind codes of the results, UNSET or FAILED.
    pub(crate) fn out_kinds(&self) -> &[AtomicU8] {
        self.byte_column(8)
    }

    pub(crate) fn outcomes(&self) -> &[AtomicU8] {
        self.byte_column(9)
    }

    pub(crate) fn handled(&self) -> &[AtomicU8] {
        self.byte_column(10)
    }

    fn byte_column(&self, bytes_before: usize) -> &[AtomicU8] {
        // SAFETY: a byte column of `capacity` zeroed cells that are only used as atomics.
        unsafe {
            std::slice::from_raw_parts(self.result_at::<AtomicU8>(bytes_before).as_ptr(), self.capacity)
        }
    }

    /// Writes one input row.
    pub(crate) fn put(&mut self, row: usize, cell: u64, tag: u64, kind: u8) {
        assert!(row < self.capacity);
        self.own_values();
        // SAFETY: the row is inside the columns, and `&mut self` excludes readers.
        unsafe { store(self.values.as_ptr(), row, cell) };
        // SAFETY: as above.
        unsafe { store(self.at::<u64>(8).as_ptr(), row, tag) };
        self.put_kind(row, kind);
    }

    pub(crate) fn put_kind(&mut self, row: usize, kind: u8) {
        assert!(row < self.capacity);
        // SAFETY: the row is inside the kinds column, and `&mut self` excludes readers.
        unsafe { store(self.at::<u8>(16).as_ptr(), row, kind) };
    }

    /// Copies input row `from` to `to`.
    pub(crate) fn copy_row(&mut self, from: usize, to: usize) {
        let cell = self.values(from + 1)[from];
        let tag = self.tags(from + 1)[from];
        let kind = self.kinds(from + 1)[from];
        self.put(to, cell, tag, kind);
    }

    /// A cursor that appends rows below `limit`. It dangles when these Rows are dropped: see `Writer`.
    pub(crate) fn writer(&mut self, limit: usize) -> Writer {
        self.own_values();
        self.common = Common::default();
        Writer::attached(self.values.as_ptr(), self.capacity, limit.min(self.capacity))
    }

    /// Notes what the rows have in common, which the columns do not hold.
    pub(crate) fn set_common(&mut self, common: Common) {
        self.common = common;
    }

    /// What the rows had in common; the columns hold it from now on.
    pub(super) fn take_common(&mut self) -> Common {
        std::mem::take(&mut self.common)
    }

    /// The kind that all rows have in common, if the column does not hold it.
    pub(crate) fn common_kind(&self) -> Option<u8> {
        self.common.kind
    }

    /// Marks the results of the first `len` rows as not set.
    pub(crate) fn clear_results(&mut self, len: usize) {
        assert!(len <= self.capacity);
        // SAFETY: the column spans `capacity` bytes, and `&mut self` excludes setters and readers.
        unsafe { self.result_at::<u8>(8).write_bytes(UNSET, len) };
    }

    /// The kinds of the results, eight rows a cell.
    fn result_kinds_by_eight(&self) -> &[AtomicU64] {
        // SAFETY: the column is 64-byte aligned and spans a multiple of 64 bytes, used only as atomics while it
        // is shared.
        unsafe { std::slice::from_raw_parts(self.result_at::<AtomicU64>(8).as_ptr(), self.capacity / 8) }
    }

    /// Gives the first `len` results the same kind code.
    pub(crate) fn fill_result_kinds(&self, len: usize, kind: u8) {
        let pattern = u64::from_ne_bytes([kind; 8]);
        for eight in &self.result_kinds_by_eight()[..len / 8] {
            eight.store(pattern, Ordering::Relaxed);
        }
        for rest in &self.out_kinds()[len / 8 * 8..len] {
            rest.store(kind, Ordering::Relaxed);
        }
    }

    /// The kind code that all of the first `len` results hold, if they agree; eight rows a look.
    pub(crate) fn same_result(&self, len: usize) -> Option<u8> {
        let kinds = &self.out_kinds()[..len];
        let first = kinds.first()?.load(Ordering::Relaxed);
        let pattern = u64::from_ne_bytes([first; 8]);
        let by_eight = &self.result_kinds_by_eight()[..len / 8];
        let same = by_eight
            .iter()
            .all(|eight| eight.load(Ordering::Relaxed) == pattern);
        let rest = kinds[len / 8 * 8..]
            .iter()
            .all(|kind| kind.load(Ordering::Relaxed) == first);
        (same && rest).then_some(first)
    }

    pub(crate) fn bytes(&self) -> u64 {
        (self.capacity * (INPUT_BYTES + RESULT_BYTES)) as u64
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        give_back_lazy(self.base, self.capacity * INPUT_BYTES);
    }
}

/// Writes cells of a column.
///
/// # Safety
/// `column` has `row + count` cells, and nobody else reaches these meanwhile.
pub(super) unsafe fn fill<T: Cell>(column: *mut T, row: usize, count: usize, cell: impl Fn(usize) -> T) {
    if count == 0 {
        return;
    }
    // SAFETY: the caller keeps `row` inside the column.
    let first = unsafe { column.add(row) };
    // SAFETY: the caller keeps all of it inside the column and to itself; cells are plain data, zeroed at first.
    let cells = unsafe { std::slice::from_raw_parts_mut(first, count) };
    for (index, place) in cells.iter_mut().enumerate() {
        *place = cell(index);
    }
}

/// Writes one cell of a column.
///
/// # Safety
/// `column` has more than `row` cells, and nobody reads this one meanwhile.
#[inline(always)]
pub(super) unsafe fn store<T: Cell>(column: *mut T, row: usize, value: T) {
    // SAFETY: the caller keeps `row` inside the column.
    let cell = unsafe { column.add(row) };
    // SAFETY: as above, and plain data needs no drop.
    unsafe { cell.write(value) };
}
