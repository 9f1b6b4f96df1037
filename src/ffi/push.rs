//! Pushing one value
//!
//! A push takes a value or refuses it, and a refusal keeps nothing. Taken strings and bytes were copied when the push
//! returns. `tag` is any number of yours that comes back with the result; tags need not be unique. Pushing is fine from
//! any thread and in any callback; values pushed by one thread keep their order.
//!
//! Every push returns one of these:
//!
//! ```text
//! MB_OK                    the value is the batcher's
//! MB_ERR_INVALID_ARGUMENT  data is NULL and length is not 0; a bool is neither 0 nor 1; the kind is unknown
//! MB_ERR_INVALID_UTF8      a string is not UTF-8
//! MB_ERR_WRONG_OWNER       an object is not of the owner in the options
//! MB_ERR_CLOSED            the batcher was closed
//! MB_ERR_NO_HANDLER        no handler takes this kind, and there is no default
//! MB_ERR_TOO_LARGE         the value weighs more than max_batch_bytes: 8, plus its length or declared size
//! MB_ERR_QUEUE_FULL        queue_capacity values wait
//! MB_ERR_QUEUE_FULL_BYTES  the values that wait leave too little of queue_bytes
//! MB_ERR_RESULTS_FULL      result_capacity values were accepted whose results nobody took
//! MB_ERR_WOULD_WAIT        if_full asks, and there is no room now
//! MB_ERR_NO_MEMORY         there is no memory for it
//! MB_ERR_INVALID_HANDLE    there is no such batcher
//! MB_ERR_FORKED            the batcher belongs to the parent process
//! ```
//!
//! The three FULL codes come after a wait of up to push_timeout if on_full is BLOCK, and at once if it is REJECT, in
//! manual mode and in callbacks of this batcher. `mb_batcher_check` says in words why a value would be refused.
//!
//! A host that must not sit in a push, because its threads belong to a runtime, waits by itself: it pushes with if_full =
//! `MB_IF_FULL_ASK`, and when that answers `MB_ERR_WOULD_WAIT` it waits for room (`mb_batcher_room`, `mb_batcher_fd`) and pushes
//! again; when its time is up it pushes with `MB_IF_FULL_REFUSE`, which counts as the one refusal of the value.

use super::callback::mb_release_fn;
use super::caller::Caller;
use super::error::explain;
use super::guard;
use super::handle::{mb_batcher, mb_error};
use super::options::about;
use super::status::mb_status;
use super::value::{MB_KIND_FLOAT64, MB_KIND_INT64, mb_value, truth};
use crate::engine::batcher::Inner;
use crate::engine::error::Status;
use crate::engine::push::IfFull;
use crate::engine::release::Release;
use crate::engine::value::{Kind, Object, Value};
use std::ffi::{c_char, c_void};

/// What a push may say besides the value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mb_push_options {
    /// `sizeof(mb_push_options)`.
    pub struct_size: usize,
    /// When the value expires if it still waits, on the batcher's clock (`mb_batcher_now`); 0 is never.
    pub deadline: i64,
    /// Makes it an owned push: the string or bytes are not copied but stay where they are, unchanged, until this is
    /// called, once, after the result is delivered. Never called inside push, or for a refused value. NULL: copy.
    pub release: mb_release_fn,
    /// Handed to `release`.
    pub release_data: *mut c_void,
    /// What the push does where it would wait for room: 0, wait; or `MB_IF_FULL_*`.
    pub if_full: u64,
}

/// `if_full`: answer `MB_ERR_WOULD_WAIT` at once, which counts as nothing: the host waits by itself and pushes again.
pub const MB_IF_FULL_ASK: u64 = 1;
/// `if_full`: be refused at once, as at the end of push_timeout.
pub const MB_IF_FULL_REFUSE: u64 = 2;

impl mb_push_options {
    /// What becomes of a value without room.
    pub(crate) fn if_full(&self) -> Result<IfFull, Status> {
        match self.if_full {
            0 => Ok(IfFull::Wait),
            MB_IF_FULL_ASK => Ok(IfFull::Ask),
            MB_IF_FULL_REFUSE => Ok(IfFull::Refuse),
            _ => Err(Status::INVALID_ARGUMENT),
        }
    }
}

/// What takes values: a batcher, or a producer.
pub(crate) trait Taker {
    fn take_cell(&self, kind: Kind, cell: u64, tag: u64) -> Status;
    fn take_number(&self, kind: Kind, cell: u64, tag: u64, if_full: IfFull) -> Status;
    fn take_text(&self, kind: Kind, text: &[u8], tag: u64) -> Status;
    fn take_value(
        &self,
        value: Value<'_>,
        tag: u64,
        deadline: i64,
        owned: Option<Release>,
        if_full: IfFull,
    ) -> Status;
    /// Counts a refusal that was found here.
    fn refuse(&self, status: Status) -> Status;
}

impl Taker for Inner {
    #[inline(always)]
    fn take_cell(&self, kind: Kind, cell: u64, tag: u64) -> Status {
        self.push_cell(kind, cell, tag)
    }

    #[inline(always)]
    fn take_number(&self, kind: Kind, cell: u64, tag: u64, if_full: IfFull) -> Status {
        self.push_cell_if(kind, cell, tag, if_full)
    }

    #[inline(always)]
    fn take_text(&self, kind: Kind, text: &[u8], tag: u64) -> Status {
        self.push_text(kind, text, tag, IfFull::Wait)
    }

    fn take_value(
        &self,
        value: Value<'_>,
        tag: u64,
        deadline: i64,
        owned: Option<Release>,
        if_full: IfFull,
    ) -> Status {
        self.push_value(value, tag, deadline, owned, if_full)
    }

    fn refuse(&self, status: Status) -> Status {
        self.count_refused(status)
    }
}

/// Pushes a bool given as a number.
pub(crate) fn push_bool(to: &impl Taker, value: i32, tag: u64) -> Status {
    match truth(i64::from(value)) {
        Ok(value) => to.take_cell(Kind::Bool, u64::from(value), tag),
        Err(status) => to.refuse(status),
    }
}

/// Pushes a value of 8 bytes, with all questions asked. Behind a call of its own, so that the common push needs neither
/// guard nor stack: nothing in it can panic.
///
/// # Safety
/// As for [`guard::run`].
#[inline(never)]
unsafe extern "C" fn push_cell_asking(
    batcher: *mut mb_batcher,
    kind: Kind,
    cell: u64,
    tag: u64,
) -> mb_status {
    // SAFETY: passed on.
    unsafe {
        guard::push(|caller| match caller.engine(batcher) {
            Ok(engine) => engine.push_cell_asking(kind, cell, tag),
            Err(status) => status,
        })
    }
}

/// Pushes a string, with all questions asked: as `push_cell_asking`.
///
/// # Safety
/// As for [`guard::run`].
#[inline(never)]
unsafe extern "C" fn push_text_asking(
    batcher: *mut mb_batcher,
    data: *const c_char,
    length: usize,
    tag: u64,
) -> mb_status {
    // SAFETY: passed on.
    unsafe {
        guard::push(|caller| match caller.engine(batcher) {
            Ok(engine) => push_text(caller, engine, data, length, tag),
            Err(status) => status,
        })
    }
}

/// A number without deadline and release, for the push that asks nothing. Fields are read one by one: whoever calls has
/// just written them, and a wider load would wait for the stores.
///
/// # Safety
/// The pointers are NULL or good, as [`super`] says.
#[inline(always)]
pub(crate) unsafe fn plain_number(
    value: *const mb_value,
    options: *const mb_push_options,
) -> Option<(Kind, u64)> {
    if !value.is_aligned() || !options.is_aligned() {
        return None;
    }
    // SAFETY: NULL or good, and aligned.
    if let Some(options) = unsafe { options.as_ref() }
        && (options.struct_size != size_of::<mb_push_options>()
            || options.deadline != 0
            || options.release.is_some()
            || options.if_full > MB_IF_FULL_REFUSE)
    {
        return None;
    }
    // SAFETY: as above.
    let value = unsafe { value.as_ref() }?;
    let kind = match value.kind {
        MB_KIND_INT64 => Kind::Int64,
        MB_KIND_FLOAT64 => Kind::Float64,
        _ => return None,
    };
    // SAFETY: whatever C stored, eight bytes of it are an integer.
    Some((kind, unsafe { value.r#as.int64 } as u64))
}

/// Pushes text, checked.
pub(crate) fn push_text(
    caller: &Caller,
    to: &impl Taker,
    data: *const c_char,
    length: usize,
    tag: u64,
) -> Status {
    match caller.text(data, length) {
        Ok(text) => to.take_text(Kind::String, text.as_bytes(), tag),
        Err(status) => to.refuse(status),
    }
}

/// Pushes bytes.
pub(crate) fn push_bytes(
    caller: &Caller,
    to: &impl Taker,
    data: *const c_void,
    length: usize,
    tag: u64,
) -> Status {
    match caller.bytes(data, length) {
        Ok(bytes) => to.take_text(Kind::Bytes, bytes, tag),
        Err(status) => to.refuse(status),
    }
}

/// Pushes any value with its options.
pub(crate) fn push_value(
    caller: &Caller,
    to: &impl Taker,
    value: *const mb_value,
    tag: u64,
    options: *const mb_push_options,
) -> Status {
    let read = || {
        let value = caller.value_at(value)?;
        let options = caller.optional_sized(options)?;
        let release = options.release.map(|call| Release::One {
            call,
            data: options.release_data,
        });
        let if_full = options.if_full()?;
        let ownable = matches!(value, Value::String(_) | Value::Bytes(_));
        if release.is_some() && !ownable {
            Err(Status::INVALID_ARGUMENT)
        } else {
            Ok((value, options.deadline, release, if_full))
        }
    };
    match read() {
        // What a host pushes most that waits by itself.
        Ok((Value::Int64(value), 0, None, if_full)) => {
            to.take_number(Kind::Int64, value as u64, tag, if_full)
        }
        Ok((Value::Float64(value), 0, None, if_full)) => {
            to.take_number(Kind::Float64, value.to_bits(), tag, if_full)
        }
        Ok((value, deadline, release, if_full)) => to.take_value(value, tag, deadline, release, if_full),
        Err(status) => to.refuse(status),
    }
}

/// Pushes null.
///
/// Returns: see above. Threads: any, also in callbacks. Blocks: up to push_timeout if on_full is BLOCK. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_push_null(batcher: *mut mb_batcher, tag: u64) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::push(|caller| match caller.engine(batcher) {
            Ok(engine) => engine.push_cell(Kind::Null, 0, tag),
            Err(status) => status,
        })
    }
}

/// Pushes a bool: 0 or 1.
///
/// Returns: see above. Threads: any, also in callbacks. Blocks: up to push_timeout if on_full is BLOCK. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_push_bool(batcher: *mut mb_batcher, value: i32, tag: u64) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::push(|caller| match caller.engine(batcher) {
            Ok(engine) => push_bool(engine, value, tag),
            Err(status) => status,
        })
    }
}

/// Pushes an integer.
///
/// Returns: see above. Threads: any, also in callbacks. Blocks: up to push_timeout if on_full is BLOCK. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_push_int64(batcher: *mut mb_batcher, value: i64, tag: u64) -> mb_status {
    // SAFETY: the promise of this function's caller.
    let caller = unsafe { Caller::promised() };
    let inside = |engine: &Inner| engine.push_inside(Kind::Int64, value as u64, tag);
    if caller.engine(batcher).is_ok_and(inside) {
        return Status::OK.code();
    }
    // SAFETY: as above.
    unsafe { push_cell_asking(batcher, Kind::Int64, value as u64, tag) }
}

/// Pushes a floating-point number.
///
/// Returns: see above. Threads: any, also in callbacks. Blocks: up to push_timeout if on_full is BLOCK. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_push_float64(
    batcher: *mut mb_batcher,
    value: f64,
    tag: u64,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    let caller = unsafe { Caller::promised() };
    let inside = |engine: &Inner| engine.push_inside(Kind::Float64, value.to_bits(), tag);
    if caller.engine(batcher).is_ok_and(inside) {
        return Status::OK.code();
    }
    // SAFETY: as above.
    unsafe { push_cell_asking(batcher, Kind::Float64, value.to_bits(), tag) }
}

/// Pushes a string: `length` bytes of UTF-8, copied.
///
/// Returns: see above. Threads: any, also in callbacks. Blocks: up to push_timeout if on_full is BLOCK. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_push_string(
    batcher: *mut mb_batcher,
    data: *const c_char,
    length: usize,
    tag: u64,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    let caller = unsafe { Caller::promised() };
    if let Ok(engine) = caller.engine(batcher)
        && let Some(text) = caller.short_ascii(data, length)
        && engine.push_text_inside(Kind::String, text, tag)
    {
        return Status::OK.code();
    }
    // SAFETY: as above.
    unsafe { push_text_asking(batcher, data, length, tag) }
}

/// Pushes bytes of any content, copied.
///
/// Returns: see above. Threads: any, also in callbacks. Blocks: up to push_timeout if on_full is BLOCK. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_push_bytes(
    batcher: *mut mb_batcher,
    data: *const c_void,
    length: usize,
    tag: u64,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::push(|caller| match caller.engine(batcher) {
            Ok(engine) => push_bytes(caller, engine, data, length, tag),
            Err(status) => status,
        })
    }
}

/// Pushes an object.
///
/// `owner`: its owner, which must be the batcher's. `word`: the object. `size`: its size in bytes for the byte limits, or 0.
/// Returns: see above.
/// Ownership: from success on the batcher holds one reference, which object_release gives back; a refused one is yours.
/// Threads: any, also in callbacks. Blocks: up to push_timeout if on_full is BLOCK. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_push_object(
    batcher: *mut mb_batcher,
    owner: u32,
    word: u64,
    size: u64,
    tag: u64,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::push(|caller| match caller.engine(batcher) {
            Ok(engine) => engine.push_value(
                Value::Object(Object { owner, word, size }),
                tag,
                0,
                None,
                IfFull::Wait,
            ),
            Err(status) => status,
        })
    }
}

/// Pushes any value, if need be with a deadline or as an owned push.
///
/// `options`: may be NULL. A release with a value that is neither string nor bytes is an invalid argument.
/// Returns: see above; also `MB_ERR_UNSUPPORTED` if `options` has fields this library does not know.
/// Ownership: `value` and `options` are borrowed for the call; an owned push keeps the bytes until `release`.
/// Threads: any, also in callbacks. Blocks: up to push_timeout if on_full is BLOCK. Since: 0.1.
///
/// # Safety
/// See [`super`]. The bytes of an owned push stay readable and unchanged until their release.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_push_value(
    batcher: *mut mb_batcher,
    value: *const mb_value,
    tag: u64,
    options: *const mb_push_options,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    let caller = unsafe { Caller::promised() };
    // SAFETY: as above.
    if let Some((kind, cell)) = unsafe { plain_number(value, options) } {
        let inside = |engine: &Inner| engine.push_inside(kind, cell, tag);
        if caller.engine(batcher).is_ok_and(inside) {
            return Status::OK.code();
        }
    }
    // SAFETY: as above.
    unsafe {
        guard::push(|caller| match caller.engine(batcher) {
            Ok(engine) => push_value(caller, engine, value, tag, options),
            Err(status) => status,
        })
    }
}

/// Why a value would be refused now, in words, without pushing it.
///
/// Returns: what `mb_batcher_push_value` would return without waiting; `MB_OK` if it would be taken.
/// Ownership: `value` is borrowed for the call; free the error. Threads: any, also in callbacks. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_check(
    batcher: *mut mb_batcher,
    value: *const mb_value,
    error: *mut *mut mb_error,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let check = || {
                let engine = caller
                    .engine(batcher)
                    .map_err(|status| about("batcher", status))?;
                engine.check(caller.value_at(value).map_err(|status| about("value", status))?)
            };
            check().map_err(|fault| explain(&caller.optional_output(error), fault))
        })
    }
}

/// Cancels every waiting value with this tag. Their outcome is `MB_OUTCOME_CANCELLED`, at once.
///
/// `count`: how many; may be NULL.
/// Returns: `MB_OK` if at least one was cancelled; `MB_ERR_TOO_LATE` if one is in flight and none waits; `MB_ERR_NOT_FOUND`;
/// `MB_ERR_NO_MEMORY`; `MB_ERR_INVALID_HANDLE`; `MB_ERR_FORKED`.
/// Threads: any, also in callbacks. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_cancel(batcher: *mut mb_batcher, tag: u64, count: *mut u64) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let count = caller.optional_output(count);
            count.set(0);
            count.set(caller.engine(batcher)?.cancel(tag)?);
            Ok(())
        })
    }
}

/// Waits until there is room for a value of 8 bytes, without pushing one.
///
/// `timeout`: nanoseconds, or `MB_FOREVER`; in manual mode and in callbacks of this batcher it never waits.
/// Returns: `MB_OK` if there is room now (another thread may take it); after `timeout` what is lacking:
/// `MB_ERR_QUEUE_FULL`, `MB_ERR_QUEUE_FULL_BYTES` or `MB_ERR_RESULTS_FULL`; `MB_ERR_CLOSED`;
/// `MB_ERR_INVALID_ARGUMENT` if `timeout` is negative; `MB_ERR_INVALID_HANDLE`; `MB_ERR_FORKED`.
/// Threads: any, also in callbacks. Blocks: up to `timeout`. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_room(batcher: *mut mb_batcher, timeout: i64) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let engine = caller.engine(batcher)?;
            super::batcher::timed(timeout, || engine.wait_for_room(timeout)).into_result()
        })
    }
}
