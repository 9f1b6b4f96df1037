//! Setting results
//!
//! A handler gives each row of its batch a value or a failure. Setting a row again replaces what was set. Nothing is
//! final before the handler returns or the batch is completed; if it then fails, everything that was set is gone.
//! Results need not be of the kind of their values.
//!
//! Every function here returns one of these, besides what it says itself:
//!
//! ```text
//! MB_OK
//! MB_ERR_TOO_LATE          the outcomes stand: by a time-out, a close, or completion
//! MB_ERR_OUT_OF_RANGE      there is no such row
//! MB_ERR_INVALID_ARGUMENT  something is NULL that must not be, or a bool is neither 0 nor 1
//! MB_ERR_INVALID_UTF8      a string is not UTF-8
//! MB_ERR_TOO_LARGE         the strings of one batch come to more than 4 GiB
//! MB_ERR_WRONG_MODE        the batch is pinned: it is only to be read
//! MB_ERR_NO_MEMORY         there is no memory for it
//! MB_ERR_INVALID_HANDLE    there is no such batch
//! ```

use super::bulk::{is_valid, piece};
use super::caller::Caller;
use super::guard;
use super::handle::{Handle, mb_batch, mb_batcher};
use super::status::mb_status;
use super::table;
use super::value::{mb_value, truth};
use crate::engine::column::as_cells;
use crate::engine::error::Status;
use crate::engine::results::Reason;
use crate::engine::value::{Kind, Object, Value};
use std::ffi::{c_char, c_void};

/// Sets one row.
fn set(caller: &Caller, batch: *mut mb_batch, row: usize, value: Value<'_>) -> Result<(), Status> {
    let part = match (caller.unfinished(batch), value) {
        (Ok(held), _) => held.part(),
        (Err(Status::TOO_LATE), Value::Object(object)) => return Err(late_object(caller, batch, object)),
        (Err(status), _) => return Err(status),
    };
    if row >= part.batch().len {
        return Err(Status::OUT_OF_RANGE);
    }
    match value {
        Value::Object(object) if part.owner() == 0 || object.owner != part.owner() => {
            Err(Status::WRONG_OWNER)
        }
        value => part.batch().set(row, value).into_result(),
    }
}

/// An object for a batch that was completed or freed: its reference is released, as that of any late one.
fn late_object(caller: &Caller, batch: *mut mb_batch, object: Object) -> Status {
    let parent = table::find_consumed(batch.addr() as u64).map_or(0, |slot| slot.counted_by());
    // Nobody could give back what is of another owner, or comes when the batcher is gone.
    if let Ok(engine) = caller.engine(mb_batcher::from_word(parent))
        && engine.limits.owner == object.owner
    {
        engine.release_object_later(object.word);
    }
    Status::TOO_LATE
}

/// Sets all rows to numbers: at one go where none is null.
fn set_numbers<'v>(
    caller: &Caller,
    batch: *mut mb_batch,
    validity: *const u8,
    count: usize,
    (kind, cells): (Kind, Result<&[u64], Status>),
    value: impl Fn(u64) -> Value<'v>,
) -> Result<(), Status> {
    let part = caller.unfinished(batch)?.part();
    if count == part.batch().len {
        let cells = cells?;
        if validity.is_null() {
            return part.batch().set_cells(kind, |row| cells[row]).into_result();
        }
    }
    set_all(caller, batch, validity, count, |row| Ok(value(cells?[row])))
}

/// Sets all rows; a wrong count fails the part.
fn set_all<'v>(
    caller: &Caller,
    batch: *mut mb_batch,
    validity: *const u8,
    count: usize,
    value: impl Fn(usize) -> Result<Value<'v>, Status>,
) -> Result<(), Status> {
    let part = caller.unfinished(batch)?.part();
    if count != part.batch().len {
        return part.fail_count(count).into_result();
    }
    let validity = caller.optional_array(validity, count.div_ceil(8))?;
    for row in 0..count {
        let value = if is_valid(validity, row) {
            value(row)?
        } else {
            Value::Null
        };
        set(caller, batch, row, value)?;
    }
    Ok(())
}

/// Makes a row's result null.
///
/// Returns: see above. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_set_null(batch: *mut mb_batch, row: usize) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe { guard::run(|caller| set(caller, batch, row, Value::Null)) }
}

/// Makes a row's result a bool: 0 or 1.
///
/// Returns: see above. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_set_bool(batch: *mut mb_batch, row: usize, value: i32) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe { guard::run(|caller| set(caller, batch, row, Value::Bool(truth(i64::from(value))?))) }
}

/// Makes a row's result an integer.
///
/// Returns: see above. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_set_int64(batch: *mut mb_batch, row: usize, value: i64) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe { guard::run(|caller| set(caller, batch, row, Value::Int64(value))) }
}

/// Makes a row's result a floating-point number.
///
/// Returns: see above. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_set_float64(batch: *mut mb_batch, row: usize, value: f64) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe { guard::run(|caller| set(caller, batch, row, Value::Float64(value))) }
}

/// Makes a row's result a string, copied.
///
/// Returns: see above. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_set_string(
    batch: *mut mb_batch,
    row: usize,
    data: *const c_char,
    length: usize,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe { guard::run(|caller| set(caller, batch, row, Value::String(caller.text(data, length)?))) }
}

/// Makes a row's result bytes, copied.
///
/// Returns: see above. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_set_bytes(
    batch: *mut mb_batch,
    row: usize,
    data: *const c_void,
    length: usize,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe { guard::run(|caller| set(caller, batch, row, Value::Bytes(caller.bytes(data, length)?))) }
}

/// Makes a row's result an object.
///
/// Returns: see above; `MB_ERR_WRONG_OWNER` if `owner` is not the batcher's.
/// Ownership: hands over a reference, which object_release gives back after delivery, or once the result is replaced or
/// its part fails. If this fails the reference stays yours, except with `MB_ERR_TOO_LATE`: then it is given back, if
/// it is of the batcher's owner and the batcher is still there.
/// Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_set_object(
    batch: *mut mb_batch,
    row: usize,
    owner: u32,
    word: u64,
    size: u64,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe { guard::run(|caller| set(caller, batch, row, Value::Object(Object { owner, word, size }))) }
}

/// Makes a row's result any value.
///
/// Returns: see above; `MB_ERR_WRONG_OWNER` for an object of another owner.
/// Ownership: strings and bytes are copied; of an object it hands over a reference. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_set_value(
    batch: *mut mb_batch,
    row: usize,
    value: *const mb_value,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe { guard::run(|caller| set(caller, batch, row, caller.value_at(value)?)) }
}

/// Sets all rows to integers.
///
/// `validity`: as in bulk pushes. `count`: must be the batch's.
/// Returns: see above; `MB_ERR_RESULT_COUNT` if `count` is another number: the part then fails with this code and a message
/// with both lengths, and the handler may return `MB_OK`.
/// Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_set_int64s(
    batch: *mut mb_batch,
    values: *const i64,
    validity: *const u8,
    count: usize,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let cells = caller.array(values, count).map(as_cells);
            set_numbers(caller, batch, validity, count, (Kind::Int64, cells), |cell| {
                Value::Int64(cell as i64)
            })
        })
    }
}

/// Sets all rows to floating-point numbers.
///
/// Returns: as `mb_batch_set_int64s`. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_set_float64s(
    batch: *mut mb_batch,
    values: *const f64,
    validity: *const u8,
    count: usize,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let cells = caller.array(values, count).map(as_cells);
            set_numbers(caller, batch, validity, count, (Kind::Float64, cells), |cell| {
                Value::Float64(f64::from_bits(cell))
            })
        })
    }
}

/// Sets all rows to strings in Arrow's shape, as in `mb_batcher_push_strings`.
///
/// Returns: as `mb_batch_set_int64s`; rows before a bad one are set. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_set_strings(
    batch: *mut mb_batch,
    data: *const c_void,
    offsets: *const i32,
    validity: *const u8,
    count: usize,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let offsets = caller.array(offsets, count.saturating_add(1));
            set_all(caller, batch, validity, count, |row| {
                piece(caller, data, offsets?, row).map(Value::String)
            })
        })
    }
}

/// Sets all rows to values of any kinds.
///
/// Returns: as `mb_batch_set_int64s`; rows before a bad one are set.
/// Ownership: as `mb_batch_set_value`. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_set_values(
    batch: *mut mb_batch,
    values: *const mb_value,
    count: usize,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let given = caller.array(values, count);
            set_all(caller, batch, std::ptr::null(), count, |row| {
                caller.value(&given?[row])
            })
        })
    }
}

/// Why a row or a part failed, as the caller gave it.
fn reason<'a>(
    caller: &'a Caller,
    code: mb_status,
    type_name: *const c_char,
    message: *const c_char,
    length: usize,
) -> Result<Reason<'a>, Status> {
    let code = match Status::from_code(code) {
        Status::OK => return Err(Status::INVALID_ARGUMENT),
        code if code.is_user() || code.is_known() => code.code(),
        _ => Status::HANDLER_FAILED.code(),
    };
    let type_name = caller.optional_name(type_name)?;
    Ok(Reason {
        code,
        type_name,
        message: caller.text(message, length)?,
    })
}

/// Fails one row.
///
/// `code`: a positive number of yours, or a status of the library's; any other negative number becomes
/// `MB_ERR_HANDLER_FAILED`. `type_name`: what kind of failure, for example the name of an exception, ended by a NUL; may be
/// NULL. `message`: `length` bytes of UTF-8; may be NULL if `length` is 0.
/// Returns: see above; `MB_ERR_INVALID_ARGUMENT` also if `code` is 0.
/// Ownership: the texts are copied. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_fail(
    batch: *mut mb_batch,
    row: usize,
    code: mb_status,
    type_name: *const c_char,
    message: *const c_char,
    length: usize,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let batch = caller.unfinished(batch)?.part().batch();
            let reason = reason(caller, code, type_name, message, length)?;
            if row >= batch.len {
                Err(Status::OUT_OF_RANGE)
            } else {
                batch.fail(row, reason).into_result()
            }
        })
    }
}

/// Fails the whole part when it completes, whatever else is set. Return `MB_OK` afterwards: another status from the
/// handler would take its place.
///
/// Parameters and ownership as `mb_batch_fail`.
/// Returns: see above; `MB_ERR_INVALID_ARGUMENT` also if `code` is 0. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_fail_all(
    batch: *mut mb_batch,
    code: mb_status,
    type_name: *const c_char,
    message: *const c_char,
    length: usize,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let batch = caller.unfinished(batch)?.part().batch();
            batch
                .fail_all(reason(caller, code, type_name, message, length)?)
                .into_result()
        })
    }
}
