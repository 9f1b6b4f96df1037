//! Pushing many values
//!
//! A bulk push acts as its values pushed one by one: it takes them in order, stops at the first that is refused and
//! returns its status. `accepted` is always written (it may be NULL): the index of the refused value, or `count`.
//!
//! `validity` says which values there are, as in Arrow: bit i % 8 of byte i / 8, 0 for null; NULL if all are there.
//! Value i has the tag `tags[i]`, or `first_tag + i` if `tags` is NULL. A deadline in `options` is that of every value; a
//! release covers the whole array, is for strings and bytes only, and runs once, after the last accepted value of the
//! call is delivered; if none was accepted it never runs. Return values, threads and blocking are those of the pushes
//! above; a whole argument that is missing is `MB_ERR_INVALID_ARGUMENT` with 0 accepted.

use super::caller::{Caller, Output};
use super::guard;
use super::handle::mb_batcher;
use super::push::mb_push_options;
use super::status::mb_status;
use super::value::mb_value;
use crate::engine::batcher::Inner;
use crate::engine::column::as_cells;
use crate::engine::error::Status;
use crate::engine::push::IfFull;
use crate::engine::release::{Release, ReleaseMany};
use crate::engine::value::{Kind, Value};
use crate::engine::writer::Tags;
use crate::sync::Shared;
use std::ffi::c_void;

/// What all bulk pushes say besides their values.
pub(crate) struct Manner {
    pub(crate) validity: *const u8,
    pub(crate) count: usize,
    pub(crate) tags: *const u64,
    pub(crate) first_tag: u64,
    pub(crate) options: *const mb_push_options,
    pub(crate) accepted: *mut usize,
}

/// The same, checked.
struct Bulk<'a> {
    engine: &'a Inner,
    validity: Option<&'a [u8]>,
    count: usize,
    tags: Tags<'a>,
    deadline: i64,
    if_full: IfFull,
    release: Option<Shared<ReleaseMany>>,
    accepted: Output<usize>,
}

/// Whether row `row` is there.
pub(crate) fn is_valid(validity: Option<&[u8]>, row: usize) -> bool {
    validity.is_none_or(|bits| bits[row / 8] >> (row % 8) & 1 == 1)
}

/// The text of a row between its two offsets, which must not go backwards.
pub(crate) fn piece<'a, O: Copy + TryInto<usize>>(
    caller: &'a Caller,
    data: *const c_void,
    offsets: &[O],
    row: usize,
) -> Result<&'a str, Status> {
    let offset = |at: usize| offsets[at].try_into().map_err(|_| Status::INVALID_ARGUMENT);
    let (from, to) = (offset(row)?, offset(row + 1)?);
    let length = to.checked_sub(from).ok_or(Status::INVALID_ARGUMENT)?;
    if data.is_null() && length > 0 {
        return Err(Status::INVALID_ARGUMENT);
    }
    caller.text(data.cast::<u8>().wrapping_add(from), length)
}

impl<'a> Bulk<'a> {
    /// Checks what is the same for all values. Owned pushes are for `ownable` arrays.
    fn new(
        caller: &'a Caller,
        batcher: *mut mb_batcher,
        manner: &Manner,
        ownable: bool,
    ) -> Result<Bulk<'a>, Status> {
        let accepted = caller.optional_output(manner.accepted);
        accepted.set(0);
        let engine = caller.engine(batcher)?;
        let check = || {
            let options = caller.optional_sized(manner.options)?;
            let release = match options.release {
                None => None,
                Some(_) if !ownable => return Err(Status::INVALID_ARGUMENT),
                Some(call) => {
                    let many = ReleaseMany::new(call, options.release_data, manner.count);
                    Some(Shared::try_new(many).ok_or(Status::NO_MEMORY)?)
                }
            };
            let validity = caller.optional_array(manner.validity, manner.count.div_ceil(8))?;
            let tags = match caller.optional_array(manner.tags, manner.count)? {
                Some(tags) => Tags::Each(tags),
                None => Tags::From(manner.first_tag),
            };
            Ok((options.deadline, options.if_full()?, release, validity, tags))
        };
        let (deadline, if_full, release, validity, tags) =
            check().map_err(|status| engine.count_refused(status))?;
        Ok(Bulk {
            engine,
            validity,
            count: manner.count,
            tags,
            deadline,
            if_full,
            release,
            accepted,
        })
    }

    /// There are as many tags as values.
    fn tag(&self, row: usize) -> u64 {
        self.tags.of(row).unwrap_or_default()
    }

    /// Pushes numbers.
    fn push_cells(self, kind: Kind, cells: &[u64]) -> Result<(), Status> {
        let (taken, status) =
            self.engine
                .push_cells(kind, cells, self.validity, self.tags, self.deadline, self.if_full);
        self.accepted.set(taken);
        status.into_result()
    }

    /// Pushes any values, one by one.
    fn push_values<'v>(self, value: impl Fn(usize) -> Result<Value<'v>, Status>) -> Result<(), Status> {
        for row in 0..self.count {
            let value = if is_valid(self.validity, row) {
                value(row)
            } else {
                Ok(Value::Null)
            };
            let status = match value {
                // The row would have two releases.
                Ok(Value::Object(_)) if self.release.is_some() => {
                    self.engine.count_refused(Status::INVALID_ARGUMENT)
                }
                Ok(value) => {
                    let share = self.release.clone().map(Release::Many);
                    self.engine
                        .push_value(value, self.tag(row), self.deadline, share, self.if_full)
                }
                Err(status) => self.engine.count_refused(status),
            };
            if !status.is_ok() {
                self.accepted.set(row);
                self.stop(row);
                return Err(status);
            }
        }
        self.accepted.set(self.count);
        Ok(())
    }

    /// The rows from `taken` on were not accepted, and with them go their shares of the release. If all others
    /// were delivered meanwhile it is due, but not inside a push.
    fn stop(&self, taken: usize) {
        if let Some(many) = &self.release
            && many.give_up(self.count - taken)
            && taken > 0
        {
            self.engine.release_later(many.alone());
        }
    }
}

/// Pushes integers.
///
/// Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_push_int64s(
    batcher: *mut mb_batcher,
    values: *const i64,
    validity: *const u8,
    count: usize,
    tags: *const u64,
    first_tag: u64,
    options: *const mb_push_options,
    accepted: *mut usize,
) -> mb_status {
    let manner = Manner {
        validity,
        count,
        tags,
        first_tag,
        options,
        accepted,
    };
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let bulk = Bulk::new(caller, batcher, &manner, false)?;
            let values = caller
                .array(values, count)
                .map_err(|status| bulk.engine.count_refused(status))?;
            bulk.push_cells(Kind::Int64, as_cells(values))
        })
    }
}

/// Pushes floating-point numbers.
///
/// Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_push_float64s(
    batcher: *mut mb_batcher,
    values: *const f64,
    validity: *const u8,
    count: usize,
    tags: *const u64,
    first_tag: u64,
    options: *const mb_push_options,
    accepted: *mut usize,
) -> mb_status {
    let manner = Manner {
        validity,
        count,
        tags,
        first_tag,
        options,
        accepted,
    };
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let bulk = Bulk::new(caller, batcher, &manner, false)?;
            let values = caller
                .array(values, count)
                .map_err(|status| bulk.engine.count_refused(status))?;
            bulk.push_cells(Kind::Float64, as_cells(values))
        })
    }
}

/// Pushes strings in Arrow's shape: string i is `data[offsets[i]]` to `data[offsets[i + 1]]`, so there are `count + 1`
/// offsets. Offsets that are negative or go backwards are an invalid argument of that value.
///
/// Since: 0.1.
///
/// # Safety
/// See [`super`]. The bytes of an owned push stay readable and unchanged until their release.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_push_strings(
    batcher: *mut mb_batcher,
    data: *const c_void,
    offsets: *const i32,
    validity: *const u8,
    count: usize,
    tags: *const u64,
    first_tag: u64,
    options: *const mb_push_options,
    accepted: *mut usize,
) -> mb_status {
    let manner = Manner {
        validity,
        count,
        tags,
        first_tag,
        options,
        accepted,
    };
    // SAFETY: the promise of this function's caller.
    unsafe { guard::run(|caller| push_strings(caller, batcher, data, offsets, &manner)) }
}

/// Pushes strings in Arrow's large shape, with 64-bit offsets.
///
/// Since: 0.1.
///
/// # Safety
/// See [`super`]. The bytes of an owned push stay readable and unchanged until their release.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_push_large_strings(
    batcher: *mut mb_batcher,
    data: *const c_void,
    offsets: *const i64,
    validity: *const u8,
    count: usize,
    tags: *const u64,
    first_tag: u64,
    options: *const mb_push_options,
    accepted: *mut usize,
) -> mb_status {
    let manner = Manner {
        validity,
        count,
        tags,
        first_tag,
        options,
        accepted,
    };
    // SAFETY: the promise of this function's caller.
    unsafe { guard::run(|caller| push_strings(caller, batcher, data, offsets, &manner)) }
}

fn push_strings<O: Copy + TryInto<usize>>(
    caller: &Caller,
    batcher: *mut mb_batcher,
    data: *const c_void,
    offsets: *const O,
    manner: &Manner,
) -> Result<(), Status> {
    let bulk = Bulk::new(caller, batcher, manner, true)?;
    if manner.count == 0 {
        return Ok(());
    }
    let offsets = caller
        .array(
            offsets,
            manner.count.checked_add(1).ok_or(Status::INVALID_ARGUMENT)?,
        )
        .map_err(|status| bulk.engine.count_refused(status))?;
    bulk.push_values(|row| piece(caller, data, offsets, row).map(Value::String))
}

/// Pushes values of any kinds. With a release, objects are refused.
///
/// Since: 0.1.
///
/// # Safety
/// See [`super`]. The bytes of an owned push stay readable and unchanged until their release.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_push_values(
    batcher: *mut mb_batcher,
    values: *const mb_value,
    count: usize,
    tags: *const u64,
    first_tag: u64,
    options: *const mb_push_options,
    accepted: *mut usize,
) -> mb_status {
    let manner = Manner {
        validity: std::ptr::null(),
        count,
        tags,
        first_tag,
        options,
        accepted,
    };
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let bulk = Bulk::new(caller, batcher, &manner, true)?;
            let values = caller
                .array(values, count)
                .map_err(|status| bulk.engine.count_refused(status))?;
            bulk.push_values(|row| caller.value(&values[row]))
        })
    }
}
