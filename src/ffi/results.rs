//! Results
//!
//! Results come a batch at a time: `on_result` borrows them for its call; with `results = pull`,
//! `mb_batcher_next_results` hands them out. Every accepted value appears in exactly one set, with its tag, its outcome, and
//! whether a handler saw it: a value that none saw can be pushed again without doing anything twice.
//!
//! A set is columns too: when all rows are OK and of one kind, `values` is a plain array.

use super::batch::mb_column;
use super::ctext::c_names;
use super::guard;
use super::handle::{Handle, mb_batcher, mb_results};
use super::lent::{HeldResults, Place, Texts};
use super::status::{info, mb_status};
use super::table::KEPT;
use super::value::{MB_KIND_MIXED, mb_value};
use crate::engine::batcher::Inner;
use crate::engine::error::Status;
use crate::engine::value::{Handled, Outcome};
use std::ffi::{c_char, c_void};
use std::ptr::null;

/// The handler answered with a value.
pub const MB_OUTCOME_OK: u32 = 0;
/// The handler failed it, with a code and a message.
pub const MB_OUTCOME_FAILED: u32 = 1;
/// Its deadline or the handler's time-out passed.
pub const MB_OUTCOME_EXPIRED: u32 = 2;
/// It was cancelled while it waited.
pub const MB_OUTCOME_CANCELLED: u32 = 3;
/// It was given up, for room or at the end of close.
pub const MB_OUTCOME_DISCARDED: u32 = 4;

/// No handler saw the value.
pub const MB_HANDLED_NO: u32 = 0;
/// A handler had it and did not answer.
pub const MB_HANDLED_MAYBE: u32 = 1;
/// A handler had it and answered.
pub const MB_HANDLED_YES: u32 = 2;

/// The columns of a set of results. Set `struct_size` before the call that fills it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mb_results_view {
    /// `sizeof(mb_results_view)`.
    pub struct_size: usize,
    /// Rows.
    pub count: usize,
    /// `MB_KIND_*` of all rows if all are OK and of one kind, or `MB_KIND_MIXED`.
    pub kind: u32,
    /// 1 if every row is OK, or 0.
    pub all_ok: u32,
    /// The tag of each row.
    pub tags: *const u64,
    /// `MB_OUTCOME_*` of each row; NULL if all are OK.
    pub outcomes: *const u8,
    /// `MB_HANDLED_*` of each row; NULL if all are `MB_HANDLED_YES`.
    pub handled: *const u8,
    /// The kind of each row's result; `MB_KIND_NONE` for rows that are not OK.
    pub kinds: *const u8,
    /// The cell of each row that is OK: `int64_t`, `double`, 0 or 1, or an object's word; of strings and bytes it says
    /// nothing. Of a row that is not OK: its status, as an `int64_t`.
    pub values: *const c_void,
    /// The number of the batch; 0 if it was never dispatched.
    pub batch: u64,
    /// 1, 2, 3, ... in the order in which sets were pulled, so that several threads can deliver in that order; 0 of a
    /// set that was not pulled.
    pub turn: u64,
}

/// Why a row is not OK. Set `struct_size` before the call that fills it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mb_row_error {
    /// `sizeof(mb_row_error)`.
    pub struct_size: usize,
    /// A status of the library's, or a positive number of the handler's.
    pub code: mb_status,
    /// `MB_HANDLED_*`.
    pub handled: u32,
    /// What kind of failure, ended by a NUL; "" if the handler gave none.
    pub type_name: *const c_char,
    /// What happened; ended by a NUL.
    pub message: *const c_char,
    /// The length of `message`, without the NUL.
    pub length: usize,
}

c_names!(outcome_name: Outcome);
c_names!(handled_name: Handled);

/// The name of an outcome, for example "ok"; "unknown" for a number that this version does not list. Never NULL.
///
/// Ownership: the text is static. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// Always safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_outcome_name(outcome: u32) -> *const c_char {
    outcome_name(outcome)
}

/// The name of a state of `handled`, for example "maybe"; "unknown" for a number that this version does not list. Never NULL.
///
/// Ownership: the text is static. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// Always safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_handled_name(handled: u32) -> *const c_char {
    handled_name(handled)
}

/// Fills a view of a set of results. Nothing is copied but the view itself.
///
/// Returns: `MB_OK`; `MB_ERR_INVALID_ARGUMENT` if `view` is NULL or its `struct_size` is not set; `MB_ERR_INVALID_HANDLE`.
/// Ownership: the columns are the set's. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_results_get_view(
    results: *const mb_results,
    view: *mut mb_results_view,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let (held, view) = (caller.results(results)?, caller.sized_output(view)?);
            view.set(&view_of(held));
            Ok(())
        })
    }
}

fn view_of(held: &HeldResults) -> mb_results_view {
    let batch = held.set().batch();
    let all_ok = batch.all_ok();
    let all_handled = all_ok || (0..batch.len).all(|row| batch.was_handled(row) == Handled::Yes);
    let (kinds, cells) = held.cells();
    mb_results_view {
        struct_size: size_of::<mb_results_view>(),
        count: batch.len,
        kind: batch
            .result_kind()
            .map_or(MB_KIND_MIXED, |kind| u32::from(kind.code())),
        all_ok: u32::from(all_ok),
        tags: batch.tags().as_ptr(),
        outcomes: if all_ok {
            null()
        } else {
            batch.rows.outcomes().as_ptr().cast()
        },
        handled: if all_handled {
            null()
        } else {
            batch.rows.handled().as_ptr().cast()
        },
        kinds,
        values: cells.cast(),
        batch: batch.number,
        turn: held.set().turn(),
    }
}

/// Reads the result of one row.
///
/// Returns: `MB_OK`; if the row is not OK, its code, negative or positive; `MB_ERR_OUT_OF_RANGE` if there is no such row;
/// `MB_ERR_INVALID_ARGUMENT` if `value` is NULL; `MB_ERR_INVALID_HANDLE`.
/// Ownership: strings, bytes and objects are the set's. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_results_value(
    results: *const mb_results,
    row: usize,
    value: *mut mb_value,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let (held, value) = (caller.results(results)?, caller.output(value)?);
            let set = held.set();
            if row >= set.batch().len {
                return Err(Status::OUT_OF_RANGE);
            }
            let result = set.batch().result(row, set.owner());
            value.set(result.ok_or(Status::from_code(set.batch().code(row)))?.into());
            Ok(())
        })
    }
}

/// The strings of all rows as an Arrow-shaped column: row i is `bytes[offsets[i]]` to `bytes[offsets[i + 1]]`, empty for rows
/// that have none. Bytes are in it too. It is made at the first call.
///
/// Returns: `MB_OK`; `MB_ERR_INVALID_ARGUMENT` if `column` is NULL or its `struct_size` is not set; `MB_ERR_NO_MEMORY`, also if the
/// column would pass 2 GiB; `MB_ERR_INVALID_HANDLE`.
/// Ownership: the column is the set's. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_results_strings(results: *const mb_results, column: *mut mb_column) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let (held, column) = (caller.results(results)?, caller.sized_output(column)?);
            let (offsets, bytes) = held.text()?;
            column.set(&mb_column {
                struct_size: size_of::<mb_column>(),
                count: held.set().batch().len,
                values: null(),
                positions: null(),
                offsets: offsets.as_ptr(),
                bytes: bytes.as_ptr(),
            });
            Ok(())
        })
    }
}

/// Why a row is not OK.
///
/// Returns: `MB_OK`; `MB_ERR_NOT_FOUND` if the row is OK; `MB_ERR_OUT_OF_RANGE` if there is no such row;
/// `MB_ERR_INVALID_ARGUMENT` if `error` is NULL or its `struct_size` is not set; `MB_ERR_NO_MEMORY`; `MB_ERR_INVALID_HANDLE`.
/// Ownership: the texts are the set's. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_results_error(
    results: *const mb_results,
    row: usize,
    error: *mut mb_row_error,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let (held, error) = (caller.results(results)?, caller.sized_output(error)?);
            let batch = held.set().batch();
            if row >= batch.len {
                return Err(Status::OUT_OF_RANGE);
            }
            let code = batch.code(row);
            if code == 0 {
                return Err(Status::NOT_FOUND);
            }
            let Texts {
                type_name,
                message,
                length,
            } = texts(held, row, code)?;
            let handled = u32::from(batch.was_handled(row).code());
            let struct_size = size_of::<mb_row_error>();
            error.set(&mb_row_error {
                struct_size,
                code,
                handled,
                type_name,
                message,
                length,
            });
            Ok(())
        })
    }
}

/// The texts of a row that is not OK. Those of a plain status are in the static table.
fn texts(held: &HeldResults, row: usize, code: mb_status) -> Result<Texts, Status> {
    let (type_name, message) = held.set().batch().failure(row);
    match info(code) {
        Some(info) if type_name.is_empty() && message == Status::from_code(code).text() => Ok(Texts {
            type_name: c"".as_ptr(),
            message: info.text,
            length: message.len(),
        }),
        _ => held.note(type_name, message),
    }
}

/// Gives a pulled set back. NULL is fine.
///
/// Returns: `MB_OK`; `MB_ERR_WRONG_MODE` for the set that on_result borrows; `MB_ERR_INVALID_HANDLE`.
/// Ownership: takes the set, and with it everything read from it. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_results_free(results: *mut mb_results) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            if results.is_null() {
                return Ok(());
            }
            if !caller.slot(results)?.has(KEPT) {
                return Err(Status::WRONG_MODE);
            }
            caller.take(results).map(drop).ok_or(Status::INVALID_HANDLE)
        })
    }
}

/// Takes the next set of results from a batcher with `results = pull`.
///
/// `timeout`: nanoseconds, or `MB_FOREVER`; manual mode never waits.
/// Returns: `MB_OK`; `MB_ERR_TIMEOUT` if none came; `MB_ERR_CLOSED` if the batcher is closed and all results were taken;
/// `MB_ERR_WRONG_MODE` unless `results = pull`; `MB_ERR_REENTRANT` in a callback of this batcher; `MB_ERR_INVALID_ARGUMENT` if
/// `results` is NULL or `timeout` negative; `MB_ERR_NO_MEMORY`; `MB_ERR_INVALID_HANDLE`; `MB_ERR_FORKED`.
/// Ownership: free the set with `mb_results_free`; it may outlive the batcher. Threads: any, not in callbacks.
/// Blocks: up to `timeout` in threaded mode. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_next_results(
    batcher: *mut mb_batcher,
    timeout: i64,
    results: *mut *mut mb_results,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let (engine, results) = (caller.shared_engine(batcher)?, caller.output(results)?);
            if timeout < 0 {
                return Err(Status::INVALID_ARGUMENT);
            }
            let place = Place::<HeldResults>::reserve().ok_or(Status::NO_MEMORY)?;
            match Inner::next_results(&engine, timeout) {
                Ok(set) => results.set(mb_results::from_word(place.fill(set))),
                Err(status) => {
                    place.release();
                    return Err(status);
                }
            }
            Ok(())
        })
    }
}
