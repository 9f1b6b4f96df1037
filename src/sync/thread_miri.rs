//! What Miri runs in place of `thread.rs`: std's threads.
//!
//! Miri knows nothing of thread attributes, signal masks, cancellation and `prctl`, which `thread.rs` is about. Everything
//! above it is the product's code, and sees the same functions.

use core::cell::Cell;
use core::ffi::c_void;

pub(crate) const STACK_BYTES: usize = 1 << 20;

/// What `spawn` answers where there is no memory for it.
pub(crate) const NO_MEMORY: i32 = libc::ENOMEM;

pub(crate) type Entry = extern "C-unwind" fn(*mut c_void) -> *mut c_void;

pub(crate) type ExitHook = extern "C-unwind" fn(*mut c_void);

pub(crate) use std::thread::yield_now;

/// Miri has no processors.
pub(crate) fn current_cpu() -> Option<u32> {
    None
}

/// A started thread, joined or detached once.
#[must_use = "a thread is joined or detached"]
pub(crate) struct Thread(std::thread::JoinHandle<()>);

/// A pointer on its way to the thread that it is for.
struct Given(*mut c_void);

// SAFETY: whoever spawns gives what the pointer leads to away to the new thread.
unsafe impl Send for Given {}

impl Given {
    fn take(self) -> *mut c_void {
        self.0
    }
}

/// Starts a thread that runs `entry(arg)`.
pub(crate) fn spawn(name: &str, _stack: usize, entry: Entry, arg: *mut c_void) -> Result<Thread, i32> {
    let arg = Given(arg);
    let run = move || {
        entry(arg.take());
    };
    match std::thread::Builder::new().name(name.to_owned()).spawn(run) {
        Ok(handle) => Ok(Thread(handle)),
        Err(_) => Err(libc::EAGAIN),
    }
}

impl Thread {
    /// Waits until the thread has ended.
    pub(crate) fn join(self) {
        let _ = self.0.join();
    }

    /// Lets the thread end on its own.
    pub(crate) fn detach(self) {
        drop(self.0);
    }
}

/// What a thread has of its own; the hook runs when it ends.
#[repr(align(16))]
struct Own {
    hook: Cell<Option<(ExitHook, *mut c_void)>>,
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some((hook, arg)) = self.hook.take() {
            hook(arg);
        }
    }
}

thread_local! {
    static OWN: Own = const { Own { hook: Cell::new(None) } };
    /// Without a destructor, so that it is there until the very end.
    static PLACE: Cell<u128> = const { Cell::new(0) };
}

/// A number that no other living thread has; not 0, a multiple of 16.
pub(crate) fn current_id() -> usize {
    PLACE.with(|place| core::ptr::from_ref(place).addr())
}

/// Has `hook(arg)` called when the calling thread ends, unless `clear_exit_hook` comes first.
pub(crate) fn on_exit(arg: *mut c_void, hook: ExitHook) -> Result<(), i32> {
    OWN.with(|own| own.hook.set(Some((hook, arg))));
    Ok(())
}

/// Forgets the hook of the calling thread.
pub(crate) fn clear_exit_hook() {
    OWN.with(|own| own.hook.set(None));
}

/// No exit hook runs under Miri.
pub(crate) fn at_exit(_hook: extern "C" fn()) -> bool {
    true
}
