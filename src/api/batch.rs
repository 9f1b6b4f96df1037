//! A batch as its handler or holder sees it.

use super::results::Results;
use crate::engine::batch::Batch as Columns;
use crate::engine::error::{Result, Status, Text};
use crate::engine::part::Part;
use crate::engine::results::Reason;
use crate::engine::settled::Ending;
use crate::engine::value::{Kind, Trigger, Value};
use std::fmt;
use std::time::Duration;

/// Why a handler failed its batch.
///
/// `?` makes one out of any error: the code is [`Status::HANDLER_FAILED`], the message is the error's text and
/// the type name is the error's type.
#[derive(Debug)]
pub struct Failure {
    pub(crate) code: i32,
    pub(crate) type_name: &'static str,
    pub(crate) message: String,
}

impl Failure {
    /// A failure with a code of the caller's own (positive) or one of the library's; anything else counts as
    /// [`Status::HANDLER_FAILED`].
    pub fn new(code: i32, message: impl Into<String>) -> Failure {
        let code = failure_code(code);
        Failure {
            code,
            type_name: "",
            message: message.into(),
        }
    }
}

/// A code a failure can have: a user's, or a status of the library but OK.
fn failure_code(code: i32) -> i32 {
    if code != 0 && (code > 0 || Status::from_code(code).is_known()) {
        code
    } else {
        Status::HANDLER_FAILED.code()
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure {
            code: Status::HANDLER_FAILED.code(),
            type_name: std::any::type_name::<E>(),
            message: Text::of(format_args!("{error}")),
        }
    }
}

/// The values of a batch: its part of a mixed one, the whole of any other.
///
/// Columns are read as they were pushed, without a copy. Results are set per row or as a column; setting a row
/// again replaces what it held; nothing is final before the handler returns.
pub struct Batch<'a> {
    part: &'a Part,
    /// Somebody else ends it: what the handler returns counts no more.
    pub(super) kept: bool,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(part: &'a Part) -> Batch<'a> {
        Batch { part, kept: false }
    }

    /// Holds the batch past the handler: it is completed later, from any thread, through what this returns.
    /// What the handler returns counts no more. The slot stays taken until then.
    ///
    /// # Errors
    /// [`Status::INVALID_ARGUMENT`] if it was kept or completed before; [`Status::TOO_LATE`] if it expired.
    pub fn keep(&mut self) -> Result<HeldBatch> {
        let part = self.part.keep()?;
        self.kept = true;
        Ok(HeldBatch { part })
    }

    fn columns(&self) -> &Columns {
        self.part.batch()
    }

    /// Once the batch is kept its holder alone sets results: it may have completed them on another thread.
    fn may_set(&self) -> Result {
        if self.kept {
            Err(Status::INVALID_ARGUMENT)
        } else {
            Ok(())
        }
    }
}

/// A batch taken with `next_batch`, or kept by its handler. Complete it once; dropping it fails its values with
/// [`Status::NO_RESULT`].
pub struct HeldBatch {
    part: Part,
}

impl HeldBatch {
    pub(crate) fn new(part: Part) -> HeldBatch {
        HeldBatch { part }
    }

    fn columns(&self) -> &Columns {
        self.part.batch()
    }

    #[expect(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        reason = "what Batch asks of itself in the same place"
    )]
    fn may_set(&self) -> Result {
        Ok(())
    }

    /// Makes what was set final; rows left unset fail with [`Status::NO_RESULT`].
    ///
    /// # Errors
    /// [`Status::TOO_LATE`] if the outcomes stand already (time-out, close).
    pub fn complete(self) -> Result {
        self.part.complete(Ending::Done).into_result()
    }

    /// Completes the batch and takes the first set of results that is ready then, if there is one and results are
    /// pulled; a thread that waits for results is not woken for it.
    ///
    /// # Errors
    /// As [`HeldBatch::complete`]; then no set was taken.
    pub fn complete_next(self) -> Result<Option<Results<'static>>> {
        let (status, set) = self.part.complete_and_take(Ending::Done);
        status.into_result()?;
        Ok(set.map(Results::own))
    }

    /// Says of a pulled part that its handler has returned although the part is held on: the next part of its batch may
    /// be pulled.
    ///
    /// # Errors
    /// [`Status::TOO_LATE`] if its outcomes stand already; [`Status::INVALID_ARGUMENT`] if it was said before, or of a batch
    /// that is not handed out in parts.
    pub fn keep(&self) -> Result {
        self.part.keep_pulled().into_result()
    }

    /// Makes what was set final; rows left unset are OK with null.
    ///
    /// # Errors
    /// As [`HeldBatch::complete`].
    pub fn complete_ok(self) -> Result {
        self.part.complete(Ending::DoneOk).into_result()
    }
}

macro_rules! batch_methods {
    ($($type:ty),+) => {$(
        impl $type {
            /// How many values; never 0.
            #[expect(clippy::len_without_is_empty, reason = "no batch is empty")]
            pub fn len(&self) -> usize {
                self.columns().len
            }

            /// The one kind of all values, None if they are of several.
            pub fn kind(&self) -> Option<Kind> {
                self.columns().uniform
            }

            /// Why the batch was sealed.
            pub fn trigger(&self) -> Trigger {
                self.columns().trigger
            }

            /// How old the oldest value was at dispatch.
            pub fn age(&self) -> Duration {
                let batch = self.columns();
                Duration::from_nanos(batch.dispatched_at.saturating_sub(batch.opened_at).max(0) as u64)
            }

            /// Number in order of dispatch, from 1.
            pub fn number(&self) -> u64 {
                self.columns().number
            }

            /// The tags the values were pushed with, by row.
            pub fn tags(&self) -> &[u64] {
                self.columns().tags()
            }

            /// Kind codes by row.
            pub fn kinds(&self) -> &[u8] {
                self.columns().kinds()
            }

            /// The value of a row. Rows count from 0; one that is not there is null.
            pub fn value(&self, row: usize) -> Value<'_> {
                if row < self.len() { self.columns().value(row, self.part.owner()) } else { Value::Null }
            }

            /// All values in row order.
            pub fn values(&self) -> Values<'_> {
                Values { batch: self.columns(), owner: self.part.owner(), row: 0 }
            }

            /// The values as one array, if all are int64: the very memory the pushes wrote.
            pub fn int64s(&self) -> Option<&[i64]> {
                self.columns().int64s()
            }

            /// The values as one array, if all are float64: the very memory the pushes wrote.
            pub fn float64s(&self) -> Option<&[f64]> {
                self.columns().float64s()
            }

            /// Sets the result of a row.
            ///
            /// # Errors
            /// [`Status::INVALID_ARGUMENT`] if there is no such row or the batch was kept, [`Status::TOO_LATE`] if the outcomes stand,
            /// [`Status::WRONG_OWNER`] for an object of another owner, [`Status::NO_MEMORY`].
            pub fn set<'v>(&self, row: usize, value: impl Into<Value<'v>>) -> Result {
                let value = value.into();
                self.may_set()?;
                if let Value::Object(object) = value
                    && (object.owner == 0 || object.owner != self.part.owner())
                {
                    return Err(Status::WRONG_OWNER);
                }
                self.columns().set(row, value).into_result()
            }

            /// Sets the results of all rows.
            ///
            /// # Errors
            /// [`Status::RESULT_COUNT`] if there are more or fewer than rows: the batch then fails with both lengths.
            pub fn set_int64s(&self, values: &[i64]) -> Result {
                self.set_cells(Kind::Int64, values.len(), |row| values[row] as u64)
            }

            /// Sets the results of all rows.
            ///
            /// # Errors
            /// As [`Self::set_int64s`].
            pub fn set_float64s(&self, values: &[f64]) -> Result {
                self.set_cells(Kind::Float64, values.len(), |row| values[row].to_bits())
            }

            fn set_cells(&self, kind: Kind, count: usize, cell: impl Fn(usize) -> u64) -> Result {
                self.may_set()?;
                if count != self.len() {
                    return self.part.fail_count(count).into_result();
                }
                self.columns().set_cells(kind, cell).into_result()
            }

            /// Fails a row with a code (the caller's own are positive) and a message.
            ///
            /// # Errors
            /// As [`Self::set`].
            pub fn fail(&self, row: usize, code: i32, message: &str) -> Result {
                self.may_set()?;
                let code = failure_code(code);
                self.columns().fail(row, Reason { code, type_name: "", message }).into_result()
            }

            /// Fails every row, also those already set, once the batch completes.
            ///
            /// # Errors
            /// [`Status::TOO_LATE`] if the outcomes stand.
            pub fn fail_all(&self, code: i32, message: &str) -> Result {
                self.may_set()?;
                let code = failure_code(code);
                self.columns().fail_all(Reason { code, type_name: "", message }).into_result()
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("Batch")
                    .field("number", &self.number())
                    .field("len", &self.len())
                    .field("trigger", &self.trigger())
                    .finish_non_exhaustive()
            }
        }
    )+};
}

batch_methods!(Batch<'_>, HeldBatch);

/// The values of a batch, in row order.
pub struct Values<'a> {
    batch: &'a Columns,
    owner: u32,
    row: usize,
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let row = self.row;
        if row >= self.batch.len {
            return None;
        }
        self.row += 1;
        Some(self.batch.value(row, self.owner))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.batch.len - self.row;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Values<'_> {}
