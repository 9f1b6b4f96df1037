//! Draining at process exit, for batchers that ask for it (`drain_at_exit`).

use super::batcher::Inner;
use super::error::{Error, Status};
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{Mutex, Shared, fork};

/// Batchers to drain. They stay here until they are freed.
static BATCHERS: Mutex<Vec<Shared<Inner>>> = Mutex::new(Vec::new());

/// Fork epoch of the process that set the hook, plus one; 0 before. A forked child inherits the hook, not the job.
static HOOKED: AtomicU32 = AtomicU32::new(0);

/// Notes a batcher whose leftovers `exit` is to drain.
pub(crate) fn register(engine: &Shared<Inner>) -> Result<(), Error> {
    let mut batchers = BATCHERS.lock();
    if batchers.try_reserve(1).is_err() {
        return Err(Error::bare(Status::NO_MEMORY));
    }
    // SYNC: Relaxed; the lock orders it.
    if HOOKED.load(Ordering::Relaxed) == 0 && !crate::sync::thread::at_exit(drain) {
        return Err(Error::new(
            Status::SYSTEM,
            "drain_at_exit",
            format_args!("the exit hook could not be set up: the process has no room for one more"),
        ));
    }
    // A forked child inherits the hook; it is this process's from now on.
    HOOKED.store(fork::epoch() + 1, Ordering::Relaxed);
    batchers.push(engine.clone());
    Ok(())
}

/// The batcher is being freed.
pub(crate) fn forget(engine: &Shared<Inner>) {
    if engine.limits.drain_at_exit > 0 {
        let mut batchers = BATCHERS.lock();
        batchers.retain(|other| !Shared::ptr_eq(other, engine));
    }
}

/// Runs in `exit`: closes each batcher with its own bound.
extern "C" fn drain() {
    // SYNC: Relaxed; set long before exit, and exit runs on one thread.
    if HOOKED.load(Ordering::Relaxed) != fork::epoch() + 1 {
        return;
    }
    loop {
        let Some(engine) = BATCHERS.lock().pop() else {
            return;
        };
        if !engine.is_foreign() {
            let _ = Inner::close(&engine, engine.limits.drain_at_exit);
        }
        // Its handle is the host's, who can still call; what the batcher has goes with the process.
        std::mem::forget(engine);
    }
}
