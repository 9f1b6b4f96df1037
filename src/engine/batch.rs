//! A batch: values in columns from the moment they are pushed, and the places where their results will be.
//!
//! Life: open (one gate's holder writes) -> sealed (waits) -> in flight (handlers read) -> fixed (outcomes stand)
//! -> delivered -> back to the pool. The input is written only while the batch has one owner (`Shared::get_mut`),
//! so in flight it is plain shared data.

use super::column::{Bytes, Column, Rows};
use super::error::Status;
use super::options::FOREVER;
use super::results::{Settled, Side};
use super::utf8::Short;
use super::value::{Kind, Object, Trigger, Value};
use crate::sync::atomic::AtomicUsize;
use crate::sync::atomic::Ordering::AcqRel;
use crate::sync::{Mutex, OnceLock, Shared};
use std::ffi::c_void;

/// Kind byte of a row whose value was cancelled, expired or discarded while it waited.
pub(crate) const REMOVED: u8 = 7;

/// What an owned push asks to be called once its value is delivered.
pub(crate) enum Release {
    /// For one value.
    One { call: ReleaseFn, data: *mut c_void },
    /// One row's share of the release of a bulk push: runs with the last share.
    Many(Shared<ReleaseMany>),
}

/// A foreign release function.
pub(crate) type ReleaseFn = unsafe extern "C-unwind" fn(*mut c_void);

// SAFETY: whoever pushes an owned value promises that its release may run on an engine thread.
unsafe impl Send for Release {}
// SAFETY: nothing can be done with a shared Release.
unsafe impl Sync for Release {}

impl Release {
    /// Runs the callback, or gives up one share of it. A release that is dropped instead was never taken over.
    pub(crate) fn run(self) {
        let (call, data) = match self {
            Release::One { call, data } => (call, data),
            Release::Many(many) if many.give_up(1) => (many.call, many.data),
            Release::Many(_) => return,
        };
        // SAFETY: the pusher promised that `call` may be called once with `data`, from any thread.
        unsafe { call(data) };
    }
}

/// The release of a bulk push.
pub(crate) struct ReleaseMany {
    call: ReleaseFn,
    data: *mut c_void,
    shares: AtomicUsize,
}

// SAFETY: as for Release.
unsafe impl Send for ReleaseMany {}
// SAFETY: as for Release; the count is atomic.
unsafe impl Sync for ReleaseMany {}

impl ReleaseMany {
    /// A release with a share for each of `rows` rows.
    pub(crate) fn new(call: ReleaseFn, data: *mut c_void, rows: usize) -> ReleaseMany {
        ReleaseMany {
            call,
            data,
            shares: AtomicUsize::new(rows),
        }
    }

    /// Gives up shares; true if they were the last, so that the caller must see to the release.
    pub(crate) fn give_up(&self, shares: usize) -> bool {
        // SYNC: AcqRel among themselves - whoever runs the release comes after all that used the bytes.
        self.shares.fetch_sub(shares, AcqRel) == shares
    }

    /// The release alone, for whoever gave up the last shares.
    pub(crate) fn alone(&self) -> Release {
        Release::One {
            call: self.call,
            data: self.data,
        }
    }
}

/// A string or byte string that stays where the pusher has it.
pub(crate) struct Owned {
    pub(crate) row: u32,
    ptr: *const u8,
    len: usize,
    release: Option<Release>,
}

// SAFETY: the pusher promised that the bytes stay readable from any thread until the release runs.
unsafe impl Send for Owned {}
// SAFETY: as above; only reads.
unsafe impl Sync for Owned {}

/// The columnar batch. What opening and sealing write stands together at its head, beside the count of references, so
/// that few cache lines travel with it.
#[repr(C)]
pub(crate) struct Batch {
    pub(crate) rows: Rows,
    /// Rows written, removed ones included. While the batch is open its writer knows better.
    pub(crate) len: usize,
    /// Rows removed while waiting.
    pub(crate) removed: usize,
    /// Number in order of opening: what flush marks count in.
    pub(crate) id: u64,
    /// Values accepted by the batcher before this batch's first one.
    pub(crate) first: u64,
    pub(crate) opened_at: i64,
    /// Bytes of all rows, removed ones included.
    pub(crate) weight: u64,
    pub(crate) trigger: Trigger,
    pub(crate) has_deadlines: bool,
    /// This is a gathered part of another batch, whose rows `positions` names.
    pub(crate) is_part: bool,
    pub(crate) is_removed_set: bool,
    /// The one kind of all rows, once sealed.
    pub(crate) uniform: Option<Kind>,
    /// Bit per kind present, once sealed.
    pub(crate) mask: u8,
    /// The earliest deadline of a value that waits here, FOREVER without.
    pub(crate) earliest: i64,
    /// Entries of `offsets` that are written.
    offsets_filled: usize,
    pub(crate) offsets: Option<Column<i32>>,
    pub(crate) text: Bytes,
    /// Bytes of the removed rows.
    pub(crate) removed_weight: u64,
    /// Number in order of dispatch, from 1; 0 before.
    pub(crate) number: u64,
    pub(crate) dispatched_at: i64,
    pub(crate) owned: Vec<Owned>,
    /// Declared sizes of objects, where not zero: (row, bytes).
    sizes: Vec<(u32, u64)>,
    pub(crate) deadlines: Option<Column<i64>>,
    /// Which batch each row came from: only in sets of removed values.
    pub(crate) origins: Option<Column<u64>>,
    pub(crate) positions: Option<Column<u32>>,
    /// The batch this is a part of: it lives, and keeps what its values carry, as long as the part is looked at.
    pub(crate) whole: Option<Shared<Batch>>,
    /// What handlers set beyond the cells.
    pub(crate) side: Mutex<Side>,
    /// The same, once the outcomes are fixed: read without a lock from then on.
    pub(crate) settled: OnceLock<Settled>,
}

impl Batch {
    /// An empty batch with room for `rows`; None if memory ran out.
    pub(crate) fn new(rows: usize) -> Option<Batch> {
        Some(Batch {
            rows: Rows::new(rows)?,
            len: 0,
            removed: 0,
            id: 0,
            first: 0,
            opened_at: 0,
            trigger: Trigger::Size,
            weight: 0,
            removed_weight: 0,
            number: 0,
            dispatched_at: 0,
            uniform: None,
            mask: 0,
            offsets: None,
            offsets_filled: 0,
            text: Bytes::new(),
            owned: Vec::new(),
            sizes: Vec::new(),
            deadlines: None,
            has_deadlines: false,
            earliest: FOREVER,
            origins: None,
            is_removed_set: false,
            is_part: false,
            positions: None,
            whole: None,
            side: Mutex::new(Side::new()),
            settled: OnceLock::new(),
        })
    }

    /// Makes an empty batch one that takes `count` removed values. None if memory ran out.
    pub(crate) fn prepare_as_set(&mut self, count: usize) -> Option<()> {
        if self.rows.capacity() < count {
            self.rows = Rows::new(count)?;
        }
        if self.origins.as_ref().is_none_or(|origins| origins.len() < count) {
            self.origins = Some(Column::new(count)?);
        }
        self.is_removed_set = true;
        Some(())
    }

    /// Empties a batch that comes back to the pool; memory is kept.
    pub(crate) fn reset(&mut self) {
        self.rows.own_values();
        self.len = 0;
        self.removed = 0;
        self.weight = 0;
        self.removed_weight = 0;
        self.number = 0;
        self.uniform = None;
        self.mask = 0;
        self.offsets_filled = 0;
        self.text.truncate(0);
        self.owned.clear();
        self.sizes.clear();
        self.has_deadlines = false;
        self.earliest = FOREVER;
        self.is_removed_set = false;
        self.is_part = false;
        self.whole = None;
        let settled = self.settled.take();
        self.side.get_mut().reset(settled);
    }

    /// Bytes of memory this batch holds.
    pub(crate) fn memory(&self) -> u64 {
        size_of::<Batch>() as u64
            + self.rows.bytes()
            + self.text.capacity()
            + self.offsets.as_ref().map_or(0, Column::bytes)
            + self.deadlines.as_ref().map_or(0, Column::bytes)
            + self.origins.as_ref().map_or(0, Column::bytes)
    }

    /// Values that still count.
    pub(crate) fn live(&self) -> usize {
        self.len - self.removed
    }

    // ---- filling (single owner) ------------------------------------------------------------------------------

    /// Copies text in for `row`, the next row to be written. False if memory ran out.
    pub(crate) fn put_text(&mut self, row: usize, data: &[u8]) -> bool {
        let capacity = self.rows.capacity() + 1;
        if self.offsets.is_none() {
            self.offsets = Column::new(capacity);
        }
        if !self.text.reserve(data.len()) {
            return false;
        }
        let Some(offsets) = &mut self.offsets else {
            return false;
        };
        // Text never passes max_batch_bytes, which is at most 2^31 - 1.
        offsets[self.offsets_filled..=row].fill(self.text.len() as i32);
        self.text.append(data);
        offsets[row + 1] = self.text.len() as i32;
        self.offsets_filled = row + 2;
        true
    }

    /// Whether short text can be added in `row` as it stands: the row before has text, and there is room for it.
    #[inline(always)]
    pub(crate) fn takes_short_text(&self, row: usize, text: Short) -> bool {
        self.offsets_filled == row + 1 && self.text.has_room(text)
    }

    /// Copies short text in for `row`, which `takes_short_text` allowed.
    #[inline(always)]
    pub(crate) fn put_short_text(&mut self, row: usize, text: Short) {
        self.text.append_short(text);
        if let Some(offsets) = &mut self.offsets
            && let Some(end) = offsets.get_mut(row + 1)
        {
            *end = self.text.len() as i32;
        }
        self.offsets_filled = row + 2;
    }

    /// Makes offsets valid for every row, also those that hold no text.
    pub(crate) fn finish_offsets(&mut self) {
        if self.offsets_filled == 0 {
            return;
        }
        let end = self.text.len() as i32;
        if let Some(offsets) = &mut self.offsets {
            offsets[self.offsets_filled..=self.len].fill(end);
            self.offsets_filled = self.len + 1;
        }
    }

    /// Keeps a pointer for `row` instead of a copy. The caller reserved a place in `owned`.
    pub(crate) fn put_owned(&mut self, row: usize, data: *const u8, len: usize, release: Option<Release>) {
        self.owned.push(Owned {
            row: row as u32,
            ptr: data,
            len,
            release,
        });
    }

    /// Notes the declared size of the object in `row`. The caller reserved a place.
    pub(crate) fn put_size(&mut self, row: usize, size: u64) {
        if size > 0 {
            self.sizes.push((row as u32, size));
        }
    }

    pub(crate) fn reserve_size(&mut self) -> bool {
        self.sizes.try_reserve(1).is_ok()
    }

    pub(crate) fn reserve_owned(&mut self) -> bool {
        self.owned.try_reserve(1).is_ok()
    }

    /// Makes the deadline column exist; rows without a deadline hold 0.
    pub(crate) fn reserve_deadlines(&mut self) -> bool {
        if !self.has_deadlines {
            if self.deadlines.is_none() {
                self.deadlines = Column::new(self.rows.capacity());
            }
            let Some(column) = &mut self.deadlines else {
                return false;
            };
            column.fill(0);
            self.has_deadlines = true;
        }
        true
    }

    /// Works out which kinds are present, once all rows are written; all columns can be read from then on.
    pub(crate) fn classify(&mut self) {
        self.finish_offsets();
        let common = self.rows.common_kind();
        self.rows.spell_out(self.len);
        self.mask = match common {
            Some(kind) => 1 << kind,
            None => {
                let kinds = self.rows.kinds(self.len);
                kinds.iter().fold(0, |mask, kind| mask | 1 << kind) & !(1 << REMOVED)
            }
        };
        self.uniform = if self.mask.is_power_of_two() && self.removed == 0 {
            Kind::from_code(self.mask.trailing_zeros() as u8)
        } else {
            None
        };
    }

    // ---- reading ---------------------------------------------------------------------------------------------

    /// The rows of the whole batch that this part's rows are; None if this is the whole batch.
    pub(crate) fn positions(&self) -> Option<&[u32]> {
        self.positions.as_deref().filter(|_| self.is_part)
    }

    pub(crate) fn tags(&self) -> &[u64] {
        self.rows.tags(self.len)
    }

    pub(crate) fn kinds(&self) -> &[u8] {
        self.rows.kinds(self.len)
    }

    pub(crate) fn cells(&self) -> &[u64] {
        self.rows.values(self.len)
    }

    /// The value column, if all values are int64.
    pub(crate) fn int64s(&self) -> Option<&[i64]> {
        (self.uniform == Some(Kind::Int64)).then(|| super::column::as_int64s(self.cells()))
    }

    /// The value column, if all values are float64.
    pub(crate) fn float64s(&self) -> Option<&[f64]> {
        (self.uniform == Some(Kind::Float64)).then(|| super::column::as_float64s(self.cells()))
    }

    /// Finds the earliest deadline anew among the first `rows` rows, after some were removed.
    pub(crate) fn find_earliest(&mut self, rows: usize) {
        if !self.has_deadlines {
            return;
        }
        let kinds = self.rows.kinds(rows);
        let deadlines = (0..rows)
            .filter(|row| kinds[*row] != REMOVED)
            .map(|row| self.deadline(row));
        self.earliest = deadlines
            .filter(|deadline| *deadline != 0)
            .min()
            .unwrap_or(FOREVER);
    }

    pub(crate) fn deadline(&self, row: usize) -> i64 {
        match &self.deadlines {
            Some(column) if self.has_deadlines => column[row],
            _ => 0,
        }
    }

    /// Arrow offsets of the text column, `len + 1` of them, if any text was copied in.
    pub(crate) fn text_offsets(&self) -> Option<&[i32]> {
        if self.offsets_filled == 0 {
            return None;
        }
        self.offsets.as_ref().map(|offsets| &offsets[..self.len + 1])
    }

    /// The bytes of a string or byte-string row.
    pub(crate) fn text(&self, row: usize) -> &[u8] {
        if row + 1 < self.offsets_filled
            && let Some(offsets) = &self.offsets
            && offsets[row] < offsets[row + 1]
        {
            return &self.text[offsets[row] as usize..offsets[row + 1] as usize];
        }
        match self.owned.binary_search_by_key(&(row as u32), |owned| owned.row) {
            Ok(at) if self.owned[at].len > 0 => {
                let owned = &self.owned[at];
                // SAFETY: the pusher promised `len` readable bytes until the release, which runs after delivery,
                // when no reader is left.
                unsafe { std::slice::from_raw_parts(owned.ptr, owned.len) }
            }
            _ => &[],
        }
    }

    pub(crate) fn object_size(&self, row: usize) -> u64 {
        self.sizes
            .binary_search_by_key(&(row as u32), |size| size.0)
            .map_or(0, |at| self.sizes[at].1)
    }

    /// The value of a row; `owner` is the batcher's, for objects.
    pub(crate) fn value(&self, row: usize, owner: u32) -> Value<'_> {
        let cell = self.cells()[row];
        match Kind::from_code(self.kinds()[row]) {
            None | Some(Kind::Null) => Value::Null,
            Some(Kind::Bool) => Value::Bool(cell != 0),
            Some(Kind::Int64) => Value::Int64(cell as i64),
            Some(Kind::Float64) => Value::Float64(f64::from_bits(cell)),
            Some(Kind::String) => Value::String(as_utf8(self.text(row))),
            Some(Kind::Bytes) => Value::Bytes(self.text(row)),
            Some(Kind::Object) => Value::Object(Object {
                owner,
                word: cell,
                size: self.object_size(row),
            }),
        }
    }

    // ---- removing rows that wait -----------------------------------------------------------------------------

    /// Moves a waiting row's value into `set`, a batch of removed values, and marks the row. `set` has room.
    pub(crate) fn remove_into(&mut self, row: usize, set: &mut Batch) -> Status {
        let kind = self.rows.kinds(row + 1)[row];
        let cell = self.rows.values(row + 1)[row];
        let tag = self.rows.tags(row + 1)[row];
        let weight = self.row_weight(row);
        let at = set.len;
        if let Ok(found) = self.owned.binary_search_by_key(&(row as u32), |owned| owned.row) {
            if !set.reserve_owned() {
                return Status::NO_MEMORY;
            }
            let owned = &mut self.owned[found];
            set.put_owned(at, owned.ptr, owned.len, owned.release.take());
        }
        set.rows.put(at, cell, tag, kind);
        if let Some(origins) = &mut set.origins {
            origins[at] = self.id;
        }
        set.len += 1;
        self.rows.put_kind(row, REMOVED);
        self.removed += 1;
        self.removed_weight += weight;
        Status::OK
    }

    /// What a row weighs in every byte limit; also while the batch is open, when `len` is not kept up.
    pub(crate) fn row_weight(&self, row: usize) -> u64 {
        8 + match Kind::from_code(self.rows.kinds(row + 1)[row]) {
            Some(Kind::String | Kind::Bytes) => self.text(row).len() as u64,
            Some(Kind::Object) => self.object_size(row),
            _ => 0,
        }
    }

    /// Closes up removed rows before dispatch.
    pub(crate) fn close_up(&mut self) {
        if self.removed == 0 {
            return;
        }
        self.finish_offsets();
        // What removed rows carried went with them.
        let kinds = self.rows.kinds(self.len);
        self.owned.retain(|owned| kinds[owned.row as usize] != REMOVED);
        self.sizes.retain(|size| kinds[size.0 as usize] != REMOVED);
        let has_text = self.offsets_filled > 0;
        let mut to = 0;
        let mut text_end = 0usize;
        for row in 0..self.len {
            let text = match &self.offsets {
                Some(offsets) if has_text => offsets[row] as usize..offsets[row + 1] as usize,
                _ => 0..0,
            };
            if self.rows.kinds(self.len)[row] == REMOVED {
                continue;
            }
            if let Ok(at) = self.owned.binary_search_by_key(&(row as u32), |owned| owned.row) {
                // Rows move down only, so `owned` stays in row order.
                self.owned[at].row = to as u32;
            }
            if let Ok(at) = self.sizes.binary_search_by_key(&(row as u32), |size| size.0) {
                self.sizes[at].0 = to as u32;
            }
            self.rows.copy_row(row, to);
            if let Some(deadlines) = &mut self.deadlines {
                deadlines[to] = deadlines[row];
            }
            if has_text && let Some(offsets) = &mut self.offsets {
                offsets[to] = text_end as i32;
                self.text.move_down(text.start, text.len(), text_end);
                text_end += text.len();
                offsets[to + 1] = text_end as i32;
            }
            to += 1;
        }
        if has_text {
            self.text.truncate(text_end);
            self.offsets_filled = to + 1;
        }
        self.len = to;
        self.removed = 0;
        self.weight -= self.removed_weight;
        self.removed_weight = 0;
    }

    // ---- giving back what the values carried ------------------------------------------------------------------

    /// Takes the next thing this batch must release: owned pushes and input objects in row order. `at` is the
    /// caller's cursor over rows.
    pub(crate) fn next_release(&mut self, at: &mut usize) -> Option<ToRelease> {
        while *at < self.len {
            let row = *at;
            *at += 1;
            if let Ok(found) = self.owned.binary_search_by_key(&(row as u32), |owned| owned.row)
                && let Some(release) = self.owned[found].release.take()
            {
                return Some(ToRelease::Owned(release));
            }
            if self.rows.kinds(self.len)[row] == Kind::Object as u8 {
                return Some(ToRelease::Object(self.rows.values(self.len)[row]));
            }
        }
        None
    }

    /// Whether giving this batch back calls anything back.
    pub(crate) fn carries_releases(&mut self) -> bool {
        !self.owned.is_empty()
            || self.mask & (1 << Kind::Object as u8) != 0
            || self.carries_result_objects()
            || self.side.get_mut().has_dropped()
    }
}

/// One release callback to run.
pub(crate) enum ToRelease {
    Owned(Release),
    Object(u64),
}

/// Bytes that were checked when they were pushed.
pub(crate) fn as_utf8(bytes: &[u8]) -> &str {
    debug_assert!(std::str::from_utf8(bytes).is_ok());
    // SAFETY: rows of kind STRING are made only by push and set functions, which check UTF-8 first; an owned
    // push promises that its bytes do not change.
    unsafe { std::str::from_utf8_unchecked(bytes) }
}
