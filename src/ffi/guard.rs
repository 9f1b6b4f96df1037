//! The panic guard around every exported function, and the hook that keeps a caught panic off the host's stderr.
//!
//! A panic inside the library is a bug in it. The guard turns it into `MB_ERR_INTERNAL`, so that the host lives
//! on; the hook keeps the message from a terminal that is not ours.
//!
//! Three guards: [`run`] for most functions; [`push`] for those that must not cost a nanosecond more than the
//! engine, which does not tell the hook; and [`calling_back`] for those that run the host's callbacks on the
//! calling thread. There a `pthread_exit` inside the callback unwinds this stack with an exception that is not
//! Rust's, and `catch_unwind` would abort the process when it passes. So such a call is not wrapped as a whole:
//! the engine contains the panics of its own pieces between the callbacks, and what frames of this module hold
//! while a callback runs is right to be dropped by unwinding.

use super::caller::Caller;
use super::handle::mb_batcher;
use super::status::mb_status;
use super::table::{FREEING, Slot};
use crate::engine::batcher::Inner;
use crate::engine::error::Status;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Shared, try_box};
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};

thread_local! {
    /// Guards of this thread that a panic would end in. No destructor: threads of the host come and go.
    static INSIDE: Cell<u32> = const { Cell::new(0) };
}

/// Runs a body that answers with a status; a panic in it answers INTERNAL.
///
/// # Safety
/// The calling exported function's caller keeps the rules of [`super`]: what `Caller` is a token of.
pub(crate) unsafe fn run(body: impl FnOnce(&Caller) -> Result<(), Status>) -> mb_status {
    let internal = Status::INTERNAL.code();
    // SAFETY: passed on.
    unsafe { value(internal, |caller| answer(body(caller))) }
}

/// Runs a body that answers with anything; a panic in it answers `otherwise`.
///
/// # Safety
/// As for [`run`].
pub(crate) unsafe fn value<T>(otherwise: T, body: impl FnOnce(&Caller) -> T) -> T {
    // SAFETY: passed on.
    let caller = unsafe { Caller::promised() };
    INSIDE.set(INSIDE.get() + 1);
    let answer = catch_unwind(AssertUnwindSafe(|| body(&caller)));
    INSIDE.set(INSIDE.get() - 1);
    answer.unwrap_or_else(|panic| {
        // Dropping a payload could panic in turn; it is a few bytes, once, of a bug.
        std::mem::forget(panic);
        otherwise
    })
}

/// [`run`] without word to the hook: thread-local storage costs as much as the push.
///
/// # Safety
/// As for [`run`].
#[inline(always)]
pub(crate) unsafe fn push(body: impl FnOnce(&Caller) -> Status) -> mb_status {
    // SAFETY: passed on.
    let caller = unsafe { Caller::promised() };
    match catch_unwind(AssertUnwindSafe(|| body(&caller))) {
        Ok(status) => status.code(),
        Err(panic) => {
            std::mem::forget(panic);
            Status::INTERNAL.code()
        }
    }
}

/// Writes a count, which is written also when the call fails. NULL is fine.
///
/// # Safety
/// As for [`run`].
pub(crate) unsafe fn count(to: *mut u64, count: u64) {
    // SAFETY: passed on.
    unsafe { Caller::promised() }.optional_output(to).set(count);
}

/// Runs a body that may call the host back on this thread: see the head of this file. In threaded mode no
/// callback runs on a thread of the host, and the body is guarded whole.
///
/// # Safety
/// As for [`run`].
pub(crate) unsafe fn calling_back(
    batcher: *mut mb_batcher,
    body: impl FnOnce(&Caller, &Shared<Inner>) -> Status,
) -> mb_status {
    // SAFETY: passed on.
    let caller = unsafe { Caller::promised() };
    let Ok(engine) = caller.shared_engine(batcher) else {
        return Status::INVALID_HANDLE.code();
    };
    if !engine.is_manual() {
        // SAFETY: passed on.
        return unsafe { value(Status::INTERNAL.code(), |caller| body(caller, &engine).code()) };
    }
    // A callback may free the batcher: this call needs a count of its own. If the thread ends in there, unwinding
    // drops it, as it drops the engine's own record of the call.
    let engine = Shared::clone(&engine);
    body(&caller, &engine).code()
}

/// Runs what ends a batcher, which may call the host back on this thread, and then ends its handle. Until then the
/// handle is good, for the callbacks that run meanwhile.
///
/// # Safety
/// As for [`run`].
pub(crate) unsafe fn ending(batcher: *mut mb_batcher, end: fn(Shared<Inner>) -> Status) -> mb_status {
    if batcher.is_null() {
        return Status::OK.code();
    }
    // SAFETY: passed on.
    let caller = unsafe { Caller::promised() };
    let (Ok(slot), Ok(engine)) = (caller.slot(batcher), caller.shared_engine(batcher)) else {
        return Status::INVALID_HANDLE.code();
    };
    if !slot.set(FREEING) {
        return Status::INVALID_HANDLE.code();
    }
    let unfinished = Unfinished(slot);
    let own = Shared::clone(&engine);
    let status = if engine.is_manual() {
        end(own).code()
    } else {
        // SAFETY: passed on.
        unsafe { value(Status::INTERNAL.code(), |_| end(own).code()) }
    };
    std::mem::forget(unfinished);
    if slot.retire(batcher.addr() as u64) {
        slot.give_back();
        // The handle's own count, often the last: user data is released here.
        drop(ManuallyDrop::into_inner(engine));
    }
    status
}

/// The thread ended in a callback of what was to end a batcher: the handle is good still, and somebody else may end it.
struct Unfinished(&'static Slot);

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.unset(FREEING);
    }
}

/// What `calling_back` borrows the engine as: the count stays the handle's.
pub(crate) type Borrowed = ManuallyDrop<Shared<Inner>>;

fn answer(result: Result<(), Status>) -> mb_status {
    match result {
        Ok(()) => Status::OK.code(),
        Err(status) => status.code(),
    }
}

/// Has panics of this library go unprinted from now on; other panics go to the hook that was there before.
pub(crate) fn install_hook() {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    // SYNC: Relaxed; only one thread gets `false`. No lock: one could be left held by a fork.
    if std::thread::panicking() || INSTALLED.swap(true, Ordering::Relaxed) {
        return;
    }
    let before = take_hook();
    let Some(hook) = try_box(move |info: &PanicHookInfo<'_>| {
        if !is_ours(info) {
            before(info);
        }
    }) else {
        // `before` went with the closure: std's own hook is in place again.
        return;
    };
    set_hook(hook);
}

/// Whether the panic is one of this library's: it ends in a guard, or was raised in one of its source files (on
/// an engine thread, or in a push). In this crate's own tests only the first counts: their failures are to be
/// seen.
fn is_ours(info: &PanicHookInfo<'_>) -> bool {
    INSIDE.get() > 0 || (!cfg!(test) && info.location().is_some_and(|at| in_sources(at.file())))
}

/// Whether a file is one of `src/engine`, `src/ffi` and `src/sync`, wherever the crate was built.
fn in_sources(file: &str) -> bool {
    let Some(root) = file!().strip_suffix("ffi/guard.rs") else {
        return false;
    };
    let layers = ["engine/", "ffi/", "sync/"];
    file.strip_prefix(root)
        .is_some_and(|rest| layers.iter().any(|layer| rest.starts_with(layer)))
}

#[cfg(test)]
#[allow(clippy::panic, reason = "the guard is there to catch one")]
mod tests {
    use super::*;

    #[test]
    fn p30_a_panic_becomes_internal_and_prints_nothing() {
        install_hook();
        // SAFETY: the bodies use no pointer.
        let status = unsafe { run(|_| panic!("on purpose, and never to be seen")) };
        assert_eq!(status, Status::INTERNAL.code());
        // SAFETY: as above.
        let inner = || unsafe { run(|_| panic!("nor this")) };
        // SAFETY: as above.
        let nested = unsafe { run(|_| Err(Status::from_code(inner()))) };
        assert_eq!(nested, Status::INTERNAL.code());
        assert_eq!(INSIDE.get(), 0);
        // SAFETY: as above.
        assert_eq!(unsafe { push(|_| Status::CLOSED) }, Status::CLOSED.code());
    }

    #[test]
    fn p30_the_library_knows_its_own_files() {
        assert!(in_sources(file!()));
        assert!(in_sources(&file!().replace("ffi/guard.rs", "engine/queue.rs")));
        assert!(!in_sources("/elsewhere/src/ffi/guard.rs"));
        assert!(!in_sources(
            &file!().replace("src/ffi/guard.rs", "examples/quickstart/main.rs")
        ));
    }
}
