//! Results as they are delivered: one set a batch.

use crate::engine::delivery::ResultSet;
use crate::engine::error::Status;
use crate::engine::value::{Handled, Kind, Outcome, Value};
use std::fmt;

/// Why a value has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowError<'a> {
    /// The library's status (negative) or the handler's own code (positive).
    pub code: Status,
    /// The type of the error the handler failed with, empty if it has none.
    pub type_name: &'a str,
    /// What went wrong, in words.
    pub message: &'a str,
    /// Whether a handler saw the value: trying again can duplicate what it did unless this is `No`.
    pub handled: Handled,
}

impl fmt::Display for RowError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message)
    }
}

/// One value's result.
#[derive(Clone, Copy, Debug)]
pub struct ResultRow<'a> {
    /// The tag it was pushed with.
    pub tag: u64,
    /// The result, or why there is none.
    pub result: std::result::Result<Value<'a>, RowError<'a>>,
}

/// A set of results: those of one batch, or of values that left together before they were handled.
pub struct Results<'a> {
    set: Held<'a>,
}

enum Held<'a> {
    Lent(&'a ResultSet),
    Own(ResultSet),
}

impl<'a> Results<'a> {
    pub(crate) fn lent(set: &'a ResultSet) -> Results<'a> {
        Results { set: Held::Lent(set) }
    }

    pub(crate) fn own(set: ResultSet) -> Results<'static> {
        Results { set: Held::Own(set) }
    }

    fn set(&self) -> &ResultSet {
        match &self.set {
            Held::Lent(set) => set,
            Held::Own(set) => set,
        }
    }

    /// How many results.
    pub fn len(&self) -> usize {
        self.set().batch().len
    }

    /// Whether there are none: only `map` over nothing gives such a set.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of the batch they come from, 0 if the values were never dispatched.
    pub fn batch(&self) -> u64 {
        self.set().batch().number
    }

    /// The tags the values were pushed with, by row.
    pub fn tags(&self) -> &[u64] {
        self.set().batch().tags()
    }

    /// All rows are OK.
    pub fn all_ok(&self) -> bool {
        self.set().batch().all_ok()
    }

    /// The one kind of all results, if every row is OK.
    pub fn kind(&self) -> Option<Kind> {
        self.set().batch().result_kind()
    }

    /// How a value ended. Rows count from 0 and must exist.
    pub fn outcome(&self, row: usize) -> Outcome {
        self.set().batch().outcome(row)
    }

    /// Whether a handler saw the value.
    pub fn handled(&self, row: usize) -> Handled {
        self.set().batch().was_handled(row)
    }

    /// The result of a row, None unless it is OK.
    pub fn value(&self, row: usize) -> Option<Value<'_>> {
        self.set().batch().result(row, self.set().owner())
    }

    /// Why a row is not OK, None if it is.
    pub fn error(&self, row: usize) -> Option<RowError<'_>> {
        let batch = self.set().batch();
        if batch.outcome(row) == Outcome::Ok {
            return None;
        }
        let (type_name, message) = batch.failure(row);
        Some(RowError {
            code: Status::from_code(batch.code(row)),
            type_name,
            message,
            handled: batch.was_handled(row),
        })
    }

    /// The results as one array, if all rows are OK and int64.
    pub fn int64s(&self) -> Option<&[i64]> {
        self.set().batch().result_int64s()
    }

    /// The results as one array, if all rows are OK and float64.
    pub fn float64s(&self) -> Option<&[f64]> {
        self.set().batch().result_float64s()
    }

    /// Every row with its tag.
    pub fn iter(&self) -> impl Iterator<Item = ResultRow<'_>> {
        (0..self.len()).map(|row| ResultRow {
            tag: self.tags()[row],
            result: match (self.value(row), self.error(row)) {
                (Some(value), _) => Ok(value),
                (None, Some(error)) => Err(error),
                (None, None) => Ok(Value::Null),
            },
        })
    }
}

impl fmt::Debug for Results<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results")
            .field("batch", &self.batch())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
