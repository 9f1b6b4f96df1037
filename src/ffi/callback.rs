//! Callbacks
//!
//! Functions of your own that the batcher calls, each with a pointer of your own. `user_data` is handed back as it is;
//! its release function, if there is one, is called once, after the last call that could use it. If
//! `mb_batcher_new` fails, none is called and everything stays yours.
//!
//! In threaded mode callbacks run on the batcher's own threads, in manual mode inside `mb_batcher_run`, flush, close and
//! free; never inside push, cancel, seal, stats or complete, and never with a lock of the library held. `on_result`
//! never runs beside itself. A callback must return: an exception or a longjmp must not leave it. (A thread that ends in
//! a callback by pthread_exit fails what it held, and the batcher goes on; not so in a release function or the log,
//! which must return.)
//!
//! Every callback gets the function table of the library that calls it. A handler that lives in another shared library
//! calls `api->mb_batch_set_int64(...)` and needs not be linked to anything.

use super::api::mb_api;
use super::handle::{mb_batch, mb_results};
use super::status::mb_status;
use std::ffi::{c_char, c_void};

/// Works on a batch. `batch` is borrowed until the handler returns, unless it is kept.
///
/// `MB_OK`: what was set counts, rows without a result get `MB_ERR_NO_RESULT`. A positive number: every value of the batch fails
/// with this code of yours, also those already set. A negative number: they fail with that status, or with
/// `MB_ERR_HANDLER_FAILED` if it is none. To give a reason in words, call `mb_batch_fail_all` first and return
/// `MB_OK`. The answer does not count for a batch that was kept or completed inside the handler.
pub type mb_handler_fn = Option<
    unsafe extern "C-unwind" fn(
        user_data: *mut c_void,
        batch: *mut mb_batch,
        api: *const mb_api,
    ) -> mb_status,
>;

/// Takes the results of a batch, borrowed until it returns.
pub type mb_result_fn = Option<
    unsafe extern "C-unwind" fn(user_data: *mut c_void, results: *const mb_results, api: *const mb_api),
>;

/// Gives `user_data` back: nobody will use it any more.
pub type mb_release_fn = Option<unsafe extern "C-unwind" fn(user_data: *mut c_void)>;

/// Gives an object back: the batcher's reference to it ends.
pub type mb_object_release_fn = Option<unsafe extern "C-unwind" fn(user_data: *mut c_void, word: u64)>;

/// Takes a line of log. `level`: 0 debug, 1 information, 2 warning, 3 error. `message` has `length` bytes of UTF-8 and
/// is not ended by a NUL.
pub type mb_log_fn = Option<
    unsafe extern "C-unwind" fn(user_data: *mut c_void, level: i32, message: *const c_char, length: usize),
>;

/// A handler with its pointer.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mb_handler {
    /// The handler; NULL if there is none.
    pub call: mb_handler_fn,
    /// Handed to it.
    pub user_data: *mut c_void,
    /// Releases `user_data`; may be NULL.
    pub release: mb_release_fn,
}

const _: () = assert!(size_of::<mb_handler>() == 24);
