//! Coroutines in the shape of the engine's threads.

use crate::world;
use core::ffi::c_void;

/// Stack size of an engine thread; coroutines have their own.
pub(crate) const STACK_BYTES: usize = 1 << 20;

/// What `spawn` answers where there is no memory for it.
pub(crate) const NO_MEMORY: i32 = 12;

/// What runs on a thread.
pub(crate) type Entry = extern "C-unwind" fn(*mut c_void) -> *mut c_void;

/// What runs when a thread ends with an exit hook set.
pub(crate) type ExitHook = extern "C-unwind" fn(*mut c_void);

/// Whether others share the processor is one more choice.
pub(crate) fn current_cpu() -> Option<u32> {
    Some(world::random(2) as u32)
}

/// A choice of who runs.
pub(crate) fn yield_now() {
    world::point();
}

/// A started thread. Dropping it neither joins nor detaches, and is an error of the engine.
pub(crate) struct Thread {
    /// None once it was joined or detached.
    task: Option<world::Task>,
}

/// A pointer on its way to another thread.
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
    let task = world::spawn_engine(name, move || {
        entry(arg.take());
    });
    Ok(Thread { task: Some(task) })
}

impl Thread {
    /// Waits until the thread has ended.
    pub(crate) fn join(mut self) {
        if let Some(task) = self.task.take() {
            world::ensure(world::locks() == 0, "a thread joins another with a lock held");
            task.join();
        }
    }

    /// Lets the thread end on its own. The model waits for it at its very end.
    pub(crate) fn detach(mut self) {
        if let Some(task) = self.task.take() {
            world::detach(task);
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        world::ensure(self.task.is_none(), "a thread is neither joined nor detached");
    }
}

/// A number that no other thread of the model has; not 0, a multiple of 16.
pub(crate) fn current_id() -> usize {
    (world::task() + 1) * 16
}

/// Has `hook(arg)` called when the calling thread ends, unless `clear_exit_hook` comes first.
pub(crate) fn on_exit(arg: *mut c_void, hook: ExitHook) -> Result<(), i32> {
    world::set_hook(Some((arg, hook)));
    Ok(())
}

/// Forgets the hook of the calling thread.
pub(crate) fn clear_exit_hook() {
    world::set_hook(None);
}

/// No model exits.
pub(crate) fn at_exit(_hook: extern "C" fn()) -> bool {
    true
}
