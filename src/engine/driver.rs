//! Who drives the steps: the library's threads, and hosts for the time of a call.

use super::batcher::{Inner, LOG_ERROR};
use super::error::Status;
use super::ready::Ready;
use super::step::{Record, Role, Step};
use crate::sync::{Shared, thread};
use std::ffi::c_void;

impl Inner {
    /// A thread ended inside a callback: what it held gets an outcome, and another thread takes its place.
    pub(super) fn thread_ended(&self, engine: &Shared<Inner>, record: &mut Record) {
        self.callbacks.thread_left();
        // It takes no further step, whatever it was.
        let role = std::mem::replace(&mut record.role, Role::Time);
        self.callbacks
            .log(LOG_ERROR, "an engine thread ended inside a callback");
        if record.part.is_some() {
            if let Some(part) = &record.part
                && !part.is_kept()
            {
                let reason = super::results::Reason::bare(Status::THREAD_ENDED);
                let ending = super::settled::Ending::Failed(reason, super::value::Handled::Maybe);
                part.complete_early(ending);
            }
            if let Some(part) = record.part.take() {
                let mut core = self.core.lock();
                core.leave_callback();
                self.end_handler(&mut core, part, self.now());
                self.touch(&mut core);
            }
        }
        if record.set.is_some() {
            self.end_deliver(record);
        }
        if let Some(releases) = record.releases.take() {
            let mut core = self.core.lock();
            core.ready.push_front(Ready::Releases(releases));
            self.end_delivery(&mut core);
        }
        let needed = {
            let core = self.core.lock();
            let over = core.stop && core.ready.is_empty();
            !over && !matches!(role, Role::Host { .. })
        };
        if needed {
            let made = Inner::spawn(engine, role == Role::Worker);
            if made.is_err() {
                self.callbacks
                    .log(LOG_ERROR, "no thread could be made in its place");
            }
        }
        self.core.lock().drivers -= 1;
    }

    pub(super) fn drive(&self, engine: &Shared<Inner>, record: &mut Record) {
        loop {
            match self.contained(Step::End, || self.next_step(engine, record)) {
                Step::End => {}
                step => {
                    self.call(record, step);
                    continue;
                }
            }
            let mut core = self.core.lock();
            // The last to drive looks once more: after the count it runs no callback.
            if core.stop && core.drivers == 1 && self.can_deliver(&core) {
                continue;
            }
            core.drivers -= 1;
            return;
        }
    }

    /// Drives as a host: a thread of the host's that ends inside a callback leaves word of what it held, too.
    pub(super) fn drive_as_host(&self, engine: &Shared<Inner>, limit: u64) {
        struct Visit<'a> {
            engine: &'a Shared<Inner>,
            record: Record,
        }
        impl Drop for Visit<'_> {
            fn drop(&mut self) {
                let record = &mut self.record;
                if record.part.is_some() || record.set.is_some() || record.releases.is_some() {
                    self.engine.thread_ended(self.engine, record);
                }
            }
        }
        let mut visit = Visit {
            engine,
            record: Record::new(Role::Host { limit }),
        };
        self.core.lock().drivers += 1;
        self.drive(engine, &mut visit.record);
    }

    /// Delivers what is ready on the calling thread, whatever the mode: for the end of a manual batcher.
    pub(crate) fn deliver_all(&self, engine: &Shared<Inner>) {
        if !self.core.lock().reserve_caller() {
            return;
        }
        self.drive_as_host(engine, 0);
    }
}

/// What an engine thread owns: its count of the engine, and its record.
pub(super) struct Seat {
    pub(super) engine: Shared<Inner>,
    pub(super) record: Record,
}

impl Seat {
    /// None if memory ran out.
    pub(super) fn new(engine: &Shared<Inner>, role: Role) -> Option<Box<Seat>> {
        let (engine, record) = (engine.clone(), Record::new(role));
        crate::sync::try_box(Seat { engine, record })
    }
}

/// An engine thread. `seat` is a leaked box of its own.
pub(super) extern "C-unwind" fn thread_main(seat: *mut c_void) -> *mut c_void {
    let seat = seat.cast::<Seat>();
    // Without the hook a thread that ends in a callback goes unnoticed; nothing else is lost with it.
    let _ = thread::on_exit(seat.cast(), seat_left);
    // SAFETY: `spawn` leaked this box for this thread. It is taken back below, or by `seat_left` if this thread
    // ends in a callback.
    let held = unsafe { &mut *seat };
    held.engine.drive(&held.engine, &mut held.record);
    thread::clear_exit_hook();
    // SAFETY: the box is this thread's, the hook is cleared, and `held` is not used any more.
    drop(unsafe { Box::from_raw(seat) });
    std::ptr::null_mut()
}

/// The thread ended inside a callback.
extern "C-unwind" fn seat_left(seat: *mut c_void) {
    // SAFETY: `thread_main` leaked this box for this thread and did not come to take it back.
    let mut seat = unsafe { Box::from_raw(seat.cast::<Seat>()) };
    let engine = seat.engine.clone();
    engine.thread_ended(&engine, &mut seat.record);
}
