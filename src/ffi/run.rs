//! A host that drives
//!
//! In manual mode nothing happens between calls: `mb_batcher_run` does what is due. A descriptor for select, poll, epoll
//! or an event loop says when, and `mb_batcher_next_due` says it as a time. With `clock = given` time stands still until
//! `mb_batcher_advance`: for tests, and for hosts with a time of their own.
//!
//! ```c
//! int32_t fd;
//! mb_batcher_fd(batcher, &fd);
//! for (;;) {
//!     wait until fd is readable;
//!     mb_batcher_run(batcher);
//! }
//! ```

use super::guard;
use super::handle::mb_batcher;
use super::status::mb_status;
use crate::engine::batcher::Inner;
use crate::engine::error::Status;

/// Does everything that is due now: deadlines, time-outs, handlers, on_result, releases. It handles at most what was
/// accepted before the call, so that it ends even if callbacks push.
///
/// Returns: `MB_OK`; `MB_ERR_WRONG_MODE` in threaded mode; `MB_ERR_REENTRANT` in a callback of this batcher;
/// `MB_ERR_INVALID_HANDLE`; `MB_ERR_FORKED`.
/// Threads: any, not in callbacks. Blocks: never, but for what callbacks do. Calls back. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn mb_batcher_run(batcher: *mut mb_batcher) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe { guard::calling_back(batcher, |_, engine| Inner::run(engine)) }
}

/// Sets a given clock, in nanoseconds from 0. Backwards is ignored. Nothing else happens before `run`.
///
/// Returns: `MB_OK`; `MB_ERR_WRONG_MODE` unless `clock = given`; `MB_ERR_REENTRANT` in a callback of this batcher;
/// `MB_ERR_INVALID_HANDLE`; `MB_ERR_FORKED`.
/// Threads: any, not in callbacks. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_advance(batcher: *mut mb_batcher, now: i64) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe { guard::run(|caller| caller.engine(batcher)?.advance(now).into_result()) }
}

/// When `run`, `next_batch` or `next_results` will have something to do, on the batcher's clock: a time not after now if
/// there is something already, `MB_FOREVER` if nothing is in sight.
///
/// Returns: `MB_OK`; `MB_ERR_INVALID_ARGUMENT` if `due` is NULL; `MB_ERR_INVALID_HANDLE`; `MB_ERR_FORKED`.
/// Threads: any, also in callbacks. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_next_due(batcher: *mut mb_batcher, due: *mut i64) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let (engine, due) = (caller.engine(batcher)?, caller.output(due)?);
            due.set(engine.next_due()?);
            Ok(())
        })
    }
}

/// The time on the batcher's clock, in nanoseconds: what deadlines are compared with.
///
/// Returns: `MB_OK`; `MB_ERR_INVALID_ARGUMENT` if `now` is NULL; `MB_ERR_INVALID_HANDLE`; `MB_ERR_FORKED`.
/// Threads: any, also in callbacks. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_now(batcher: *mut mb_batcher, now: *mut i64) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let (engine, now) = (caller.engine(batcher)?, caller.output(now)?);
            now.set(engine.clock_now()?);
            Ok(())
        })
    }
}

/// A descriptor that is readable while there is something to do for `run`, `next_batch` or `next_results`, when the last
/// flush mark is reached, and when there is room again after a refused push. Only wait for it: do not read it.
///
/// Returns: `MB_OK`; `MB_ERR_SYSTEM` if none could be made; `MB_ERR_INVALID_ARGUMENT` if `fd` is NULL;
/// `MB_ERR_INVALID_HANDLE`; `MB_ERR_FORKED`.
/// Ownership: the descriptor is the batcher's and is closed when it is freed; the same one every time.
/// Threads: any, also in callbacks. Blocks: never. Since: 0.1.
///
/// # Safety
/// See [`super`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mb_batcher_fd(batcher: *mut mb_batcher, fd: *mut i32) -> mb_status {
    // SAFETY: the promise of this function's caller.
    unsafe {
        guard::run(|caller| {
            let (engine, fd) = (caller.engine(batcher)?, caller.output(fd)?);
            fd.set(engine.descriptor().map_err(Status::from)?);
            Ok(())
        })
    }
}
