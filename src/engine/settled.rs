//! Settled results: a batch's outcomes are fixed once, and read from then on.

use super::batch::{Batch, as_utf8};
use super::column::{Bytes, Column, as_float64s, as_int64s, plain_cells};
use super::error::Status;
use super::results::{Reason, RowFailure, pack};
use super::rows::{FAILED, UNSET};
use super::value::{Handled, Kind, Object, Outcome, Value};
use crate::sync::atomic::Ordering::Relaxed;

/// The side data of fixed outcomes: nobody writes it any more.
pub(crate) struct Settled {
    pub(crate) text: Bytes,
    pub(super) failures: Vec<RowFailure>,
    /// Some results are objects.
    pub(super) objects: bool,
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

impl Settled {
    /// Entries are sorted and do not overlap.
    fn failure(&self, row: usize) -> Option<&RowFailure> {
        let row = row as u32;
        let after = self.failures.partition_point(|failure| failure.first <= row);
        let failure = self.failures.get(after.checked_sub(1)?)?;
        (row - failure.first < failure.count).then_some(failure)
    }
}

impl Batch {
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
}
