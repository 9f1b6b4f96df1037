//! Options
//!
//! Start with `mb_options_init`, then set fields, or options by name, in any order. 0 is the default in every field and
//! never means anything else. `mb_batcher_new` checks everything together and says all that is wrong.
//!
//! ```c
//! mb_options options;
//! mb_options_init(&options, sizeof options);
//! options.max_batch_size = 100;
//! options.max_delay = 2 * MB_MS;
//! options.handler = insert_rows;
//! mb_options_set(&options, "on_full", "reject", NULL);
//! ```
//!
//! Times are nanoseconds in an `int64_t`.

use super::callback::{
    mb_handler, mb_handler_fn, mb_log_fn, mb_object_release_fn, mb_release_fn, mb_result_fn,
};
use super::caller::Caller;
use super::ctext::{Packed, Unpacking};
use super::error::explain;
use super::guard;
use super::handle::mb_error;
use super::sized::Sized;
use super::status::mb_status;
use super::value::MB_KINDS;
use crate::engine::error::{Error, Status};
use crate::engine::options::text::parse_duration;
use crate::engine::options::{OptionInfo, Options};
use std::ffi::{c_char, c_void};
use std::mem::offset_of;

/// A microsecond.
pub const MB_US: i64 = 1_000;
/// A millisecond.
pub const MB_MS: i64 = 1_000_000;
/// A second.
pub const MB_S: i64 = 1_000_000_000;
/// No time limit.
pub const MB_FOREVER: i64 = i64::MAX;

/// `mode`: handlers run on the batcher's own threads (the default).
pub const MB_MODE_THREADED: u32 = 1;
/// `mode`: no thread is started; the host calls `mb_batcher_run`.
pub const MB_MODE_MANUAL: u32 = 2;
/// `on_full`: a push that finds no room waits up to `push_timeout` (the default).
pub const MB_FULL_BLOCK: u32 = 1;
/// `on_full`: it is refused at once.
pub const MB_FULL_REJECT: u32 = 2;
/// `on_full`: the oldest waiting values are discarded until there is room.
pub const MB_FULL_DISCARD_OLDEST: u32 = 3;
/// `delivery`: results come as batches finish (the default).
pub const MB_DELIVERY_AS_COMPLETED: u32 = 1;
/// `delivery`: results come in the order in which batches were dispatched.
pub const MB_DELIVERY_ORDERED: u32 = 2;
/// `clock`: the system's monotonic clock (the default).
pub const MB_CLOCK_MONOTONIC: u32 = 1;
/// `clock`: time moves by `mb_batcher_advance` only, from 0; manual mode only.
pub const MB_CLOCK_GIVEN: u32 = 2;
/// `results`: to `on_result` if it is set, and else only counted (the default).
pub const MB_RESULTS_AUTO: u32 = 1;
/// `results`: to whoever calls `mb_batcher_next_results`.
pub const MB_RESULTS_PULL: u32 = 2;

/// `pull_handlers`: the host has a default handler, which takes every kind that has none of its own.
pub const MB_PULL_DEFAULT: u64 = 128;
const _: () = assert!(MB_PULL_DEFAULT == 1 << MB_KINDS);

/// Everything a batcher is made from. `mb_option_table` has the ranges and defaults of all fields that are numbers.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mb_options {
    /// `sizeof(mb_options)`; `mb_options_init` sets it.
    pub struct_size: usize,
    /// Who runs the handlers: `MB_MODE_*`.
    pub mode: u32,
    /// Handler threads; default 1.
    pub threads: u32,
    /// Batches dispatched and not finished at any time; default: threads.
    pub max_in_flight: u32,
    /// What a push does that finds no room: `MB_FULL_*`.
    pub on_full: u32,
    /// Order of results: `MB_DELIVERY_*`.
    pub delivery: u32,
    /// What tells the time: `MB_CLOCK_*`.
    pub clock: u32,
    /// Where results go: `MB_RESULTS_*`.
    pub results: u32,
    /// The only owner whose objects are taken; default: none.
    pub owner: u32,
    /// Values in a batch at most; default 256.
    pub max_batch_size: u64,
    /// Bytes in a batch at most; default 16 MiB.
    pub max_batch_bytes: u64,
    /// Values that wait at most; default 16,384 or 4 x max_batch_size.
    pub queue_capacity: u64,
    /// Bytes that wait at most; default 4 x max_batch_bytes.
    pub queue_bytes: u64,
    /// Values accepted whose results are not delivered yet, at most; default 2 x queue_capacity + max_in_flight x max_batch_size.
    pub result_capacity: u64,
    /// Longest wait of a batch's first value for company; default 0, at once. 1 to 5 ms suit costly handlers.
    pub max_delay: i64,
    /// Longest wait of a push that blocks; default 30 s.
    pub push_timeout: i64,
    /// Longest time from a batch's dispatch to its end; default MB_FOREVER.
    pub handler_timeout: i64,
    /// Longest drain of wrappers that close at the end of a scope; default 30 s.
    pub close_timeout: i64,
    /// Longest drain when the process exits; default 0, off.
    pub drain_at_exit: i64,
    /// The default handler: takes every kind that has none of its own in `by_kind`.
    pub handler: mb_handler_fn,
    /// Handed to `handler`.
    pub handler_data: *mut c_void,
    /// Releases `handler_data`.
    pub handler_release: mb_release_fn,
    /// Handlers per kind; the index is `MB_KIND_*`. A batcher without any handler is pulled: see `mb_batcher_next_batch`.
    pub by_kind: [mb_handler; MB_KINDS],
    /// For a batcher without any handler: the kinds that the host has handlers for, `1 << MB_KIND_*` each, and
    /// `MB_PULL_DEFAULT` for a default. Then other kinds are refused, and `mb_batcher_next_batch` hands out the parts of a
    /// batch one after another. 0: whole batches of every kind.
    pub pull_handlers: u64,
    /// Takes results.
    pub on_result: mb_result_fn,
    /// Handed to `on_result`.
    pub result_data: *mut c_void,
    /// Releases `result_data`.
    pub result_release: mb_release_fn,
    /// Gives objects back.
    pub object_release: mb_object_release_fn,
    /// Handed to `object_release`.
    pub object_data: *mut c_void,
    /// Releases `object_data`.
    pub object_data_release: mb_release_fn,
    /// Takes lines of log; default: silence.
    pub log: mb_log_fn,
    /// Handed to `log`.
    pub log_data: *mut c_void,
    /// Releases `log_data`.
    pub log_release: mb_release_fn,
    /// Last stretch of max_delay that whoever waits for it spins out instead of sleeping; default 0, none. A wake is late by
    /// tens of microseconds: 100 of them spun out save most of that, for as much of a core's time a batch.
    pub delay_spin: i64,
}

/// One option that has a name.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mb_option_info {
    /// The name, the same in every language and in `mb_options`.
    pub name: *const c_char,
    /// "duration", "count", "bytes" or "choice".
    pub type_name: *const c_char,
    /// What it counts, for example "ns" or "values"; "" if nothing.
    pub unit: *const c_char,
    /// What 0 means.
    pub default_text: *const c_char,
    /// The names that a choice accepts, in order of their codes from 1 on, with a comma between them; "" for others.
    pub choices: *const c_char,
    /// What it is for, in one line.
    pub doc: *const c_char,
    /// The smallest value accepted besides 0.
    pub minimum: i64,
    /// The largest.
    pub maximum: i64,
    /// Where its field is in `mb_options`, in bytes.
    pub offset: usize,
    /// The size of its field, 4 or 8.
    pub width: usize,
    /// What 0 means as a number; 0 if other options decide, or if it is nothing.
    pub default_value: i64,
    /// What wrappers of managed languages set where their caller sets nothing: the default, but for drain_at_exit, which
    /// they drain by their host's own hook.
    pub managed_default: i64,
}

// SAFETY: points to static text only.
unsafe impl Sync for mb_option_info {}

const ROWS: &[OptionInfo] = Options::table();

macro_rules! numbers {
    ($($name:ident),+) => {
        /// Where the fields are, in the order of the table of options.
        const FIELDS: &[(&str, usize)] = &[$((stringify!($name), offset_of!(mb_options, $name))),+];

        impl mb_options {
            /// The options that are numbers.
            pub(crate) fn numbers(&self) -> Options {
                Options { $($name: self.$name),+ }
            }

            fn set_numbers(&mut self, options: &Options) {
                $(self.$name = options.$name;)+
            }
        }
    };
}

// A name that is missing here, or too many, does not compile.
numbers!(
    mode,
    threads,
    max_in_flight,
    on_full,
    delivery,
    clock,
    results,
    owner,
    max_batch_size,
    max_batch_bytes,
    queue_capacity,
    queue_bytes,
    result_capacity,
    max_delay,
    push_timeout,
    handler_timeout,
    close_timeout,
    drain_at_exit,
    delay_spin
);

const TEXT_BYTES: usize = {
    let (mut bytes, mut row) = (0, 0);
    while row < ROWS.len() {
        let info = &ROWS[row];
        bytes += info.name.len()
            + info.kind.name().len()
            + info.unit.len()
            + info.default.len()
            + info.doc.len()
            + 6;
        let mut choice = 0;
        while choice < info.choices.len() {
            bytes += info.choices[choice].name.len() + if choice > 0 { 1 } else { 0 };
            choice += 1;
        }
        row += 1;
    }
    bytes
};

static TEXT: [u8; TEXT_BYTES] = {
    let mut text = Packed::<TEXT_BYTES>::new();
    let mut row = 0;
    while row < ROWS.len() {
        let info = &ROWS[row];
        text = text
            .text(info.name)
            .text(info.kind.name())
            .text(info.unit)
            .text(info.default);
        let mut choice = 0;
        while choice < info.choices.len() {
            text = text
                .piece(if choice > 0 { "," } else { "" })
                .piece(info.choices[choice].name);
            choice += 1;
        }
        text = text.end().text(info.doc);
        row += 1;
    }
    text.finish()
};

static TABLE: [mb_option_info; ROWS.len()] = {
    let none = std::ptr::null();
    let empty = mb_option_info {
        name: none,
        type_name: none,
        unit: none,
        default_text: none,
        choices: none,
        doc: none,
        minimum: 0,
        maximum: 0,
        offset: 0,
        width: 0,
        default_value: 0,
        managed_default: 0,
    };
    let mut table = [empty; ROWS.len()];
    let mut texts = Unpacking::of(&TEXT);
    let mut row = 0;
    while row < ROWS.len() {
        table[row] = mb_option_info {
            name: texts.next(),
            type_name: texts.next(),
            unit: texts.next(),
            default_text: texts.next(),
            choices: texts.next(),
            doc: texts.next(),
            minimum: ROWS[row].min,
            maximum: ROWS[row].max,
            offset: FIELDS[row].1,
            width: ROWS[row].width,
            default_value: ROWS[row].default_value,
            managed_default: ROWS[row].managed_default,
        };
        row += 1;
    }
    table
};

/// Makes every option its default and sets `struct_size`.
///
/// `struct_size`: `sizeof(mb_options)` as the caller knows it.
/// Returns: `MB_OK`; `MB_ERR_INVALID_ARGUMENT` if `options` is NULL or no version of the struct has this size.
/// Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_options_init(options: *mut mb_options, struct_size: usize) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            if !(mb_options::FIRST_SIZE..=mb_options::LARGEST).contains(&struct_size) {
                return Err(Status::INVALID_ARGUMENT);
            }
            caller.output(options.cast::<usize>())?.set(struct_size);
            caller.sized_output(options)?.set(&mb_options::zeroed());
            Ok(())
        })
    }
}

/// Sets an option by its name, from text: "2ms", "16MiB", "1.5s", "forever", "reject", "default", or a plain number in
/// the option's base unit (ns, bytes, values).
///
/// Returns: `MB_OK`; `MB_ERR_INVALID_OPTION` if there is no such option, or its value is unreadable or out of range;
/// `MB_ERR_INVALID_ARGUMENT` if `options`, `name` or `value` is NULL or `struct_size` is not set; `MB_ERR_INVALID_UTF8`;
/// `MB_ERR_UNSUPPORTED` if `options` has fields this library does not know.
/// Ownership: `name` and `value` are borrowed for the call. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_options_set(
    options: *mut mb_options,
    name: *const c_char,
    value: *const c_char,
    error: *mut *mut mb_error,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let set = || set_by_name(caller, options, name, value);
            set().map_err(|fault| explain(&caller.optional_output(error), fault))
        })
    }
}

fn set_by_name(
    caller: &Caller,
    options: *mut mb_options,
    name: *const c_char,
    value: *const c_char,
) -> Result<(), Error> {
    let mut given = read(caller, options)?;
    let name = caller.name(name).map_err(|status| about("name", status))?;
    let value = caller.name(value).map_err(|status| about(name, status))?;
    let mut numbers = given.numbers();
    numbers.set(name, value)?;
    given.set_numbers(&numbers);
    caller.sized_output(options)?.set(&given);
    Ok(())
}

/// The options behind a pointer, with words for what is wrong with the struct itself.
pub(crate) fn read(caller: &Caller, options: *const mb_options) -> Result<mb_options, Error> {
    caller.read_sized(options).map_err(|status| match status {
        Status::UNSUPPORTED => Error::new(
            status,
            "struct_size",
            format_args!(
                "the options have fields that version {} of the library does not know",
                env!("CARGO_PKG_VERSION")
            ),
        ),
        _ if options.is_null() => about("options", status),
        _ => Error::new(
            status,
            "struct_size",
            format_args!("struct_size is not set; call mb_options_init(&options, sizeof options) first"),
        ),
    })
}

/// An error about an argument that is missing or unreadable.
pub(crate) fn about(subject: &str, status: Status) -> Error {
    Error::new(status, subject, format_args!("{subject}: {}", status.text()))
}

/// Hands out the table of all options, for bindings and documentation.
///
/// Returns: `MB_OK`; `MB_ERR_INVALID_ARGUMENT` if `table` or `count` is NULL.
/// Ownership: the table is static. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_option_table(table: *mut *const mb_option_info, count: *mut usize) -> mb_status {
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

/// Reads a duration from text, the way options are read: "2ms", "1.5s", "forever", or a plain number of nanoseconds.
///
/// Returns: `MB_OK`; `MB_ERR_INVALID_ARGUMENT` if `text` or `ns` is NULL, or the text is no duration;
/// `MB_ERR_INVALID_UTF8`.
/// Ownership: `text` is borrowed for the call. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_duration_parse(
    text: *const c_char,
    ns: *mut i64,
    error: *mut *mut mb_error,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let read = || {
                let ns = caller.output(ns).map_err(|status| about("ns", status))?;
                let text = caller.name(text).map_err(|status| about("text", status))?;
                ns.set(parse_duration(text)?);
                Ok(())
            };
            read().map_err(|fault| explain(&caller.optional_output(error), fault))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn p36_the_table_for_c_is_the_table() {
        assert_eq!(TABLE.len(), FIELDS.len());
        for ((given, row), (field, _)) in TABLE.iter().zip(ROWS).zip(FIELDS) {
            // SAFETY: static text that ends with NUL.
            let text = |text| unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("?");
            assert_eq!(
                (text(given.name), *field),
                (row.name, row.name),
                "fields stand in the table's order"
            );
            assert_eq!(text(given.type_name), row.kind.name());
            assert_eq!(text(given.unit), row.unit);
            assert_eq!(text(given.default_text), row.default);
            assert_eq!(text(given.doc), row.doc);
            let choices: Vec<_> = row.choices.iter().map(|choice| choice.name).collect();
            assert_eq!(text(given.choices), choices.join(","));
            assert_eq!(
                (given.minimum, given.maximum, given.width),
                (row.min, row.max, row.width)
            );
            assert_eq!(
                (given.default_value, given.managed_default),
                (row.default_value, row.managed_default)
            );
        }
    }
}
