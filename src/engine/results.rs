//! Results: what handlers set, how it becomes final, and the set that is delivered.
//!
//! A result cell is written as often as the handler likes; nothing is final before the part completes. Fixing a
//! part (`settle`) turns what was set into outcomes, once; whoever sets afterwards is told TOO_LATE.

use super::batch::{Batch, as_utf8};
use super::column::{Bytes, Column, FAILED, UNSET, as_float64s, as_int64s, plain_cells};
use super::error::Status;
use super::value::{Handled, Kind, Object, Outcome, Value};
use crate::sync::atomic::Ordering::Relaxed;

/// Why rows failed: one entry for a run of rows.
pub(crate) struct RowFailure {
    first: u32,
    count: u32,
    code: i32,
    type_name: String,
    message: String,
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
    text: Bytes,
    failures: Vec<RowFailure>,
    /// Object results that were replaced or came to a part that failed.
    replaced: Vec<u64>,
    /// Objects that were set, each with a place in `replaced`.
    handed: usize,
    /// Set by `fail_all`.
    whole: Option<RowFailure>,
    objects: bool,
    strings: bool,
    /// Outcomes stand; nothing more is taken.
    fixed: bool,
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

/// The side data of fixed outcomes: nobody writes it any more.
pub(crate) struct Settled {
    pub(crate) text: Bytes,
    failures: Vec<RowFailure>,
    /// Some results are objects.
    objects: bool,
    /// The code of every row, when they all ended alike and not OK.
    whole_code: Option<i32>,
    /// Every row is OK and has this kind.
    uniform: Option<Kind>,
    all_ok: bool,
}

/// How the rows of a part end that its handler did not fail or set.
#[derive(Clone, Copy)]
pub(crate) enum Ending<'a> {
    /// The handler is done: set rows count, unset ones get NO_RESULT.
    Done,
    /// The same, but unset rows get OK with null.
    DoneOk,
    /// Every row fails.
    Failed(Reason<'a>, Handled),
    /// Every row gets this outcome: time-outs and discards.
    Fixed(Outcome, Status, Handled),
}

/// Copies text, or gives an empty string where memory ran out: a failure is reported with its code all the same.
pub(crate) fn text_or_empty(text: &str) -> String {
    let mut copy = String::new();
    if copy.try_reserve_exact(text.len()).is_ok() {
        copy.push_str(text);
    }
    copy
}

fn pack(offset: usize, len: usize) -> u64 {
    (offset as u64) << 32 | len as u64
}

impl Batch {
    // ---- setting ---------------------------------------------------------------------------------------------

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

    // ---- fixing ----------------------------------------------------------------------------------------------

    /// Turns what was set into outcomes. The first call wins and answers true.
    pub(crate) fn settle(&self, ending: Ending<'_>) -> bool {
        let mut side = self.side.lock();
        if side.fixed {
            return false;
        }
        side.fixed = true;
        let side = &mut *side;
        let len = self.len;
        let whole = side.whole.take();
        let mut failures = std::mem::take(&mut side.failures);
        let (outcome, code, handled, reason) = match (&whole, ending) {
            (Some(whole), Ending::Done | Ending::DoneOk) => {
                (Some(Outcome::Failed), whole.code, Handled::Yes, None)
            }
            (None, Ending::Done | Ending::DoneOk) => (None, 0, Handled::Yes, None),
            // The code of the ending, in the words of `fail_all` if it was called.
            (whole, Ending::Failed(reason, handled)) => (
                Some(Outcome::Failed),
                reason.code,
                handled,
                whole.is_none().then_some(reason),
            ),
            (_, Ending::Fixed(outcome, status, handled)) => (Some(outcome), status.code(), handled, None),
        };
        let mut tally = Tally {
            all_ok: true,
            kind: UNSET,
        };
        if let Some(outcome) = outcome {
            for row in 0..len {
                if side.objects && self.rows.out_kinds()[row].load(Relaxed) == Kind::Object as u8 {
                    side.replaced.push(self.rows.out()[row].load(Relaxed));
                }
                self.write(row, FAILED, i64::from(code) as u64, outcome, handled);
            }
            tally.all_ok = len == 0;
            failures.clear();
            let entry = match (whole, reason) {
                (Some(whole), None) if outcome == Outcome::Failed => Some(whole),
                (_, Some(reason)) => Some(RowFailure::new(0, len, reason)),
                _ => None,
            };
            if let Some(entry) = entry
                && failures.try_reserve(1).is_ok()
            {
                failures.push(entry);
            }
        } else if let Some(kind) = self.rows.same_result(len).and_then(Kind::from_code) {
            // All OK and of one kind: the columns of outcomes are not read then.
            tally.see(kind as u8);
        } else {
            for row in 0..len {
                let kind = self.rows.out_kinds()[row].load(Relaxed);
                match kind {
                    UNSET if matches!(ending, Ending::DoneOk) => {
                        self.write(row, Kind::Null as u8, 0, Outcome::Ok, Handled::Yes);
                        tally.see(Kind::Null as u8);
                    }
                    UNSET => {
                        let code = i64::from(Status::NO_RESULT.code()) as u64;
                        self.write(row, FAILED, code, Outcome::Failed, Handled::Yes);
                        tally.all_ok = false;
                    }
                    FAILED => {
                        let code = self.rows.out()[row].load(Relaxed);
                        self.write(row, FAILED, code, Outcome::Failed, Handled::Yes);
                        tally.all_ok = false;
                    }
                    kind => {
                        self.rows.outcomes()[row].store(Outcome::Ok as u8, Relaxed);
                        self.rows.handled()[row].store(Handled::Yes as u8, Relaxed);
                        tally.see(kind);
                    }
                }
            }
        }
        failures.sort_unstable_by_key(|failure| failure.first);
        let settled = Settled {
            text: std::mem::replace(&mut side.text, Bytes::new()),
            failures,
            whole_code: outcome.map(|_| code),
            objects: side.objects && outcome.is_none(),
            uniform: tally.uniform(),
            all_ok: tally.all_ok,
        };
        self.settled.set(settled).is_ok()
    }

    fn write(&self, row: usize, kind: u8, cell: u64, outcome: Outcome, handled: Handled) {
        self.rows.out_kinds()[row].store(kind, Relaxed);
        self.rows.out()[row].store(cell, Relaxed);
        self.rows.outcomes()[row].store(outcome as u8, Relaxed);
        self.rows.handled()[row].store(handled as u8, Relaxed);
    }

    /// Merges the settled parts of a mixed batch back into it, in the rows' original order.
    pub(crate) fn settle_from<'a>(&self, parts: impl Iterator<Item = &'a Batch>) {
        let mut side = self.side.lock();
        side.fixed = true;
        let mut settled = Settled {
            text: std::mem::replace(&mut side.text, Bytes::new()),
            failures: std::mem::take(&mut side.failures),
            objects: false,
            whole_code: None,
            uniform: None,
            all_ok: true,
        };
        let mut tally = Tally {
            all_ok: true,
            kind: UNSET,
        };
        for part in parts {
            let (Some(from), Some(positions)) = (part.settled.get(), part.positions()) else {
                continue;
            };
            settled.objects |= from.objects;
            for (row, to) in positions.iter().enumerate().take(part.len) {
                let to = *to as usize;
                let mut outcome = part.outcome(row) as u8;
                // The outcome decides: a handler that overran may have stored a cell after it was fixed.
                let (mut kind, mut cell) = if outcome == Outcome::Ok as u8 {
                    (
                        part.rows.out_kinds()[row].load(Relaxed),
                        part.rows.out()[row].load(Relaxed),
                    )
                } else {
                    (FAILED, i64::from(part.code(row)) as u64)
                };
                let handled = part.was_handled(row) as u8;
                if kind == Kind::String as u8 || kind == Kind::Bytes as u8 {
                    let text = part.result_text(from, cell);
                    if settled.text.reserve(text.len()) {
                        cell = pack(settled.text.len(), text.len());
                        settled.text.append(text);
                    } else {
                        (kind, outcome) = (FAILED, Outcome::Failed as u8);
                        cell = i64::from(Status::NO_MEMORY.code()) as u64;
                    }
                }
                self.rows.out_kinds()[to].store(kind, Relaxed);
                self.rows.out()[to].store(cell, Relaxed);
                self.rows.outcomes()[to].store(outcome, Relaxed);
                self.rows.handled()[to].store(handled, Relaxed);
                if kind == FAILED {
                    tally.all_ok = false;
                    if let Some(failure) = from.failure(row)
                        && settled.failures.try_reserve(1).is_ok()
                    {
                        settled.failures.push(failure.at(to));
                    }
                } else {
                    tally.see(kind);
                }
            }
            for word in part.side.lock().replaced.drain(..) {
                side.replaced.push(word);
            }
        }
        settled.failures.sort_unstable_by_key(|failure| failure.first);
        settled.all_ok = tally.all_ok;
        settled.uniform = tally.uniform();
        // Only this batch's one flight settles it, once.
        let _ = self.settled.set(settled);
    }

    /// Gives every row of a batch that no handler saw the same outcome.
    pub(crate) fn settle_unhandled(&self, outcome: Outcome, status: Status) {
        self.settle(Ending::Fixed(outcome, status, Handled::No));
    }

    // ---- reading fixed results -------------------------------------------------------------------------------

    pub(crate) fn outcome(&self, row: usize) -> Outcome {
        if self.all_ok() {
            return Outcome::Ok;
        }
        Outcome::from_code(self.rows.outcomes()[row].load(Relaxed)).unwrap_or(Outcome::Failed)
    }

    pub(crate) fn was_handled(&self, row: usize) -> Handled {
        if self.all_ok() {
            return Handled::Yes;
        }
        Handled::from_code(self.rows.handled()[row].load(Relaxed)).unwrap_or(Handled::Maybe)
    }

    /// All rows are OK.
    pub(crate) fn all_ok(&self) -> bool {
        self.settled.get().is_some_and(|settled| settled.all_ok)
    }

    /// The results as one array, if all are OK and int64.
    pub(crate) fn result_int64s(&self) -> Option<&[i64]> {
        (self.result_kind() == Some(Kind::Int64))
            .then(|| as_int64s(plain_cells(&self.rows.out()[..self.len])))
    }

    /// The results as one array, if all are OK and float64.
    pub(crate) fn result_float64s(&self) -> Option<&[f64]> {
        (self.result_kind() == Some(Kind::Float64))
            .then(|| as_float64s(plain_cells(&self.rows.out()[..self.len])))
    }

    /// The one kind of all results, when all are OK.
    pub(crate) fn result_kind(&self) -> Option<Kind> {
        self.settled.get().and_then(|settled| settled.uniform)
    }

    fn result_text<'a>(&self, settled: &'a Settled, cell: u64) -> &'a [u8] {
        let (offset, len) = ((cell >> 32) as usize, (cell & 0xffff_ffff) as usize);
        &settled.text[offset..offset + len]
    }

    /// The result of a row; None unless it is OK.
    pub(crate) fn result(&self, row: usize, owner: u32) -> Option<Value<'_>> {
        let settled = self.settled.get()?;
        if self.outcome(row) != Outcome::Ok {
            return None;
        }
        let cell = self.rows.out()[row].load(Relaxed);
        Some(match Kind::from_code(self.rows.out_kinds()[row].load(Relaxed))? {
            Kind::Null => Value::Null,
            Kind::Bool => Value::Bool(cell != 0),
            Kind::Int64 => Value::Int64(cell as i64),
            Kind::Float64 => Value::Float64(f64::from_bits(cell)),
            Kind::String => Value::String(as_utf8(self.result_text(settled, cell))),
            Kind::Bytes => Value::Bytes(self.result_text(settled, cell)),
            Kind::Object => Value::Object(Object {
                owner,
                word: cell,
                size: 0,
            }),
        })
    }

    /// The code of all rows of a batch that ended as a whole.
    pub(crate) fn whole_code(&self) -> Option<i32> {
        self.settled.get().and_then(|settled| settled.whole_code)
    }

    /// The code of a row that is not OK; 0 of one that is.
    pub(crate) fn code(&self, row: usize) -> i32 {
        if self.outcome(row) == Outcome::Ok {
            return 0;
        }
        // A handler that overran its time-out may have stored to the cell while the outcomes were fixed.
        self.whole_code()
            .unwrap_or(self.rows.out()[row].load(Relaxed) as i64 as i32)
    }

    /// Type name and message of a row that is not OK.
    pub(crate) fn failure(&self, row: usize) -> (&str, &str) {
        match self.settled.get().and_then(|settled| settled.failure(row)) {
            Some(failure) => (&failure.type_name, &failure.message),
            None => ("", Status::from_code(self.code(row)).text()),
        }
    }

    /// An Arrow-shaped text column over all rows' results, in row order. None if memory ran out.
    pub(crate) fn gather_text(&self) -> Option<(Column<i32>, Bytes)> {
        let settled = self.settled.get()?;
        let mut offsets = Column::new(self.len + 1)?;
        let mut text = Bytes::new();
        for row in 0..self.len {
            let kind = self.rows.out_kinds()[row].load(Relaxed);
            if kind == Kind::String as u8 || kind == Kind::Bytes as u8 {
                let piece = self.result_text(settled, self.rows.out()[row].load(Relaxed));
                if text.len() + piece.len() > i32::MAX as usize || !text.reserve(piece.len()) {
                    return None;
                }
                text.append(piece);
            }
            offsets[row + 1] = text.len() as i32;
        }
        Some((offsets, text))
    }

    pub(crate) fn carries_result_objects(&self) -> bool {
        self.settled.get().is_some_and(|settled| settled.objects)
    }

    /// Object results to release after delivery, in row order. `at` is the caller's cursor over rows.
    pub(crate) fn next_result_release(&self, at: &mut usize) -> Option<u64> {
        if !self.carries_result_objects() {
            return None;
        }
        while *at < self.len {
            let row = *at;
            *at += 1;
            if self.rows.out_kinds()[row].load(Relaxed) == Kind::Object as u8 {
                return Some(self.rows.out()[row].load(Relaxed));
            }
        }
        None
    }

    /// Object results that were not delivered, in the order that became known.
    pub(crate) fn next_dropped_release(&self, at: &mut usize) -> Option<u64> {
        let word = self.side.lock().replaced.get(*at).copied();
        *at += 1;
        word
    }
}

enum Slow<'a> {
    Cell(u64),
    Text(&'a [u8]),
}

/// Finds out whether all results are OK and of one kind.
struct Tally {
    all_ok: bool,
    kind: u8,
}

/// No one kind.
const SEVERAL: u8 = 0xfd;

impl Tally {
    fn see(&mut self, kind: u8) {
        if self.kind == UNSET {
            self.kind = kind;
        } else if self.kind != kind {
            self.kind = SEVERAL;
        }
    }

    fn uniform(&self) -> Option<Kind> {
        if self.all_ok {
            Kind::from_code(self.kind)
        } else {
            None
        }
    }
}

impl RowFailure {
    fn new(first: usize, count: usize, reason: Reason<'_>) -> RowFailure {
        RowFailure {
            first: first as u32,
            count: count as u32,
            code: reason.code,
            type_name: text_or_empty(reason.type_name),
            message: text_or_empty(reason.message),
        }
    }

    /// The same failure for one row of another batch.
    fn at(&self, row: usize) -> RowFailure {
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

impl Settled {
    /// Entries are sorted and do not overlap.
    fn failure(&self, row: usize) -> Option<&RowFailure> {
        let row = row as u32;
        let after = self.failures.partition_point(|failure| failure.first <= row);
        let failure = self.failures.get(after.checked_sub(1)?)?;
        (row - failure.first < failure.count).then_some(failure)
    }
}
