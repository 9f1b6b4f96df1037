//! Threads of models and of the engine.

use super::{WORLD, with};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A hook for the end of a thread.
pub(super) type Hook = (*mut c_void, extern "C-unwind" fn(*mut c_void));

/// A thread to be joined.
pub struct Task<T = ()>(shuttle::thread::JoinHandle<T>);

impl<T> Task<T> {
    /// Waits for the thread, and takes what it returned.
    pub fn join(self) -> T {
        match self.0.join() {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic),
        }
    }
}

/// Waits for threads, and takes what they returned.
pub fn join<T>(tasks: impl IntoIterator<Item = Task<T>>) -> Vec<T> {
    tasks.into_iter().map(Task::join).collect()
}

/// Starts a thread of the model's.
pub fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> Task<T> {
    start(name, run)
}

fn start<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> Task<T> {
    match shuttle::thread::Builder::new().name(name.to_owned()).spawn(run) {
        Ok(handle) => Task(handle),
        Err(error) => unreachable!("shuttle starts every thread: {error}"),
    }
}

/// What a thread unwinds with that ends itself inside a callback, as `pthread_exit` does.
struct Ended;

/// Whether the calling thread is one of the engine's.
pub fn is_engine_thread() -> bool {
    let me = task();
    with(|world| world.threads.contains(&me))
}

/// Ends the calling thread, one of the engine's.
pub(crate) fn end_thread() -> ! {
    resume_unwind(Box::new(Ended))
}

pub(crate) fn spawn_engine(name: &str, run: impl FnOnce() + Send + 'static) -> Task {
    with(|world| world.alive += 1);
    start(name, move || {
        with(|world| world.threads.insert(task()));
        let ended = catch_unwind(AssertUnwindSafe(run));
        if let Err(panic) = ended
            && !panic.is::<Ended>()
        {
            resume_unwind(panic);
        }
        let hook = with(|world| world.hooks.remove(&task()));
        if let Some((arg, hook)) = hook {
            hook(arg);
        }
        let ends = with(|world| {
            world.threads.remove(&task());
            world.alive -= 1;
            world.ends.clone()
        });
        if let Some(ends) = ends {
            ends.tell_all();
        }
    })
}

pub(crate) fn detach(task: Task) {
    with(|world| world.detached.push(task));
}

pub(crate) fn set_hook(hook: Option<Hook>) {
    let me = task();
    with(|world| match hook {
        Some(hook) => world.hooks.insert(me, hook),
        None => world.hooks.remove(&me),
    });
}

/// Number of the calling thread in this model.
pub(crate) fn task() -> usize {
    shuttle::current::try_get_current_task().map_or(0, usize::from)
}

pub(crate) fn count_locks(change: i32) {
    let me = task();
    WORLD.with(|world| {
        if let Ok(mut world) = world.try_borrow_mut() {
            *world.locks.entry(me).or_default() += change;
        }
    });
}

/// Locks of the engine that the calling thread holds.
pub fn locks() -> i32 {
    let me = task();
    with(|world| world.locks.get(&me).copied().unwrap_or(0))
}
