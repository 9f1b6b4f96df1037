//! Batches
//!
//! A handler borrows its batch until it returns. To finish it later, from any thread, it calls `mb_batch_keep` and
//! whoever holds it then calls `mb_batch_complete` once. A host without handlers takes whole batches with
//! `mb_batcher_next_batch` and completes them in the same way; with handlers of its own (`pull_handlers`) it takes parts.
//!
//! A batch is columns. `values` has 8 bytes a row: a batch of one kind is a plain array of `int64_t` or `double`, and it is
//! the very memory that the pushes wrote. Strings are in Arrow's shape: `offsets` and `bytes`. A mixed batch is read row by
//! row with `mb_batch_value`, or one kind after another with `mb_batch_gather`. When a batch has rows for several
//! handlers, each gets its part: a batch of its rows alone.
//!
//! Pointers into a batch are good until the handler returns, or, of a kept or pulled batch, until it is completed or
//! freed. Once that has happened its handle answers `MB_ERR_TOO_LATE` to whatever would change it.

use super::caller::Caller;
use super::ctext::c_names;
use super::guard;
use super::handle::{Handle, mb_batch, mb_batcher, mb_results};
use super::lent::{HeldBatch, HeldResults, Place};
use super::status::mb_status;
use super::table::{self, KEPT};
use super::value::{MB_KIND_MIXED, kind, mb_value};
use crate::engine::batcher::Inner;
use crate::engine::error::Status;
use crate::engine::part::Part;
use crate::engine::settled::Ending;
use crate::engine::value::{Kind, Trigger};
use std::ffi::{c_char, c_void};
use std::ptr::{null, null_mut};

/// The batch was sealed because it held max_batch_size values.
pub const MB_TRIGGER_SIZE: u32 = 1;
/// The next value would have passed max_batch_bytes.
pub const MB_TRIGGER_BYTES: u32 = 2;
/// Its first value had waited for max_delay.
pub const MB_TRIGGER_DELAY: u32 = 3;
/// max_delay is 0 and a slot was free.
pub const MB_TRIGGER_IDLE: u32 = 4;
/// A push had found no room.
pub const MB_TRIGGER_FULL: u32 = 5;
/// Somebody called seal or flush.
pub const MB_TRIGGER_FLUSH: u32 = 6;
/// The batcher was closed.
pub const MB_TRIGGER_CLOSE: u32 = 7;

/// The columns of a batch. Set `struct_size` before the call that fills it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mb_batch_view {
    /// `sizeof(mb_batch_view)`.
    pub struct_size: usize,
    /// Rows.
    pub count: usize,
    /// `MB_KIND_*` of all rows, or `MB_KIND_MIXED`.
    pub kind: u32,
    /// Why it was sealed: `MB_TRIGGER_*`.
    pub trigger: u32,
    /// Nanoseconds from the acceptance of its first value to its dispatch.
    pub age: i64,
    /// 1, 2, 3, ... in order of dispatch; the parts of a batch share its number. Inside map the parts count from 1.
    pub number: u64,
    /// The tag of each row.
    pub tags: *const u64,
    /// The kind of each row.
    pub kinds: *const u8,
    /// The cell of each row: `int64_t`, `double`, 0 or 1, or an object's word. Of strings and bytes it says nothing.
    pub values: *const c_void,
    /// Where each row's string begins in `bytes`, and where the last one ends: `count + 1` of them, equal for rows without
    /// one. NULL if no row has one, or some are owned pushes: use `mb_batch_gather` then.
    pub offsets: *const i32,
    /// The bytes of all strings; NULL with `offsets`.
    pub bytes: *const u8,
    /// The deadline of each row, 0 for none; NULL if no row has one.
    pub deadlines: *const i64,
    /// The row of the whole batch that each row of this part is; NULL if this is the whole batch.
    pub positions: *const u32,
}

/// The rows of one kind as columns. Set `struct_size` before the call that fills it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mb_column {
    /// `sizeof(mb_column)`.
    pub struct_size: usize,
    /// Rows.
    pub count: usize,
    /// The cell of each row, as in a view; NULL in a column of text only.
    pub values: *const c_void,
    /// The row of the batch that each row is; NULL if they are the same.
    pub positions: *const u32,
    /// Of strings and bytes: `count + 1` offsets into `bytes`; NULL for other kinds.
    pub offsets: *const i32,
    /// The bytes; NULL with `offsets`.
    pub bytes: *const u8,
}

c_names!(trigger_name: Trigger);

/// The name of a trigger, for example "size"; "unknown" for a number that this version does not list. Never NULL.
///
/// Ownership: the text is static. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// Always safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_trigger_name(trigger: u32) -> *const c_char {
    trigger_name(trigger)
}

/// Fills a view of a batch. Nothing is copied but the view itself.
///
/// Returns: `MB_OK`; `MB_ERR_INVALID_ARGUMENT` if `view` is NULL or its `struct_size` is not set; `MB_ERR_INVALID_HANDLE`.
/// Ownership: the columns are the batch's. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_get_view(batch: *mut mb_batch, view: *mut mb_batch_view) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let (held, view) = (caller.batch(batch)?, caller.sized_output(view)?);
            view.set(&view_of(held));
            Ok(())
        })
    }
}

fn view_of(held: &HeldBatch) -> mb_batch_view {
    let batch = held.part().batch();
    let offsets = if batch.owned.is_empty() {
        batch.text_offsets()
    } else {
        None
    };
    let deadlines = if batch.has_deadlines {
        batch.deadlines.as_ref()
    } else {
        None
    };
    mb_batch_view {
        struct_size: size_of::<mb_batch_view>(),
        count: batch.len,
        kind: batch.uniform.map_or(MB_KIND_MIXED, |kind| u32::from(kind.code())),
        trigger: u32::from(batch.trigger.code()),
        age: batch.dispatched_at.saturating_sub(batch.opened_at),
        number: batch.number,
        tags: batch.tags().as_ptr(),
        kinds: batch.kinds().as_ptr(),
        values: batch.cells().as_ptr().cast(),
        offsets: offsets.map_or(null(), <[i32]>::as_ptr),
        bytes: offsets.map_or(null(), |_| batch.text.as_ptr()),
        deadlines: deadlines.map_or(null(), |column| column.as_ptr()),
        positions: batch.positions().map_or(null(), <[u32]>::as_ptr),
    }
}

/// Reads the value of one row.
///
/// Returns: `MB_OK`; `MB_ERR_OUT_OF_RANGE` if there is no such row; `MB_ERR_INVALID_ARGUMENT` if `value` is NULL;
/// `MB_ERR_INVALID_HANDLE`.
/// Ownership: strings, bytes and objects are the batch's. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_value(batch: *mut mb_batch, row: usize, value: *mut mb_value) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let (held, value) = (caller.batch(batch)?, caller.output(value)?);
            let part = held.part();
            if row >= part.batch().len {
                return Err(Status::OUT_OF_RANGE);
            }
            value.set(part.batch().value(row, part.owner()).into());
            Ok(())
        })
    }
}

/// The rows of one kind as contiguous columns. They are made at the first call, unless the batch has no other kind and
/// its own columns serve.
///
/// Returns: `MB_OK`, also if there is no such row (`count` is 0); `MB_ERR_INVALID_ARGUMENT` if `kind` is unknown, `column` is
/// NULL or its `struct_size` is not set; `MB_ERR_NO_MEMORY`; `MB_ERR_INVALID_HANDLE`.
/// Ownership: the columns are the batch's. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_gather(
    batch: *mut mb_batch,
    kind: u32,
    column: *mut mb_column,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let (held, column) = (caller.batch(batch)?, caller.sized_output(column)?);
            column.set(&gather(held, self::kind(kind)?)?);
            Ok(())
        })
    }
}

fn gather(held: &HeldBatch, kind: Kind) -> Result<mb_column, Status> {
    let view = view_of(held);
    let is_text = matches!(kind, Kind::String | Kind::Bytes);
    let mut column = mb_column {
        struct_size: size_of::<mb_column>(),
        count: view.count,
        values: view.values,
        positions: null(),
        offsets: if is_text { view.offsets } else { null() },
        bytes: if is_text { view.bytes } else { null() },
    };
    if view.kind != u32::from(kind.code()) || (is_text && view.offsets.is_null()) {
        let gathered = held.gather(kind)?;
        let text = gathered.text.as_ref();
        column.count = gathered.count;
        column.values = gathered.cells.as_ptr().cast();
        column.positions = gathered.positions.as_ptr();
        column.offsets = text.map_or(null(), |(offsets, _)| offsets.as_ptr());
        column.bytes = text.map_or(null(), |(_, bytes)| bytes.as_ptr());
    }
    Ok(column)
}

/// Keeps a batch past its handler, which may then return at once; what it returns does not count. The slot stays taken
/// until the batch is completed or handler_timeout ends it. Of a part that a host pulled for a handler of its own it says
/// that the handler has returned and the part is held on: the next part of its batch may be pulled.
///
/// Returns: `MB_OK`; `MB_ERR_TOO_LATE` if its outcomes stand already; `MB_ERR_INVALID_ARGUMENT` if it is kept already, or was
/// pulled without pull_handlers; `MB_ERR_WRONG_MODE` inside map; `MB_ERR_NO_MEMORY`; `MB_ERR_INVALID_HANDLE`; `MB_ERR_FORKED`.
/// Ownership: the batch is yours now: complete or free it, once. Threads: any, before the handler returns.
/// Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_keep(batch: *mut mb_batch) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let (held, slot) = (caller.unfinished(batch)?, caller.slot(batch)?);
            if slot.has(KEPT) {
                held.part().keep_pulled().into_result()
            } else {
                held.keep(slot)
            }
        })
    }
}

/// Completes a batch: what was set counts, rows without a result fail with `MB_ERR_NO_RESULT`. Also fine inside the handler
/// of a batch that is not kept: what the handler returns does not count then.
///
/// Returns: `MB_OK`; `MB_ERR_TOO_LATE` if its outcomes stood already, by a time-out, a close or a completion before this one
/// (stats count it); `MB_ERR_WRONG_MODE` inside map; `MB_ERR_INVALID_HANDLE`; `MB_ERR_FORKED`.
/// Ownership: takes a kept or pulled batch, whatever is returned. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_complete(batch: *mut mb_batch) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe { guard::run(|caller| complete(caller, batch, Ending::Done).into_result()) }
}

/// The same, but rows without a result are OK, with null.
///
/// Returns: as `mb_batch_complete`.
/// Ownership: takes a kept or pulled batch, whatever is returned. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_complete_ok(batch: *mut mb_batch) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe { guard::run(|caller| complete(caller, batch, Ending::DoneOk).into_result()) }
}

fn complete(caller: &Caller, batch: *mut mb_batch, ending: Ending<'_>) -> Status {
    complete_with(caller, batch, ending, |part| part.complete(ending))
}

/// `held`: completes a part that is kept or pulled.
fn complete_with(
    caller: &Caller,
    batch: *mut mb_batch,
    ending: Ending<'_>,
    held: impl FnOnce(Part) -> Status,
) -> Status {
    // Also in a forked child the handle ends; the part answers FORKED.
    match (caller.slot(batch), caller.object(batch)) {
        (Ok(slot), Ok(lent)) if !slot.has(KEPT) => lent.part().complete_early(ending),
        (Ok(_), Ok(_)) => match caller.take(batch).and_then(HeldBatch::into_part) {
            Some(part) => held(part),
            None => too_late(caller, batch),
        },
        (_, Err(status)) | (Err(status), _) => match table::find_consumed(batch.addr() as u64) {
            Some(_) => too_late(caller, batch),
            None => status,
        },
    }
}

/// Counts a completion that comes after the handle has ended, if its batcher is still there.
fn too_late(caller: &Caller, batch: *mut mb_batch) -> Status {
    let parent = table::find_consumed(batch.addr() as u64).map_or(0, |slot| slot.counted_by());
    if let Ok(engine) = caller.engine(mb_batcher::from_word(parent))
        && !engine.is_foreign()
    {
        engine.count_late();
    }
    Status::TOO_LATE
}

/// Completes a batch and takes the next set of results that is ready then, for hosts that pull results: the same as
/// `mb_batch_complete` and `mb_batcher_next_results` with time-out 0, but a thread that waits for results is not woken for the
/// set that this call takes.
///
/// `results`: NULL is put there if no set is ready, or none is pulled from this batcher, or in one of its callbacks.
/// Returns: as `mb_batch_complete`; `MB_ERR_INVALID_ARGUMENT` if `results` is NULL: then the batch stays as it is. If the
/// status is not `MB_OK`, no set was taken.
/// Ownership: takes a kept or pulled batch, whatever else is returned; free the set with `mb_results_free`.
/// Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_complete_next(
    batch: *mut mb_batch,
    results: *mut *mut mb_results,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let results = caller.output(results)?;
            let place = Place::<HeldResults>::reserve();
            let mut set = None;
            let status = complete_with(caller, batch, Ending::Done, |part| match &place {
                Some(_) => {
                    let (status, taken) = part.complete_and_take(Ending::Done);
                    set = taken;
                    status
                }
                // Without memory for the set it stays for next_results.
                None => part.complete(Ending::Done),
            });
            let handle = match (place, set) {
                (Some(place), Some(set)) => mb_results::from_word(place.fill(set)),
                (Some(place), None) => {
                    place.release();
                    null_mut()
                }
                (None, _) => null_mut(),
            };
            status.into_result()?;
            results.set(handle);
            Ok(())
        })
    }
}

/// Gives up a kept or pulled batch without completing it: its values fail with `MB_ERR_NO_RESULT`. NULL is fine. Inside the
/// handler of a batch that is not kept it keeps the batch and gives it up.
///
/// Returns: `MB_OK`; `MB_ERR_TOO_LATE` if it was completed or freed before; `MB_ERR_WRONG_MODE` inside map;
/// `MB_ERR_INVALID_HANDLE`.
/// Ownership: takes the batch. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_free(batch: *mut mb_batch) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            if batch.is_null() {
                return Ok(());
            }
            let slot = match caller.slot(batch) {
                Ok(slot) => slot,
                Err(_) if table::find_consumed(batch.addr() as u64).is_some() => {
                    return Err(Status::TOO_LATE);
                }
                Err(status) => return Err(status),
            };
            // Only inside its handler is the batch looked at before it is taken: one that is held, others may free meanwhile.
            if !slot.has(KEPT) {
                caller.object(batch)?.keep(slot)?;
            }
            // Dropping the part gives it up; a pinned one has nothing to give up but memory.
            caller.take(batch).map(drop).ok_or(Status::TOO_LATE)
        })
    }
}

/// Pins the memory of a batch, for a host whose views may be looked at after the batch has ended: `pinned` is another batch
/// of the same rows, whose columns stay until it is freed. Nothing can be set or completed through it. What the values
/// carry, objects too, is given back only then.
///
/// Returns: `MB_OK`; `MB_ERR_WRONG_MODE` inside map, where the memory is the caller's, and for a batch that is pinned itself;
/// `MB_ERR_INVALID_ARGUMENT` if `pinned` is NULL; `MB_ERR_NO_MEMORY`; `MB_ERR_INVALID_HANDLE`; `MB_ERR_FORKED`.
/// Ownership: free `pinned` with `mb_batch_free`; it may outlive the batcher. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batch_pin(batch: *mut mb_batch, pinned: *mut *mut mb_batch) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let (held, pinned) = (caller.batch(batch)?, caller.output(pinned)?);
            if held.part().is_pinned() {
                return Err(Status::WRONG_MODE);
            }
            let part = held.part().pin()?;
            let place = Place::<HeldBatch>::reserve().ok_or(Status::NO_MEMORY)?;
            pinned.set(mb_batch::from_word(place.fill(part, 0)?));
            Ok(())
        })
    }
}

/// Takes a whole batch from a batcher without handlers, as soon as one is sealed or due and a slot is free.
///
/// If `pull_handlers` says which handlers the host has, a batch that is for several of them comes in parts, each a batch of
/// its rows alone: in order of kind code, then what is for the default. The next part comes when the one before is
/// completed, freed or kept; all of them have one slot. What a part is for shows in its view: a kind with a handler of its
/// own, or else the default.
///
/// `timeout`: nanoseconds, or `MB_FOREVER`; manual mode never waits.
/// Returns: `MB_OK`; `MB_ERR_TIMEOUT` if none came; `MB_ERR_CLOSED` if the batcher is closed and nothing waits;
/// `MB_ERR_WRONG_MODE` if it has handlers; `MB_ERR_REENTRANT` in a callback of this batcher; `MB_ERR_INVALID_ARGUMENT` if `batch`
/// is NULL or `timeout` negative; `MB_ERR_NO_MEMORY`; `MB_ERR_INVALID_HANDLE`; `MB_ERR_FORKED`.
/// Ownership: complete or free the batch, once; it may outlive the batcher. Threads: any, not in callbacks.
/// Blocks: up to `timeout` in threaded mode. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_next_batch(
    batcher: *mut mb_batcher,
    timeout: i64,
    batch: *mut *mut mb_batch,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let (engine, batch) = (caller.shared_engine(batcher)?, caller.output(batch)?);
            if timeout < 0 {
                return Err(Status::INVALID_ARGUMENT);
            }
            let place = Place::<HeldBatch>::reserve().ok_or(Status::NO_MEMORY)?;
            match Inner::next_batch(&engine, timeout) {
                Ok(part) => batch.set(mb_batch::from_word(place.fill(part, batcher.addr() as u64)?)),
                Err(status) => {
                    place.release();
                    return Err(status);
                }
            }
            Ok(())
        })
    }
}
