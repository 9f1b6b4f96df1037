//! The hot end of an open batch: where the next row goes, and what its rows have in common.
//!
//! Most batches hold values of one kind, and tags that count up from push to push. Such a kind and such tags are not
//! written row by row but remembered, so that fewer cache lines travel between the pusher and the handler. They are
//! spelled out when somebody needs the column: at the first value that differs, when a waiting value is removed, or by
//! whoever dispatches the batch, on the core where the column is read.

use super::rows::{Rows, fill, store};
use crate::sync::{LINE, fetch_to_write};

/// The tags of many values.
#[derive(Clone, Copy, Debug)]
pub enum Tags<'a> {
    /// This tag, the next, and so on.
    From(u64),
    /// One for each value.
    Each(&'a [u64]),
}

impl<'a> Tags<'a> {
    /// The tag of the value at `index`, if there is one.
    pub(crate) fn of(&self, index: usize) -> Option<u64> {
        match self {
            Tags::From(first) => Some(first.wrapping_add(index as u64)),
            Tags::Each(tags) => tags.get(index).copied(),
        }
    }

    /// The tags of the values from `index` on.
    pub(crate) fn after(&self, index: usize) -> Tags<'a> {
        match self {
            Tags::From(first) => Tags::From(first.wrapping_add(index as u64)),
            Tags::Each(tags) => Tags::Each(tags.get(index..).unwrap_or_default()),
        }
    }
}

/// What the rows of a batch have in common and its columns do not hold.
#[derive(Clone, Copy, Default)]
pub(crate) struct Common {
    /// The kind of every row.
    pub(crate) kind: Option<u8>,
    /// The tag of the first row; the others count up.
    pub(crate) first_tag: Option<u64>,
}

/// The tags are in their column; else they count up to `expected`.
const TAGS: u32 = 1 << 8;
/// The kinds are in their column; else they are the low byte of the mode.
const KINDS: u32 = 1 << 9;

/// How many rows ahead of the one written lines are asked for. On `job/1` of the bench 64 and 128 gain half of what 32
/// does.
pub(super) const FETCH_AHEAD: usize = 32;

/// Appends rows to a batch.
///
/// Whoever keeps a Writer keeps the Rows it came from alive and unread below `row` until the writer is detached;
/// `engine/front.rs` is the only keeper and holds both in one struct behind one gate.
pub(crate) struct Writer {
    /// The value cell of the next row.
    next: *mut u64,
    /// The value cell of the first row that may not be written without asking again.
    end: *mut u64,
    /// The tag that the next row has if the tags count up.
    expected: u64,
    /// The kind of all rows, with TAGS and KINDS.
    mode: u32,
    /// Cells from a row's value to its tag.
    to_tag: usize,
    values: *mut u64,
}

// SAFETY: the pointers belong to the Rows kept beside the writer, which are Send.
unsafe impl Send for Writer {}

impl Writer {
    /// A writer with no batch: its limit is 0, so every push asks.
    pub(crate) const fn detached() -> Writer {
        Writer {
            next: std::ptr::null_mut(),
            end: std::ptr::null_mut(),
            expected: 0,
            mode: 0,
            to_tag: 0,
            values: std::ptr::null_mut(),
        }
    }

    /// A writer at the first row of `rows`, whose columns are `to_tag` cells apart.
    pub(super) fn attached(values: *mut u64, to_tag: usize, limit: usize) -> Writer {
        Writer {
            next: values,
            end: values.wrapping_add(limit),
            expected: 0,
            mode: 0,
            to_tag,
            values,
        }
    }

    /// Rows written so far.
    #[inline(always)]
    pub(crate) fn row(&self) -> usize {
        (self.next.addr() - self.values.addr()) / size_of::<u64>()
    }

    /// Rows that may be written without asking again, those written included.
    pub(crate) fn limit(&self) -> usize {
        (self.end.addr() - self.values.addr()) / size_of::<u64>()
    }

    /// Allows rows up to `limit`, which is at most what the batch has room for (`to_tag`). Without a batch: none.
    #[inline(always)]
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.end = self.values.wrapping_add(limit.min(self.to_tag));
    }

    #[inline(always)]
    pub(crate) fn is_full(&self) -> bool {
        self.next >= self.end
    }

    /// The kind of the first row: kinds stand behind the tags, which take as much room as the values.
    fn kinds(&self) -> *mut u8 {
        self.values.wrapping_add(2 * self.to_tag).cast()
    }

    /// What the rows have in common and the columns do not hold.
    pub(crate) fn common(&self) -> Common {
        Common {
            kind: (self.mode & KINDS == 0).then_some(self.mode as u8),
            first_tag: (self.mode & TAGS == 0).then(|| self.expected.wrapping_sub(self.row() as u64)),
        }
    }

    /// Appends a row of a batch of one kind, unless it would be the last below the limit: whoever writes that one has
    /// more to do. False also where `put` has to write the kind, or to spell something out first. Text has no cell.
    #[inline(always)]
    pub(crate) fn put_inside(&mut self, cell: Option<u64>, tag: u64, kind: u8) -> bool {
        let after = self.next.wrapping_add(1);
        if after >= self.end {
            return false;
        }
        let at_line = self.next.addr().is_multiple_of(LINE);
        if self.mode == u32::from(kind) {
            if tag != self.expected {
                return false;
            }
            self.expected = tag.wrapping_add(1);
        } else if self.mode == u32::from(kind) | TAGS {
            if at_line {
                fetch_to_write(self.next.wrapping_add(self.to_tag + FETCH_AHEAD));
            }
            // SAFETY: the row is below the limit, so inside the columns.
            unsafe { store(self.next, self.to_tag, tag) };
        } else {
            return false;
        }
        if let Some(cell) = cell {
            if at_line {
                fetch_to_write(self.next.wrapping_add(FETCH_AHEAD));
            }
            // SAFETY: as above.
            unsafe { store(self.next, 0, cell) };
        }
        self.next = after;
        true
    }

    /// Appends a row if there is one below the limit.
    pub(crate) fn put(&mut self, cell: u64, tag: u64, kind: u8) -> bool {
        if self.is_full() {
            return false;
        }
        let row = self.row();
        self.agree_on(kind, Tags::From(tag), 1);
        if self.mode & KINDS != 0 {
            // SAFETY: the row is below the limit, so inside the columns.
            unsafe { store(self.kinds(), row, kind) };
        }
        if self.mode & TAGS != 0 {
            // SAFETY: as above.
            unsafe { store(self.next, self.to_tag, tag) };
        }
        // SAFETY: as above.
        unsafe { store(self.next, 0, cell) };
        self.next = self.next.wrapping_add(1);
        true
    }

    /// Appends as many of `cells` as the limit allows; answers how many.
    pub(crate) fn put_many(&mut self, cells: &[u64], tags: Tags<'_>, kind: u8) -> usize {
        let row = self.row();
        let count = cells.len().min(self.limit().saturating_sub(row));
        if count == 0 {
            return 0;
        }
        self.agree_on(kind, tags, count);
        if self.mode & KINDS != 0 {
            // SAFETY: row + count <= limit, so the span lies inside the columns.
            unsafe { fill(self.kinds(), row, count, |_| kind) };
        }
        if self.mode & TAGS != 0 {
            let tag = |index| tags.of(index).unwrap_or_default();
            // SAFETY: as above.
            unsafe { fill(self.next, self.to_tag, count, tag) };
        }
        // SAFETY: as above; the caller's cells are not the batch's.
        unsafe { std::ptr::copy_nonoverlapping(cells.as_ptr(), self.next, count) };
        self.next = self.next.wrapping_add(count);
        count
    }

    /// Settles what the next `count` rows have in common with those before, and spells out what they have not.
    fn agree_on(&mut self, kind: u8, tags: Tags<'_>, count: usize) {
        let first = tags.of(0).unwrap_or_default();
        if self.next == self.values {
            self.mode = u32::from(kind);
            self.expected = first;
        }
        if self.mode & KINDS == 0 && self.mode as u8 != kind {
            self.spell_kinds();
        }
        if self.mode & TAGS == 0 {
            let counts_up = matches!(tags, Tags::From(_)) || count == 1;
            if first == self.expected && counts_up {
                self.expected = first.wrapping_add(count as u64);
            } else {
                self.spell_tags();
            }
        }
    }

    /// Spells out what the rows written so far have in common: their columns can be read and changed then.
    pub(crate) fn spell_out(&mut self) {
        if self.mode & KINDS == 0 {
            self.spell_kinds();
        }
        if self.mode & TAGS == 0 {
            self.spell_tags();
        }
    }

    fn spell_kinds(&mut self) {
        let kind = self.mode as u8;
        // SAFETY: the rows written lie inside the column.
        unsafe { fill(self.kinds(), 0, self.row(), |_| kind) };
        self.mode = self.mode & TAGS | KINDS;
    }

    fn spell_tags(&mut self) {
        let rows = self.row();
        let first = self.expected.wrapping_sub(rows as u64);
        let tag = |row| first.wrapping_add(row as u64);
        // SAFETY: as above; the tags of the first row are `to_tag` cells from its value.
        unsafe { fill(self.values, self.to_tag, rows, tag) };
        self.mode |= TAGS;
    }
}

impl Rows {
    /// Spells out what the first `len` rows have in common, so that all columns can be read.
    pub(crate) fn spell_out(&mut self, len: usize) {
        let common = self.take_common();
        if common.kind.is_none() && common.first_tag.is_none() {
            return;
        }
        let mut writer = self.writer(self.capacity());
        writer.next = writer.values.wrapping_add(len.min(self.capacity()));
        writer.mode = common.kind.map_or(KINDS, u32::from);
        match common.first_tag {
            Some(first) => writer.expected = first.wrapping_add(len as u64),
            None => writer.mode |= TAGS,
        }
        writer.spell_out();
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// A way to append a row.
    type Put = fn(&mut Writer, u64, u64, u8) -> bool;

    fn put_either(writer: &mut Writer, cell: u64, tag: u64, kind: u8) -> bool {
        writer.put_inside(Some(cell), tag, kind) || writer.put(cell, tag, kind)
    }

    fn put_as_many(writer: &mut Writer, cell: u64, tag: u64, kind: u8) -> bool {
        writer.put_many(&[cell], Tags::Each(&[tag]), kind) == 1
    }

    fn put_from(writer: &mut Writer, cell: u64, tag: u64, kind: u8) -> bool {
        writer.put_many(&[cell], Tags::From(tag), kind) == 1
    }

    #[test]
    fn a_writer_stops_at_its_limit() {
        let mut rows = Rows::new(2).expect("memory");
        let mut writer = rows.writer(2);
        assert!(writer.put_inside(Some(6), 60, 2) || writer.put(7, 70, 2));
        assert!(!writer.put_inside(Some(8), 71, 2), "the last row is for put");
        assert!(writer.put(8, 80, 2));
        assert!(writer.is_full());
        assert!(!writer.put(9, 90, 2));
        assert_eq!(writer.put_many(&[1, 2], Tags::From(0), 2), 0);
        rows.set_common(writer.common());
        rows.spell_out(2);
        assert_eq!(rows.values(2), [7, 8]);
        assert_eq!(rows.tags(2), [70, 80]);
        assert!(!Writer::detached().put(1, 1, 1));
        assert!(!Writer::detached().put_inside(Some(1), 1, 1));
    }

    #[test]
    fn what_rows_have_in_common_reads_as_if_it_had_been_written() {
        // Every way to append, every pattern of four kinds and four steps between tags, removed from or not.
        let ways: [Put; 4] = [put_either, Writer::put, put_as_many, put_from];
        let base = u64::MAX - 2;
        for pattern in 0..4_u32.pow(5) {
            let digit = |row: u32| pattern / 4_u32.pow(row) % 4;
            for (way, put) in ways.iter().enumerate() {
                for spelled_at in 0..=5 {
                    let mut rows = Rows::new(8).expect("memory");
                    let mut writer = rows.writer(8);
                    let (mut tags, mut kinds) = (Vec::new(), Vec::new());
                    let mut tag = base;
                    for row in 0..5_u32 {
                        if row == spelled_at {
                            writer.spell_out();
                            assert!(writer.common().kind.is_none() && writer.common().first_tag.is_none());
                        }
                        let kind = 2 + (digit(row) & 1) as u8;
                        tag = tag.wrapping_add(1 + u64::from(digit(row) >> 1));
                        assert!(put(&mut writer, u64::from(row), tag, kind));
                        tags.push(tag);
                        kinds.push(kind);
                    }
                    assert_eq!(writer.row(), 5);
                    rows.set_common(writer.common());
                    let common = rows.common_kind();
                    if kinds.iter().all(|kind| *kind == kinds[0]) && spelled_at == 5 {
                        assert_eq!(common, Some(kinds[0]));
                    }
                    rows.spell_out(5);
                    assert_eq!(rows.values(5), [0, 1, 2, 3, 4]);
                    assert_eq!(rows.tags(5), tags, "way {way}, pattern {pattern}, {spelled_at}");
                    assert_eq!(rows.kinds(5), kinds, "way {way}, pattern {pattern}, {spelled_at}");
                    assert_eq!(rows.common_kind(), None);
                }
            }
        }
    }

    #[test]
    fn many_tags_in_and_out_of_step() {
        let mut rows = Rows::new(64).expect("memory");
        let mut writer = rows.writer(64);
        assert_eq!(writer.put_many(&[1, 2, 3], Tags::From(10), 2), 3);
        assert_eq!(writer.put_many(&[4, 5], Tags::From(13), 2), 2);
        assert_eq!(writer.common().first_tag, Some(10));
        assert_eq!(writer.put_many(&[6, 7], Tags::Each(&[15, 99]), 2), 2);
        assert_eq!(writer.common().first_tag, None);
        assert_eq!(writer.put_many(&[8, 9], Tags::From(100), 3), 2);
        rows.set_common(writer.common());
        rows.spell_out(9);
        assert_eq!(rows.tags(9), [10, 11, 12, 13, 14, 15, 99, 100, 101]);
        assert_eq!(rows.kinds(9), [2, 2, 2, 2, 2, 2, 2, 3, 3]);
        assert_eq!(rows.values(9), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}
