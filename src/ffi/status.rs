//! Status
//!
//! Every function that can fail returns a status: 0 is success, negative numbers are the library's, positive numbers
//! are the codes of your own handlers, which appear in results only. Numbers are never reused. On failure outputs are
//! untouched, except counts, which are always written, and `error`.

use super::ctext::{Packed, Unpacking};
use super::guard;
use crate::engine::error::{Status, StatusInfo};
use std::ffi::c_char;

/// What a call, or one value, came to.
pub type mb_status = i32;

/// The call succeeded.
pub const MB_OK: mb_status = 0;
/// An argument is missing, NULL or outside what the call accepts.
pub const MB_ERR_INVALID_ARGUMENT: mb_status = -1;
/// An option is unknown, unreadable, out of range or contradicts another one.
pub const MB_ERR_INVALID_OPTION: mb_status = -2;
/// The handle is NULL, freed, of another type or was never given out.
pub const MB_ERR_INVALID_HANDLE: mb_status = -3;
/// The string is not valid UTF-8; what is not text can be pushed as bytes.
pub const MB_ERR_INVALID_UTF8: mb_status = -4;
/// A number does not fit 64 bits, or a row lies outside its batch.
pub const MB_ERR_OUT_OF_RANGE: mb_status = -5;
/// The object belongs to another owner than the batcher's, or the batcher has none.
pub const MB_ERR_WRONG_OWNER: mb_status = -6;
/// The value weighs more than max_batch_bytes, so it fits in no batch.
pub const MB_ERR_TOO_LARGE: mb_status = -7;
/// No handler is registered for this kind of value and there is no default handler.
pub const MB_ERR_NO_HANDLER: mb_status = -8;
/// As many values wait as queue_capacity allows.
pub const MB_ERR_QUEUE_FULL: mb_status = -9;
/// The waiting values leave less of queue_bytes than this value weighs.
pub const MB_ERR_QUEUE_FULL_BYTES: mb_status = -10;
/// Every place of result_capacity is held by a value whose result was not taken yet.
pub const MB_ERR_RESULTS_FULL: mb_status = -11;
/// Memory for the call could not be had; nothing was changed.
pub const MB_ERR_NO_MEMORY: mb_status = -12;
/// The batcher is closed: it takes no more values, or has none left to hand out.
pub const MB_ERR_CLOSED: mb_status = -13;
/// The time-out passed before what was asked for had happened.
pub const MB_ERR_TIMEOUT: mb_status = -14;
/// What was asked for has begun and is not finished yet.
pub const MB_ERR_IN_PROGRESS: mb_status = -15;
/// The call is not allowed inside a callback of the same batcher.
pub const MB_ERR_REENTRANT: mb_status = -16;
/// The handle was made before a fork and can only be freed in the child process.
pub const MB_ERR_FORKED: mb_status = -17;
/// No value with that tag is waiting or in flight.
pub const MB_ERR_NOT_FOUND: mb_status = -18;
/// The value or batch was already dispatched, completed or given up.
pub const MB_ERR_TOO_LATE: mb_status = -19;
/// The batcher's mode, clock, handlers or results option does not allow the call.
pub const MB_ERR_WRONG_MODE: mb_status = -20;
/// This version of the library or this platform lacks what was asked for.
pub const MB_ERR_UNSUPPORTED: mb_status = -21;
/// The operating system refused a thread or a descriptor; the message has its errno.
pub const MB_ERR_SYSTEM: mb_status = -22;
/// A fault inside the library was caught; this is a bug to report.
pub const MB_ERR_INTERNAL: mb_status = -23;
/// There is no room now, and the host waits for it by itself.
pub const MB_ERR_WOULD_WAIT: mb_status = -24;
/// The handler failed the value or the whole part it belonged to. From here on: in results only.
pub const MB_ERR_HANDLER_FAILED: mb_status = -30;
/// The handler finished without setting a result for the value.
pub const MB_ERR_NO_RESULT: mb_status = -31;
/// The handler returned another number of results than the part has values.
pub const MB_ERR_RESULT_COUNT: mb_status = -32;
/// The handler did not finish the batch within handler_timeout.
pub const MB_ERR_HANDLER_TIMEOUT: mb_status = -33;
/// The value's deadline passed before it was dispatched.
pub const MB_ERR_DEADLINE: mb_status = -34;
/// The value was cancelled while it waited.
pub const MB_ERR_CANCELLED: mb_status = -35;
/// The value was given up to make room, or at the end of close.
pub const MB_ERR_DISCARDED: mb_status = -36;
/// The thread that ran the handler ended inside it.
pub const MB_ERR_THREAD_ENDED: mb_status = -37;

/// One status of the library.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mb_status_info {
    /// The number.
    pub code: i32,
    /// 1 if the same call, repeated unchanged later, may succeed; otherwise 0.
    pub retriable: i32,
    /// The name without prefix, for example "QUEUE_FULL".
    pub name: *const c_char,
    /// The cause in one sentence.
    pub text: *const c_char,
}

// SAFETY: points to static text only.
unsafe impl Sync for mb_status_info {}

const ROWS: &[StatusInfo] = Status::table();

const TEXT_BYTES: usize = {
    let (mut bytes, mut row) = (0, 0);
    while row < ROWS.len() {
        bytes += ROWS[row].name.len() + ROWS[row].text.len() + 2;
        row += 1;
    }
    bytes
};

static TEXT: [u8; TEXT_BYTES] = {
    let mut text = Packed::<TEXT_BYTES>::new();
    let mut row = 0;
    while row < ROWS.len() {
        text = text.text(ROWS[row].name).text(ROWS[row].text);
        row += 1;
    }
    text.finish()
};

static TABLE: [mb_status_info; ROWS.len()] = {
    let empty = mb_status_info {
        code: 0,
        retriable: 0,
        name: std::ptr::null(),
        text: std::ptr::null(),
    };
    let mut table = [empty; ROWS.len()];
    let mut texts = Unpacking::of(&TEXT);
    let mut row = 0;
    while row < ROWS.len() {
        table[row] = mb_status_info {
            code: ROWS[row].code,
            retriable: ROWS[row].retriable as i32,
            name: texts.next(),
            text: texts.next(),
        };
        row += 1;
    }
    table
};

/// The row of a listed status.
pub(super) fn info(status: mb_status) -> Option<&'static mb_status_info> {
    TABLE.iter().find(|info| info.code == status)
}

/// Hands out the table of all statuses, for bindings that make exceptions or constants from it.
///
/// Returns: `MB_OK`; `MB_ERR_INVALID_ARGUMENT` if `table` or `count` is NULL.
/// Ownership: the table is static. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_status_table(table: *mut *const mb_status_info, count: *mut usize) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let (table, count) = (caller.output(table)?, caller.output(count)?);
            table.set(TABLE.as_ptr());
            count.set(TABLE.len());
            Ok(())
        })
    }
}

/// The name of a status, for example "QUEUE_FULL"; "USER_CODE" for positive numbers, "UNKNOWN_CODE" for negative ones
/// that this version does not list. Never NULL.
///
/// Ownership: the text is static. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// Always safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_status_name(status: mb_status) -> *const c_char {
    match info(status) {
        Some(info) => info.name,
        None if status > 0 => c"USER_CODE".as_ptr(),
        None => c"UNKNOWN_CODE".as_ptr(),
    }
}

/// The cause behind a status, in one sentence. Never NULL.
///
/// Ownership: the text is static. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// Always safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_status_text(status: mb_status) -> *const c_char {
    match info(status) {
        Some(info) => info.text,
        None if status > 0 => c"The handler failed with a code of its own.".as_ptr(),
        None => c"This version of the library does not know the code.".as_ptr(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn p35_the_table_for_c_is_the_table() {
        assert_eq!(TABLE.len(), ROWS.len());
        for (given, row) in TABLE.iter().zip(ROWS) {
            // SAFETY: static text that ends with NUL.
            let name = unsafe { CStr::from_ptr(given.name) };
            // SAFETY: as above.
            let text = unsafe { CStr::from_ptr(given.text) };
            assert_eq!((given.code, given.retriable != 0), (row.code, row.retriable));
            assert_eq!((name.to_str(), text.to_str()), (Ok(row.name), Ok(row.text)));
        }
    }
}
