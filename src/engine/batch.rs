//! A batch: values in columns from the moment they are pushed, and the places where their results will be.
//!
//! Life: open (one gate's holder writes) -> sealed (waits) -> in flight (handlers read) -> fixed (outcomes stand)
//! -> delivered -> back to the pool. The input is written only while the batch has one owner (`Shared::get_mut`),
//! so in flight it is plain shared data.

use super::column::{Bytes, Column};
use super::options::FOREVER;
use super::release::{Owned, Release};
use super::results::Side;
use super::rows::Rows;
use super::settled::Settled;
use super::utf8::Short;
use super::value::{Kind, Object, Trigger, Value};
use super::writer::FETCH_AHEAD;
use crate::sync::{LINE, Mutex, OnceLock, Shared, fetch_to_write};
use std::ptr;

/// Kind byte of a row whose value was cancelled, expired or discarded while it waited.
pub(crate) const REMOVED: u8 = 7;

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
    pub(super) offsets_filled: usize,
    pub(crate) offsets: Option<Column<i32>>,
    pub(crate) text: Bytes,
    /// Bytes of the removed rows.
    pub(crate) removed_weight: u64,
    /// Number in order of dispatch, from 1; 0 before.
    pub(crate) number: u64,
    pub(crate) dispatched_at: i64,
    pub(crate) owned: Vec<Owned>,
    /// Declared sizes of objects, where not zero: (row, bytes).
    pub(super) sizes: Vec<(u32, u64)>,
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
        Rows::new(rows).map(Batch::of)
    }

    /// An empty batch with these rows.
    pub(super) fn of(rows: Rows) -> Batch {
        Batch {
            rows,
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
        }
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
        // The first text makes room for more, also if it is empty: without any, short text goes the long way.
        let first = usize::from(self.text.capacity() == 0);
        if !self.text.reserve(data.len().max(first)) {
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
        let end = self.text.len();
        if let Some(offsets) = &mut self.offsets
            && let Some(place) = offsets.get_mut(row + 1)
        {
            // Once a line of offsets: that many rows of 16 bytes of text come in as many lines.
            if row.is_multiple_of(LINE / size_of::<i32>()) {
                fetch_to_write(ptr::from_ref(place).wrapping_add(FETCH_AHEAD));
                let text = self.text.as_ptr().wrapping_add(end + 16 * FETCH_AHEAD);
                (0..4).for_each(|line| fetch_to_write(text.wrapping_add(LINE * line)));
            }
            *place = end as i32;
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
}

/// Bytes that were checked when they were pushed.
pub(crate) fn as_utf8(bytes: &[u8]) -> &str {
    debug_assert!(std::str::from_utf8(bytes).is_ok());
    // SAFETY: rows of kind STRING are made only by push and set functions, which check UTF-8 first; an owned
    // push promises that its bytes do not change.
    unsafe { std::str::from_utf8_unchecked(bytes) }
}
