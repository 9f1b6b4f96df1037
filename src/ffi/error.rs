//! Errors
//!
//! Functions whose failure needs words take a place for an error, last and optional: pass NULL if the status is enough.
//! It is written on failure only, and what is written there is yours to free.
//!
//! ```c
//! mb_error *error = NULL;
//! if (mb_batcher_new(&options, &batcher, &error) != MB_OK) {
//!     fprintf(stderr, "%s\n", mb_error_message(error));
//!     mb_error_free(error);
//! }
//! ```

use super::caller::{Caller, Output};
use super::ctext::CText;
use super::guard;
use super::handle::{Handle, mb_error};
use super::status::{mb_status, mb_status_text};
use super::table::{self, Type};
use crate::engine::error::{Error, Status};
use crate::sync::try_box;
use std::ffi::c_char;

/// What an error's handle stands for.
pub(crate) struct Explained {
    status: Status,
    message: CText,
    subject: CText,
}

/// Gives the caller an error if it wants one, and answers its status. Where memory is short the error is one of the
/// fixed ones, which only know their status.
pub(crate) fn explain(to: &Output<*mut mb_error>, error: Error) -> Status {
    let status = error.status();
    if to.is_wanted() {
        let word = store(&error).unwrap_or(table::fixed(Type::Error, status.code().unsigned_abs()));
        to.set(mb_error::from_word(word));
    }
    status
}

fn store(error: &Error) -> Option<u64> {
    let (message, subject) = (CText::copy(error.message())?, CText::copy(error.subject())?);
    let explained = try_box(Explained {
        status: error.status(),
        message,
        subject,
    })?;
    let slot = table::take(Type::Error)?;
    Some(slot.publish(Box::into_raw(explained).cast(), 0, 0))
}

/// The status of a fixed error.
fn fixed(error: *const mb_error) -> Option<mb_status> {
    let number = table::fixed_number(error.addr() as u64, Type::Error)?;
    let status = i32::try_from(number).ok().map(|number| -number)?;
    (status != 0 && Status::from_code(status).is_known()).then_some(status)
}

fn explained(caller: &Caller, error: *const mb_error) -> Option<&Explained> {
    caller.object(error).ok()
}

/// The status that came with the error.
///
/// Returns: that status; `MB_ERR_INVALID_HANDLE` if there is no such error.
/// Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_error_code(error: *const mb_error) -> mb_status {
    if let Some(status) = fixed(error) {
        return status;
    }
    let none = Status::INVALID_HANDLE.code();
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::value(none, |caller| {
            explained(caller, error).map_or(none, |error| error.status.code())
        })
    }
}

/// What was wrong and what would be accepted. Never NULL; "" if there is no such error.
///
/// Ownership: the text belongs to the error and is valid until it is freed. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_error_message(error: *const mb_error) -> *const c_char {
    if let Some(status) = fixed(error) {
        // SAFETY: always safe.
        return unsafe { mb_status_text(status) };
    }
    let none = c"".as_ptr();
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::value(none, |caller| {
            explained(caller, error).map_or(none, |error| error.message.as_ptr())
        })
    }
}

/// The option or value that was wrong, for example "max_delay". Never NULL; "" if there is none to name.
///
/// Ownership: the text belongs to the error and is valid until it is freed. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_error_subject(error: *const mb_error) -> *const c_char {
    let none = c"".as_ptr();
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::value(none, |caller| {
            explained(caller, error).map_or(none, |error| error.subject.as_ptr())
        })
    }
}

/// Frees an error. NULL is fine, and so is an error freed before.
///
/// Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_error_free(error: *mut mb_error) {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::value((), |caller| {
            drop(caller.take(error));
        });
    }
}
