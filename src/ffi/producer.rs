//! Producers
//!
//! A producer is a way into a batcher for one thread. Values pushed through it keep their order; that among several
//! producers, and between them and the batcher's own pushes, is given up for speed. Its pushes return, take and block as
//! the batcher's do.

use super::caller::Caller;
use super::guard;
use super::handle::{Handle, mb_batcher, mb_producer};
use super::push::{Taker, mb_push_options, plain_number, push_bool, push_bytes, push_text, push_value};
use super::status::mb_status;
use super::table::{self, Type};
use super::value::mb_value;
use crate::engine::batcher::Inner;
use crate::engine::error::Status;
use crate::engine::producer::Producer;
use crate::engine::push::IfFull;
use crate::engine::release::Release;
use crate::engine::value::{Kind, Object, Value};
use crate::sync::{Shared, try_box};
use std::ffi::{c_char, c_void};

/// What a producer's handle stands for.
pub(crate) struct Producing {
    producer: Producer,
    engine: Shared<Inner>,
}

impl Taker for Producing {
    #[inline(always)]
    fn take_cell(&self, kind: Kind, cell: u64, tag: u64) -> Status {
        self.producer.push_cell(kind, cell, tag, IfFull::Wait)
    }

    #[inline(always)]
    fn take_number(&self, kind: Kind, cell: u64, tag: u64, if_full: IfFull) -> Status {
        self.producer.push_cell(kind, cell, tag, if_full)
    }

    #[inline(always)]
    fn take_text(&self, kind: Kind, text: &[u8], tag: u64) -> Status {
        self.producer.push_text(kind, text, tag, IfFull::Wait)
    }

    fn take_value(
        &self,
        value: Value<'_>,
        tag: u64,
        deadline: i64,
        owned: Option<Release>,
        if_full: IfFull,
    ) -> Status {
        self.producer.push_value(value, tag, deadline, owned, if_full)
    }

    fn refuse(&self, status: Status) -> Status {
        self.engine.count_refused(status)
    }
}

/// Makes a producer.
///
/// Returns: `MB_OK`; `MB_ERR_INVALID_ARGUMENT` if `producer` is NULL; `MB_ERR_NO_MEMORY`; `MB_ERR_INVALID_HANDLE`;
/// `MB_ERR_FORKED`.
/// Ownership: free it with `mb_producer_free`, before or after the batcher. Threads: any. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_producer_new(
    batcher: *mut mb_batcher,
    producer: *mut *mut mb_producer,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let (engine, producer) = (caller.shared_engine(batcher)?, caller.output(producer)?);
            let producing = Producing {
                producer: Producer::new(&engine)?,
                engine: Shared::clone(&engine),
            };
            let made = try_box(producing).ok_or(Status::NO_MEMORY)?;
            let slot = table::take(Type::Producer).ok_or(Status::NO_MEMORY)?;
            let word = slot.publish(Box::into_raw(made).cast(), 0, 0);
            producer.set(mb_producer::from_word(word));
            Ok(())
        })
    }
}

/// Frees a producer; what it pushed goes its way. NULL is fine.
///
/// Returns: `MB_OK`; `MB_ERR_INVALID_HANDLE`.
/// Ownership: takes the producer. Threads: any; no thread may be in a call with it. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_producer_free(producer: *mut mb_producer) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            if producer.is_null() {
                return Ok(());
            }
            caller.take(producer).map(drop).ok_or(Status::INVALID_HANDLE)
        })
    }
}

/// Pushes null through a producer: see `mb_batcher_push_null`.
///
/// Threads: one at a time. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_producer_push_null(producer: *mut mb_producer, tag: u64) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::push(|caller| match caller.object(producer) {
            Ok(producer) => producer.take_cell(Kind::Null, 0, tag),
            Err(status) => status,
        })
    }
}

/// Pushes a bool through a producer: see `mb_batcher_push_bool`.
///
/// Threads: one at a time. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_producer_push_bool(
    producer: *mut mb_producer,
    value: i32,
    tag: u64,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::push(|caller| match caller.object(producer) {
            Ok(producer) => push_bool(producer, value, tag),
            Err(status) => status,
        })
    }
}

/// Pushes a value of 8 bytes, with all questions asked: see the batcher's.
///
/// # Safety
/// As for [`guard::run`].
#[inline(never)]
unsafe extern "C" fn push_cell_asking(
    producer: *mut mb_producer,
    kind: Kind,
    cell: u64,
    tag: u64,
) -> mb_status {
    // SAFETY: passed on.
    unsafe {
        guard::push(|caller| match caller.object(producer) {
            Ok(producer) => producer.producer.push_cell_asking(kind, cell, tag, IfFull::Wait),
            Err(status) => status,
        })
    }
}

/// Pushes an integer through a producer: see `mb_batcher_push_int64`.
///
/// Threads: one at a time. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_producer_push_int64(
    producer: *mut mb_producer,
    value: i64,
    tag: u64,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    let caller = unsafe { Caller::promised() };
    let inside = |producer: &Producing| producer.producer.push_inside(Kind::Int64, value as u64, tag);
    if caller.object(producer).is_ok_and(inside) {
        return Status::OK.code();
    }
    // SAFETY: as above.
    unsafe { push_cell_asking(producer, Kind::Int64, value as u64, tag) }
}

/// Pushes a floating-point number through a producer: see `mb_batcher_push_float64`.
///
/// Threads: one at a time. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_producer_push_float64(
    producer: *mut mb_producer,
    value: f64,
    tag: u64,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    let caller = unsafe { Caller::promised() };
    let inside = |producer: &Producing| producer.producer.push_inside(Kind::Float64, value.to_bits(), tag);
    if caller.object(producer).is_ok_and(inside) {
        return Status::OK.code();
    }
    // SAFETY: as above.
    unsafe { push_cell_asking(producer, Kind::Float64, value.to_bits(), tag) }
}

/// Pushes a string through a producer: see `mb_batcher_push_string`.
///
/// Threads: one at a time. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_producer_push_string(
    producer: *mut mb_producer,
    data: *const c_char,
    length: usize,
    tag: u64,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::push(|caller| match caller.object(producer) {
            Ok(producer) => push_text(caller, producer, data, length, tag),
            Err(status) => status,
        })
    }
}

/// Pushes bytes through a producer: see `mb_batcher_push_bytes`.
///
/// Threads: one at a time. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_producer_push_bytes(
    producer: *mut mb_producer,
    data: *const c_void,
    length: usize,
    tag: u64,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::push(|caller| match caller.object(producer) {
            Ok(producer) => push_bytes(caller, producer, data, length, tag),
            Err(status) => status,
        })
    }
}

/// Pushes an object through a producer: see `mb_batcher_push_object`.
///
/// Threads: one at a time. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_producer_push_object(
    producer: *mut mb_producer,
    owner: u32,
    word: u64,
    size: u64,
    tag: u64,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::push(|caller| match caller.object(producer) {
            Ok(producer) => producer.take_value(
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

/// Pushes any value through a producer: see `mb_batcher_push_value`.
///
/// Threads: one at a time. Since: 0.1.
///
/// # Safety
/// See [`super`]. The bytes of an owned push stay readable and unchanged until their release.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_producer_push_value(
    producer: *mut mb_producer,
    value: *const mb_value,
    tag: u64,
    options: *const mb_push_options,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    let caller = unsafe { Caller::promised() };
    // SAFETY: as above.
    if let Some((kind, cell)) = unsafe { plain_number(value, options) } {
        let inside = |producer: &Producing| producer.producer.push_inside(kind, cell, tag);
        if caller.object(producer).is_ok_and(inside) {
            return Status::OK.code();
        }
    }
    // SAFETY: as above.
    unsafe {
        guard::push(|caller| match caller.object(producer) {
            Ok(producer) => push_value(caller, producer, value, tag, options),
            Err(status) => status,
        })
    }
}
