//! Known data
//!
//! Map handles an array in one call, on the calling thread, without a batcher. The handler gets one batch after another,
//! read from the caller's array in place; tags are 0 to `count - 1`. All results come back in one set, in order.
//!
//! `MB_OK` says that every value has an outcome, also if some failed. Handlers here can't keep their batch.

use super::bulk::{is_valid, piece};
use super::callback::{mb_handler, mb_handler_fn};
use super::caller::{Caller, Output};
use super::error::explain;
use super::handle::{Handle, mb_error, mb_results};
use super::host::MapHost;
use super::lent::{HeldResults, Place};
use super::options::about;
use super::status::mb_status;
use super::value::mb_value;
use crate::engine::error::{Error, Status};
use crate::engine::map::{MapInput, Split, map};
use crate::engine::value::{Kind, Value};
use crate::sync::try_box;
use std::ffi::c_void;
use std::mem::ManuallyDrop;

/// How to divide the array. NULL or zeros: batches of the default max_batch_size, 256.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mb_map_options {
    /// `sizeof(mb_map_options)`.
    pub struct_size: usize,
    /// Values in each batch but the last; or 0.
    pub max_batch_size: u64,
    /// How many batches; the first `count % batches` of them get one value more than the others. Or 0.
    pub batches: u64,
    /// The owner of objects among the values.
    pub owner: u32,
    /// 0.
    pub reserved: u32,
}

/// What all maps say besides their values.
struct Job {
    options: *const mb_map_options,
    handler: mb_handler_fn,
    user_data: *mut c_void,
    results: *mut *mut mb_results,
    error: *mut *mut mb_error,
}

/// Runs a map. The handler is called on this thread, so the whole is not guarded: see `guard`.
fn run(caller: &Caller, job: &Job, input: Result<MapInput<'_>, Error>) -> mb_status {
    match prepared(caller, job, input) {
        Ok(()) => Status::OK.code(),
        Err(error) => explain(&caller.optional_output(job.error), error).code(),
    }
}

fn prepared(caller: &Caller, job: &Job, input: Result<MapInput<'_>, Error>) -> Result<(), Error> {
    let results = caller
        .output(job.results)
        .map_err(|status| about("results", status))?;
    let options = caller
        .optional_sized(job.options)
        .map_err(|status| about("options", status))?;
    if options.reserved != 0 {
        return Err(about("options", Status::UNSUPPORTED));
    }
    if job.handler.is_none() {
        return Err(about("handler", Status::INVALID_ARGUMENT));
    }
    let input = input?;
    let no_memory = || Error::bare(Status::NO_MEMORY);
    let handler = mb_handler {
        call: job.handler,
        user_data: job.user_data,
        release: None,
    };
    let place = Place::<HeldResults>::reserve().ok_or_else(no_memory)?;
    let made = try_box(MapHost::new(handler))
        .ok_or_else(no_memory)
        .and_then(|host| {
            // A thread that ends in the handler leaves both where they are.
            let host = ManuallyDrop::new(host);
            let split = Split {
                max_batch_size: options.max_batch_size,
                batches: options.batches,
            };
            let set = map(input, split, options.owner, &|part| host.handle(part));
            drop(ManuallyDrop::into_inner(host));
            set
        });
    finish(&results, place, made)
}

fn finish(
    results: &Output<*mut mb_results>,
    place: Place<HeldResults>,
    made: Result<crate::engine::delivery::ResultSet, Error>,
) -> Result<(), Error> {
    match made {
        Ok(set) => {
            results.set(mb_results::from_word(place.fill(set)));
            Ok(())
        }
        Err(error) => {
            place.release();
            Err(error)
        }
    }
}

/// The input of an array of 8-byte numbers.
fn cells<T: Copy>(
    caller: &Caller,
    kind: Kind,
    values: *const T,
    validity: *const u8,
    count: usize,
) -> Result<MapInput<'_>, Error> {
    let cells = caller
        .array(values.cast::<u64>(), count)
        .map_err(|status| about("values", status))?;
    let validity = caller
        .optional_array(validity, count.div_ceil(8))
        .map_err(|status| about("validity", status))?;
    Ok(MapInput::Cells {
        kind,
        cells,
        validity,
    })
}

/// Maps integers.
///
/// `values`, `validity`, `count`: as in bulk pushes. `options`, `error`: may be NULL.
/// Returns: `MB_OK`; `MB_ERR_INVALID_OPTION` if both max_batch_size and batches are given; `MB_ERR_INVALID_ARGUMENT` if `handler`,
/// `results` or, with a count, `values` is NULL; `MB_ERR_INVALID_UTF8`; `MB_ERR_TOO_LARGE`; `MB_ERR_UNSUPPORTED` if `options` has
/// fields this library does not know; `MB_ERR_NO_MEMORY`.
/// Ownership: free the results; everything else is borrowed for the call. Threads: any, also in callbacks.
/// Blocks: for what the handler does. Calls back. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn mb_map_int64s(
    values: *const i64,
    validity: *const u8,
    count: usize,
    options: *const mb_map_options,
    handler: mb_handler_fn,
    user_data: *mut c_void,
    results: *mut *mut mb_results,
    error: *mut *mut mb_error,
) -> mb_status {
    let job = Job {
        options,
        handler,
        user_data,
        results,
        error,
    };
    // SAFETY: the promise of this function's caller.
    let caller = unsafe { Caller::promised() };
    run(
        &caller,
        &job,
        cells(&caller, Kind::Int64, values, validity, count),
    )
}

/// Maps floating-point numbers.
///
/// Parameters, returns, ownership, threads and blocking as `mb_map_int64s`. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn mb_map_float64s(
    values: *const f64,
    validity: *const u8,
    count: usize,
    options: *const mb_map_options,
    handler: mb_handler_fn,
    user_data: *mut c_void,
    results: *mut *mut mb_results,
    error: *mut *mut mb_error,
) -> mb_status {
    let job = Job {
        options,
        handler,
        user_data,
        results,
        error,
    };
    // SAFETY: the promise of this function's caller.
    let caller = unsafe { Caller::promised() };
    run(
        &caller,
        &job,
        cells(&caller, Kind::Float64, values, validity, count),
    )
}

/// Maps strings in Arrow's shape, as in `mb_batcher_push_strings`.
///
/// Parameters, returns, ownership, threads and blocking as `mb_map_int64s`. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn mb_map_strings(
    data: *const c_void,
    offsets: *const i32,
    validity: *const u8,
    count: usize,
    options: *const mb_map_options,
    handler: mb_handler_fn,
    user_data: *mut c_void,
    results: *mut *mut mb_results,
    error: *mut *mut mb_error,
) -> mb_status {
    let job = Job {
        options,
        handler,
        user_data,
        results,
        error,
    };
    // SAFETY: the promise of this function's caller.
    let caller = unsafe { Caller::promised() };
    let read = || {
        let length = count.checked_add(1).ok_or(Status::INVALID_ARGUMENT)?;
        let offsets = if count == 0 {
            &[0]
        } else {
            caller.array(offsets, length)?
        };
        let validity = caller.optional_array(validity, count.div_ceil(8))?;
        Ok((offsets, validity))
    };
    let (offsets, validity) = match read() {
        Ok(read) => read,
        Err(status) => return refused(&caller, error, about("offsets", status)),
    };
    let value = |row| match is_valid(validity, row) {
        true => piece(&caller, data, offsets, row).map(Value::String),
        false => Ok(Value::Null),
    };
    let at = |row| value(row).unwrap_or(Value::Null);
    run(&caller, &job, checked(count, &value, &at))
}

/// Maps values of any kinds.
///
/// Parameters, returns, ownership, threads and blocking as `mb_map_int64s`; objects must be of the owner in `options`, and
/// stay the caller's. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn mb_map_values(
    values: *const mb_value,
    count: usize,
    options: *const mb_map_options,
    handler: mb_handler_fn,
    user_data: *mut c_void,
    results: *mut *mut mb_results,
    error: *mut *mut mb_error,
) -> mb_status {
    let job = Job {
        options,
        handler,
        user_data,
        results,
        error,
    };
    // SAFETY: the promise of this function's caller.
    let caller = unsafe { Caller::promised() };
    let values = match caller.array(values, count) {
        Ok(values) => values,
        Err(status) => return refused(&caller, error, about("values", status)),
    };
    let owner = caller.optional_sized(options).map_or(0, |options| options.owner);
    let value = |row: usize| match caller.value(&values[row])? {
        Value::Object(object) if owner == 0 || object.owner != owner => Err(Status::WRONG_OWNER),
        value => Ok(value),
    };
    let at = |row| value(row).unwrap_or(Value::Null);
    run(&caller, &job, checked(count, &value, &at))
}

fn refused(caller: &Caller, error: *mut *mut mb_error, why: Error) -> mb_status {
    explain(&caller.optional_output(error), why).code()
}

/// The input of values that are looked at twice: all are checked before the first handler runs.
fn checked<'a>(
    count: usize,
    value: &dyn Fn(usize) -> Result<Value<'a>, Status>,
    at: &'a dyn Fn(usize) -> Value<'a>,
) -> Result<MapInput<'a>, Error> {
    for row in 0..count {
        if let Err(status) = value(row) {
            return Err(Error::new(
                status,
                "values",
                format_args!("value {row}: {}", status.text()),
            ));
        }
    }
    Ok(MapInput::Values { count, at })
}
