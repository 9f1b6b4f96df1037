//! The batcher
//!
//! Made from options, fed by pushes, closed, freed. Close stops acceptance and drains; free gives everything back.

use super::error::explain;
use super::guard;
use super::handle::{Handle, mb_batcher, mb_error};
use super::host::{Birth, Host};
use super::options::{self, mb_options};
use super::status::mb_status;
use super::table::{self, Type};
use crate::engine::batcher::Inner;
use crate::engine::close::SEAL;
use crate::engine::error::{Error, Status};
use crate::sync::{Shared, try_box};

/// Makes a batcher and starts its threads, if the mode has any.
///
/// Returns: `MB_OK`; `MB_ERR_INVALID_OPTION` if options are out of range or contradict each other (the error names all of
/// them); `MB_ERR_INVALID_ARGUMENT` if `options` or `batcher` is NULL, or `struct_size` is not set; `MB_ERR_UNSUPPORTED` if
/// `options` has fields this library does not know; `MB_ERR_SYSTEM` if a thread could not be started; `MB_ERR_NO_MEMORY`.
/// Ownership: free the batcher with `mb_batcher_free`. `options` is borrowed for the call; callbacks and user data are
/// the batcher's from success on, and yours as before after a failure.
/// Threads: any, also in callbacks. Blocks: until the threads run. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_new(
    options: *const mb_options,
    batcher: *mut *mut mb_batcher,
    error: *mut *mut mb_error,
) -> mb_status {
    guard::install_hook();
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let make = || {
                let batcher = caller
                    .output(batcher)
                    .map_err(|status| options::about("batcher", status))?;
                batcher.set(mb_batcher::from_word(make(&options::read(caller, options)?)?));
                Ok(())
            };
            make().map_err(|fault| explain(&caller.optional_output(error), fault))
        })
    }
}

fn make(options: &mb_options) -> Result<u64, Error> {
    let no_memory = || Error::bare(Status::NO_MEMORY);
    let slot = table::take(Type::Batcher).ok_or_else(no_memory)?;
    let start = || {
        let birth = Shared::try_new(Birth::new()).ok_or_else(no_memory)?;
        let host = Host::new(options, birth.clone()).ok_or_else(no_memory)?;
        let routes = host.routes(options.pull_handlers)?;
        let engine = Inner::start(&options.numbers(), routes, try_box(host).ok_or_else(no_memory)?)?;
        Ok((birth, engine))
    };
    match start() {
        Ok((birth, engine)) => {
            let word = slot.publish(Shared::into_raw(engine).as_ptr().cast(), 0, 0);
            birth.announce(word);
            Ok(word)
        }
        Err(error) => {
            slot.give_back();
            Err(error)
        }
    }
}

/// Seals the open batch, whatever it holds, and does not wait for anything.
///
/// Returns: `MB_OK`, also if there is no open batch; `MB_ERR_CLOSED`; `MB_ERR_INVALID_HANDLE`; `MB_ERR_FORKED`.
/// Threads: any, also in callbacks. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_seal(batcher: *mut mb_batcher) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe { guard::run(|caller| caller.engine(batcher)?.seal_now(SEAL).into_result()) }
}

/// Seals and waits until every value accepted before the call is delivered: its on_result has returned, `next_results` has
/// handed it out, or it is counted. In manual mode it does what `mb_batcher_run` does and never waits.
///
/// `timeout`: nanoseconds, or `MB_FOREVER`.
/// Returns: `MB_OK`; `MB_ERR_TIMEOUT`; `MB_ERR_IN_PROGRESS` in manual mode, or with time-out 0, if something is left;
/// `MB_ERR_CLOSED`; `MB_ERR_REENTRANT` in a callback of this batcher; `MB_ERR_INVALID_ARGUMENT` if `timeout` is negative;
/// `MB_ERR_INVALID_HANDLE`; `MB_ERR_FORKED`.
/// Threads: any, not in callbacks. Blocks: up to `timeout` in threaded mode. Calls back in manual mode. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn mb_batcher_flush(batcher: *mut mb_batcher, timeout: i64) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::calling_back(batcher, |_, engine| {
            timed(timeout, || Inner::flush(engine, timeout))
        })
    }
}

/// The first half of a flush: seals and answers a mark behind everything accepted so far. The descriptor of
/// `mb_batcher_fd` fires when all before the last mark is delivered.
///
/// Returns: `MB_OK`; `MB_ERR_CLOSED`; `MB_ERR_INVALID_ARGUMENT` if `mark` is NULL; `MB_ERR_INVALID_HANDLE`; `MB_ERR_FORKED`.
/// Threads: any, also in callbacks. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_flush_begin(batcher: *mut mb_batcher, mark: *mut u64) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let (engine, mark) = (caller.engine(batcher)?, caller.output(mark)?);
            mark.set(engine.flush_begin()?);
            Ok(())
        })
    }
}

/// The second half: waits until everything before the mark is delivered.
///
/// Returns: `MB_OK`; `MB_ERR_TIMEOUT`; `MB_ERR_IN_PROGRESS` in manual mode, or with time-out 0, if something is left;
/// `MB_ERR_REENTRANT` in a callback of this batcher; `MB_ERR_INVALID_ARGUMENT` if `timeout` is negative or `mark` was never
/// given out; `MB_ERR_INVALID_HANDLE`; `MB_ERR_FORKED`. A closed batcher answers as any other.
/// Threads: any, not in callbacks. Blocks: up to `timeout` in threaded mode. Calls back in manual mode. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn mb_batcher_flush_end(
    batcher: *mut mb_batcher,
    mark: u64,
    timeout: i64,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::calling_back(batcher, |_, engine| {
            timed(timeout, || Inner::flush_end(engine, mark, timeout))
        })
    }
}

/// Whether everything before the mark is delivered. It does nothing else: for those who share a batcher that only its owner
/// may drive. The descriptor no longer fires for this mark.
///
/// Returns: `MB_OK`; `MB_ERR_IN_PROGRESS`; `MB_ERR_INVALID_ARGUMENT` if `mark` was never given out; `MB_ERR_INVALID_HANDLE`;
/// `MB_ERR_FORKED`. A closed batcher answers as any other.
/// Threads: any, also in callbacks. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_flush_reached(batcher: *mut mb_batcher, mark: u64) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe { guard::run(|caller| caller.engine(batcher)?.flush_reached(mark).into_result()) }
}

/// Stops acceptance at once, waits until all values have their outcome and all results are delivered, and discards
/// what is left when the time-out comes. Time-out 0 discards at once. Closing again waits too, and may bring the
/// time-out forward. In manual mode it does what `mb_batcher_run` does and never waits; the time-out goes on under `run`.
///
/// `timeout`: nanoseconds, or `MB_FOREVER`. `left`: how many values were discarded; may be NULL.
/// Returns: `MB_OK` if none was discarded; `MB_ERR_TIMEOUT` if some were, or an on_result was still running at the time-out; `MB_ERR_IN_PROGRESS` in a callback of this batcher,
/// or in manual mode if something is left: call again to ask; `MB_ERR_INVALID_ARGUMENT` if `timeout` is negative;
/// `MB_ERR_INVALID_HANDLE`; `MB_ERR_FORKED`.
/// Threads: any, also in callbacks. Blocks: up to `timeout` in threaded mode. Calls back in manual mode. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn mb_batcher_close(
    batcher: *mut mb_batcher,
    timeout: i64,
    left: *mut u64,
) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe { guard::count(left, 0) };
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::calling_back(batcher, |caller, engine| {
            timed(timeout, || {
                let (status, discarded) = Inner::close(engine, timeout);
                caller.optional_output(left).set(discarded);
                status
            })
        })
    }
}

/// Closes with time-out 0, waits for callbacks that run in other threads, and gives everything back: threads,
/// descriptors and memory. In a callback of this batcher it is `mb_batcher_abandon`. Batches and results that somebody
/// holds keep their memory until they are freed. NULL is fine.
///
/// Returns: `MB_OK`; `MB_ERR_INVALID_HANDLE`, also if another thread is freeing it; in a forked child, where the threads are
/// not, the handle is freed and `MB_OK` or `MB_ERR_FORKED` answered.
/// Ownership: takes the batcher. Inside the callbacks that free runs the handle is good still, and if one of them ends
/// the thread it stays good: the batcher is closed, and to be freed again.
/// Threads: any; no other thread may be in a call with this handle. Blocks: until running callbacks return. Calls back
/// in manual mode. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn mb_batcher_free(batcher: *mut mb_batcher) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe { guard::ending(batcher, Inner::free) }
}

/// Free without waiting: outstanding values are discarded, and what a running callback uses goes when it returns. NULL is
/// fine.
///
/// Returns: as `mb_batcher_free`.
/// Ownership: takes the batcher. Threads: any, also in callbacks; no other thread may be in a call with this handle.
/// Blocks: never. Calls back in manual mode, unless in a callback. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn mb_batcher_abandon(batcher: *mut mb_batcher) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe { guard::ending(batcher, Inner::abandon) }
}

/// A wait that is not negative.
pub(crate) fn timed(timeout: i64, wait: impl FnOnce() -> Status) -> Status {
    if timeout < 0 {
        Status::INVALID_ARGUMENT
    } else {
        wait()
    }
}
