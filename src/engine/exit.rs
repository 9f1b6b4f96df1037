//! Draining at process exit, for batchers that ask for it (`drain_at_exit`).

use super::batcher::Inner;
use super::error::{Error, Status};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::fork::PerProcess;
use crate::sync::{Mutex, Shared};

/// Batchers to drain. They stay here until they are freed. A forked child has a list of its own: what its parent made it
/// does not drain, and a thread that it does not have may hold the lock of the parent's for ever.
static BATCHERS: PerProcess<Mutex<Vec<Shared<Inner>>>> = PerProcess::new();

/// The hook is set. A forked child inherits it.
static HOOKED: AtomicBool = AtomicBool::new(false);

/// Notes a batcher whose leftovers `exit` is to drain.
pub(crate) fn register(engine: &Shared<Inner>) -> Result<(), Error> {
    let no_memory = || Error::bare(Status::NO_MEMORY);
    let batchers = BATCHERS
        .get_or_make(|| Mutex::new(Vec::new()))
        .ok_or_else(no_memory)?;
    let mut batchers = batchers.lock();
    batchers.try_reserve(1).map_err(|_| no_memory())?;
    // SYNC: Relaxed; the lock orders it. A fork between the two lines has the child set the hook again, which then finds
    // nothing to drain.
    if !HOOKED.load(Ordering::Relaxed) && !crate::sync::thread::at_exit(drain) {
        return Err(Error::new(
            Status::SYSTEM,
            "drain_at_exit",
            format_args!("the exit hook could not be set up: the process has no room for one more"),
        ));
    }
    HOOKED.store(true, Ordering::Relaxed);
    batchers.push(engine.clone());
    Ok(())
}

/// The batcher is being freed.
pub(crate) fn forget(engine: &Shared<Inner>) {
    if engine.limits.drain_at_exit > 0
        && let Some(batchers) = BATCHERS.get()
    {
        let mut batchers = batchers.lock();
        batchers.retain(|other| !Shared::ptr_eq(other, engine));
    }
}

/// Runs in `exit`: closes each batcher with its own bound.
extern "C" fn drain() {
    let Some(batchers) = BATCHERS.get() else { return };
    loop {
        let Some(engine) = batchers.lock().pop() else {
            return;
        };
        if !engine.is_foreign() {
            let _ = Inner::close(&engine, engine.limits.drain_at_exit);
        }
        // Its handle is the host's, who can still call; what the batcher has goes with the process.
        std::mem::forget(engine);
    }
}
