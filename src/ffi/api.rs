//! The function table
//!
//! Several copies of this library may live in one process: one inside each plug-in or language binding. A handle is good
//! only in the copy that made it. So a batcher travels between copies as an `mb_shared`: its handle together with the
//! functions of its copy. Every callback gets that table too.
//!
//! ```c
//! mb_shared shared;
//! shared.struct_size = sizeof shared;
//! mb_batcher_share(batcher, &shared);
//! ... hand it to the other side, which pushes:
//! shared.api->mb_batcher_push_int64(shared.batcher, 42, 0);
//! ```
//!
//! A newer library has a longer table: look at `struct_size` before a function that your header's first version did not
//! have.

use super::guard;
use super::handle::mb_batcher;
use super::status::mb_status;
use super::version::MB_ABI_VERSION;
use std::ffi::c_void;

macro_rules! table {
    ($($module:ident: $($function:ident),+;)+) => {
        /// How many functions there are.
        const COUNT: usize = [$($(stringify!($function)),+),+].len();

        /// Their names, in the order of the table: for the test that compares it with the header.
        pub const FUNCTIONS: [&str; COUNT] = [$($(stringify!($function)),+),+];

        static TABLE: mb_api = mb_api {
            struct_size: size_of::<mb_api>(),
            abi_version: MB_ABI_VERSION,
            reserved: 0,
            functions: [$($(super::$module::$function as *const c_void),+),+],
        };
    };
}

/// The functions of one copy of the library. The header declares each with its type; new ones come last.
#[repr(C)]
pub struct mb_api {
    /// The size of this table in bytes.
    pub struct_size: usize,
    /// `MB_ABI_VERSION` of the library.
    pub abi_version: u32,
    /// 0.
    pub reserved: u32,
    /// The functions.
    functions: [*const c_void; COUNT],
}

// SAFETY: holds addresses of functions, which never change.
unsafe impl Sync for mb_api {}

// All exported functions, by section; tests/header fails if one is missing. Append only.
table! {
    status: mb_status_table, mb_status_name, mb_status_text;
    version: mb_version_number, mb_version_string, mb_abi_version, mb_abi_check;
    error: mb_error_code, mb_error_message, mb_error_subject, mb_error_free;
    value: mb_kind_name, mb_owner_new;
    options: mb_options_init, mb_options_set, mb_option_table, mb_duration_parse;
    batcher: mb_batcher_new, mb_batcher_seal, mb_batcher_flush, mb_batcher_flush_begin, mb_batcher_flush_end, mb_batcher_flush_reached,
        mb_batcher_close, mb_batcher_free, mb_batcher_abandon;
    push: mb_batcher_push_null, mb_batcher_push_bool, mb_batcher_push_int64, mb_batcher_push_float64,
        mb_batcher_push_string, mb_batcher_push_bytes, mb_batcher_push_object, mb_batcher_push_value,
        mb_batcher_check, mb_batcher_cancel, mb_batcher_room;
    bulk: mb_batcher_push_int64s, mb_batcher_push_float64s, mb_batcher_push_strings, mb_batcher_push_large_strings,
        mb_batcher_push_values;
    producer: mb_producer_new, mb_producer_free, mb_producer_push_null, mb_producer_push_bool,
        mb_producer_push_int64, mb_producer_push_float64, mb_producer_push_string, mb_producer_push_bytes,
        mb_producer_push_object, mb_producer_push_value;
    run: mb_batcher_run, mb_batcher_advance, mb_batcher_next_due, mb_batcher_now, mb_batcher_fd;
    batch: mb_trigger_name, mb_batch_get_view, mb_batch_value, mb_batch_gather, mb_batch_keep, mb_batch_complete,
        mb_batch_complete_ok, mb_batch_complete_next, mb_batch_free, mb_batch_pin, mb_batcher_next_batch;
    set: mb_batch_set_null, mb_batch_set_bool, mb_batch_set_int64, mb_batch_set_float64, mb_batch_set_string,
        mb_batch_set_bytes, mb_batch_set_object, mb_batch_set_value, mb_batch_set_int64s, mb_batch_set_float64s,
        mb_batch_set_strings, mb_batch_set_values, mb_batch_fail, mb_batch_fail_all;
    results: mb_outcome_name, mb_handled_name, mb_results_get_view, mb_results_value, mb_results_strings, mb_results_error, mb_results_free,
        mb_batcher_next_results;
    map: mb_map_int64s, mb_map_float64s, mb_map_strings, mb_map_values;
    stats: mb_batcher_stats, mb_batcher_stats_text;
    api: mb_api_table, mb_batcher_share;
}

/// A batcher together with the functions of the copy of the library that it lives in.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mb_shared {
    /// `sizeof(mb_shared)`.
    pub struct_size: usize,
    /// The functions.
    pub api: *const mb_api,
    /// The batcher.
    pub batcher: *mut mb_batcher,
}

/// The table, for callbacks.
pub(crate) fn api() -> *const mb_api {
    &raw const TABLE
}

/// The function table of this copy of the library. Never NULL.
///
/// Ownership: the table is static. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// Always safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_api_table() -> *const mb_api {
    api()
}

/// Makes a batcher ready to travel to another copy of the library.
///
/// Returns: `MB_OK`; `MB_ERR_INVALID_ARGUMENT` if `shared` is NULL or its `struct_size` is not set; `MB_ERR_INVALID_HANDLE`;
/// `MB_ERR_FORKED`.
/// Ownership: the batcher stays whose it is: the other side must be done with it before it is freed.
/// Threads: any, also in callbacks. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_share(batcher: *mut mb_batcher, shared: *mut mb_shared) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let (engine, shared) = (caller.engine(batcher)?, caller.sized_output(shared)?);
            engine.clock_now()?;
            shared.set(&mb_shared {
                struct_size: size_of::<mb_shared>(),
                api: api(),
                batcher,
            });
            Ok(())
        })
    }
}
