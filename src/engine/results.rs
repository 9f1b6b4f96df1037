//! Results: what handlers set.
//!
//! A result cell is written as often as the handler likes; nothing is final before the part completes. Fixing a
//! part (`settled.rs`) turns what was set into outcomes, once; whoever sets afterwards is told TOO_LATE.

use super::batch::Batch;
use super::column::Bytes;
use super::error::Status;
use super::rows::{FAILED, UNSET};
use super::settled::Settled;
use super::value::{Kind, Value};
use crate::sync::atomic::Ordering::Relaxed;

/// Why rows failed: one entry for a run of rows.
pub(crate) struct RowFailure {
    pub(super) first: u32,
    pub(super) count: u32,
    pub(super) code: i32,
    pub(super) type_name: String,
    pub(super) message: String,
}

/// What a handler says about a row or a part that failed.
#[derive(Clone, Copy)]
pub(crate) struct Reason<'a> {
    pub(crate) code: i32,
    pub(crate) type_name: &'a str,
    pub(crate) message: &'a str,
}

impl Reason<'_> {
    /// A code without words: the library's own codes speak for themselves.
    pub(crate) fn bare(status: Status) -> Reason<'static> {
        Reason {
            code: status.code(),
            type_name: "",
            message: if status.is_user() { "" } else { status.text() },
        }
    }
}

/// What handlers set beyond the 8-byte cells.
pub(crate) struct Side {
    pub(super) text: Bytes,
    pub(super) failures: Vec<RowFailure>,
    /// Object results that were replaced or came to a part that failed.
    pub(super) replaced: Vec<u64>,
    /// Objects that were set, each with a place in `replaced`.
    handed: usize,
    /// Set by `fail_all`.
    pub(super) whole: Option<RowFailure>,
    pub(super) objects: bool,
    strings: bool,
    /// Outcomes stand; nothing more is taken.
    pub(super) fixed: bool,
}

impl Side {
    pub(crate) const fn new() -> Side {
        Side {
            text: Bytes::new(),
            failures: Vec::new(),
            replaced: Vec::new(),
            handed: 0,
            whole: None,
            objects: false,
            strings: false,
            fixed: false,
        }
    }

    /// Makes a place in `replaced` for one more object that is being set. False if memory ran out.
    fn reserve_dropped(&mut self) -> bool {
        let places = self.handed + 1;
        let reserved = self.replaced.try_reserve(places - self.replaced.len()).is_ok();
        self.handed += usize::from(reserved);
        reserved
    }

    pub(crate) fn has_dropped(&self) -> bool {
        !self.replaced.is_empty()
    }

    /// Rows hold something a plain store must not overwrite unseen.
    fn is_touched(&self) -> bool {
        self.objects || !self.failures.is_empty()
    }

    /// Empties it for the next batch; memory comes back from what was settled.
    pub(crate) fn reset(&mut self, settled: Option<Settled>) {
        if let Some(settled) = settled {
            self.text = settled.text;
            self.failures = settled.failures;
        }
        self.text.truncate(0);
        self.failures.clear();
        self.replaced.clear();
        self.handed = 0;
        self.whole = None;
        self.objects = false;
        self.strings = false;
        self.fixed = false;
    }
}

/// Copies text, or gives an empty string where memory ran out: a failure is reported with its code all the same.
pub(crate) fn text_or_empty(text: &str) -> String {
    let mut copy = String::new();
    if copy.try_reserve_exact(text.len()).is_ok() {
        copy.push_str(text);
    }
    copy
}

pub(super) fn pack(offset: usize, len: usize) -> u64 {
    (offset as u64) << 32 | len as u64
}

impl Batch {
    /// Sets a fixed-size result: null, bool, int64 or float64.
    pub(crate) fn set_cell(&self, row: usize, kind: Kind, cell: u64) -> Status {
        if row >= self.len {
            return Status::INVALID_ARGUMENT;
        }
        let previous = self.rows.out_kinds()[row].load(Relaxed);
        if previous == Kind::Object as u8 || previous == FAILED {
            return self.set_slow(row, kind, Slow::Cell(cell));
        }
        if self.settled.get().is_some() {
            return Status::TOO_LATE;
        }
        // A time-out may fix the outcomes between the check and these stores; no row's outcome is OK then, and
        // `code` does not read the cell.
        self.rows.out()[row].store(cell, Relaxed);
        self.rows.out_kinds()[row].store(kind as u8, Relaxed);
        Status::OK
    }

    /// Sets fixed-size results for all rows.
    pub(crate) fn set_cells(&self, kind: Kind, cell: impl Fn(usize) -> u64) -> Status {
        if self.settled.get().is_some() {
            return Status::TOO_LATE;
        }
        if self.side.lock().is_touched() {
            for row in 0..self.len {
                let status = self.set_cell(row, kind, cell(row));
                if !status.is_ok() {
                    return status;
                }
            }
            return Status::OK;
        }
        for (row, out) in self.rows.out()[..self.len].iter().enumerate() {
            out.store(cell(row), Relaxed);
        }
        self.rows.fill_result_kinds(self.len, kind as u8);
        Status::OK
    }

    /// Sets any result. An object's reference is handed over, also when this answers TOO_LATE.
    pub(crate) fn set(&self, row: usize, value: Value<'_>) -> Status {
        if row >= self.len {
            return Status::INVALID_ARGUMENT;
        }
        match value {
            Value::Null => self.set_cell(row, Kind::Null, 0),
            Value::Bool(value) => self.set_cell(row, Kind::Bool, u64::from(value)),
            Value::Int64(value) => self.set_cell(row, Kind::Int64, value as u64),
            Value::Float64(value) => self.set_cell(row, Kind::Float64, value.to_bits()),
            Value::String(text) => self.set_slow(row, Kind::String, Slow::Text(text.as_bytes())),
            Value::Bytes(bytes) => self.set_slow(row, Kind::Bytes, Slow::Text(bytes)),
            Value::Object(object) => self.set_slow(row, Kind::Object, Slow::Cell(object.word)),
        }
    }

    fn set_slow(&self, row: usize, kind: Kind, what: Slow<'_>) -> Status {
        let is_object = kind == Kind::Object;
        // A place for the reference among the dropped ones, here and where a part's are merged to: it may end
        // there without a further allocation. One lock at a time.
        if is_object
            && let Some(whole) = &self.whole
            && !whole.side.lock().reserve_dropped()
        {
            return Status::NO_MEMORY;
        }
        let mut side = self.side.lock();
        if is_object && !side.reserve_dropped() {
            return Status::NO_MEMORY;
        }
        if side.fixed {
            if let Slow::Cell(word) = what
                && is_object
            {
                // The reference was handed over; it is released with the batch that keeps the inputs.
                match &self.whole {
                    Some(whole) => {
                        drop(side);
                        whole.side.lock().replaced.push(word);
                    }
                    None => side.replaced.push(word),
                }
            }
            return Status::TOO_LATE;
        }
        self.forget(row, &mut side);
        let cell = match what {
            Slow::Cell(cell) => cell,
            Slow::Text(bytes) => {
                if side.text.len() + bytes.len() > u32::MAX as usize {
                    return Status::TOO_LARGE;
                }
                if !side.text.reserve(bytes.len()) {
                    return Status::NO_MEMORY;
                }
                let offset = side.text.len();
                side.text.append(bytes);
                side.strings = true;
                pack(offset, bytes.len())
            }
        };
        side.objects |= is_object;
        self.rows.out()[row].store(cell, Relaxed);
        self.rows.out_kinds()[row].store(kind as u8, Relaxed);
        Status::OK
    }

    /// Fails one row.
    pub(crate) fn fail(&self, row: usize, reason: Reason<'_>) -> Status {
        if row >= self.len || reason.code == 0 {
            return Status::INVALID_ARGUMENT;
        }
        let mut side = self.side.lock();
        if side.fixed {
            return Status::TOO_LATE;
        }
        if side.failures.try_reserve(1).is_err() {
            return Status::NO_MEMORY;
        }
        let was_failed = self.rows.out_kinds()[row].load(Relaxed) == FAILED;
        self.forget(row, &mut side);
        let entry = RowFailure::new(row, 1, reason);
        match side
            .failures
            .iter_mut()
            .find(|old| was_failed && old.first == row as u32)
        {
            Some(old) => *old = entry,
            None => side.failures.push(entry),
        }
        self.rows.out()[row].store(i64::from(reason.code) as u64, Relaxed);
        self.rows.out_kinds()[row].store(FAILED, Relaxed);
        Status::OK
    }

    /// The part fails when it completes, whatever else was set.
    pub(crate) fn fail_all(&self, reason: Reason<'_>) -> Status {
        if reason.code == 0 {
            return Status::INVALID_ARGUMENT;
        }
        let mut side = self.side.lock();
        if side.fixed {
            return Status::TOO_LATE;
        }
        side.whole = Some(RowFailure::new(0, self.len, reason));
        Status::OK
    }

    /// What the row held before counts no more.
    fn forget(&self, row: usize, side: &mut Side) {
        if self.rows.out_kinds()[row].load(Relaxed) == Kind::Object as u8 {
            side.replaced.push(self.rows.out()[row].load(Relaxed));
            self.rows.out_kinds()[row].store(UNSET, Relaxed);
        }
    }
}

enum Slow<'a> {
    Cell(u64),
    Text(&'a [u8]),
}

impl RowFailure {
    pub(super) fn new(first: usize, count: usize, reason: Reason<'_>) -> RowFailure {
        RowFailure {
            first: first as u32,
            count: count as u32,
            code: reason.code,
            type_name: text_or_empty(reason.type_name),
            message: text_or_empty(reason.message),
        }
    }

    /// The same failure for one row of another batch.
    pub(super) fn at(&self, row: usize) -> RowFailure {
        RowFailure::new(
            row,
            1,
            Reason {
                code: self.code,
                type_name: &self.type_name,
                message: &self.message,
            },
        )
    }
}
