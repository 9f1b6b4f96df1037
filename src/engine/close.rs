//! Endings: flush marks, close with its time-out, free and abandon.

use super::batcher::Inner;
use super::core::Closing;
use super::error::Status;
use super::forming::{self, FOREVER};
use super::value::Trigger;
use crate::sync::Shared;

impl Inner {
    // ---- flush -----------------------------------------------------------------------------------------------

    /// Seals what is open and answers a mark behind everything accepted so far.
    pub(crate) fn flush_begin(&self) -> Result<u64, Status> {
        if self.is_foreign() {
            return Err(Status::FORKED);
        }
        self.gate.visit(|front| {
            if front.closed {
                return Err(Status::CLOSED);
            }
            self.join_stages(front);
            let mut core = self.core.lock();
            self.seal(front, &mut core, Trigger::Flush);
            let mark = core.ledger.mark();
            core.watch_mark(mark);
            self.touch(&mut core);
            Ok(mark)
        })
    }

    /// Waits until everything before the mark is delivered.
    pub(crate) fn flush_end(engine: &Shared<Inner>, mark: u64, timeout: i64) -> Status {
        let this = &**engine;
        if this.is_foreign() {
            return Status::FORKED;
        }
        if this.core.lock().in_callback() {
            return Status::REENTRANT;
        }
        if this.is_manual() {
            this.run_due(engine);
        }
        let until = forming::after(this.monotonic(), timeout.max(0));
        let mut core = this.core.lock();
        if mark > core.ledger.mark() {
            return Status::INVALID_ARGUMENT;
        }
        loop {
            if core.ledger.reached(mark) {
                core.forget_mark(mark);
                this.touch(&mut core);
                return Status::OK;
            }
            if this.is_manual() || timeout <= 0 {
                return Status::IN_PROGRESS;
            }
            if this.monotonic() >= until {
                return Status::TIMEOUT;
            }
            core.done_waiters += 1;
            core = this.done.wait_until(core, until);
            core.done_waiters -= 1;
        }
    }

    /// Whether everything before the mark is delivered; who asks here needs no descriptor.
    pub(crate) fn flush_reached(&self, mark: u64) -> Status {
        if self.is_foreign() {
            return Status::FORKED;
        }
        let mut core = self.core.lock();
        if mark > core.ledger.mark() {
            return Status::INVALID_ARGUMENT;
        }
        core.forget_mark(mark);
        self.touch(&mut core);
        if core.ledger.reached(mark) {
            Status::OK
        } else {
            Status::IN_PROGRESS
        }
    }

    /// `flush_begin` and `flush_end` in one.
    pub(crate) fn flush(engine: &Shared<Inner>, timeout: i64) -> Status {
        if engine.is_foreign() {
            return Status::FORKED;
        }
        if engine.core.lock().in_callback() {
            return Status::REENTRANT;
        }
        let mark = match engine.flush_begin() {
            Ok(mark) => mark,
            Err(status) => return status,
        };
        let status = Inner::flush_end(engine, mark, timeout);
        if !status.is_ok() {
            // The caller has no mark to ask with.
            let mut core = engine.core.lock();
            core.forget_mark(mark);
            engine.touch(&mut core);
        }
        status
    }

    // ---- close -----------------------------------------------------------------------------------------------

    /// Stops acceptance, drains, and discards what is left at the time-out. Answers how many that were.
    pub(crate) fn close(engine: &Shared<Inner>, timeout: i64) -> (Status, u64) {
        let this = &**engine;
        if this.is_foreign() {
            return (Status::FORKED, 0);
        }
        this.begin_close(timeout);
        if this.core.lock().in_callback() {
            return (Status::IN_PROGRESS, 0);
        }
        if this.is_manual() {
            this.run_due(engine);
            let core = this.core.lock();
            return match core.close {
                Some(close) if core.drained(this.pulls_results()) => ended(close),
                _ => (Status::IN_PROGRESS, 0),
            };
        }
        this.wait_closed()
    }

    /// Takes no more and seals what is open, for good. If the time-out is over, what waits and flies is discarded under
    /// the same locks: no handler gets it any more.
    fn begin_close(&self, timeout: i64) {
        let (room, pulls, results) = self.gate.visit(|front| {
            let first = !front.closed;
            if first {
                self.join_stages(front);
                front.closed = true;
            }
            let mut core = self.core.lock();
            if first {
                self.seal(front, &mut core, Trigger::Close);
            }
            let now = self.now();
            let due = if timeout == FOREVER {
                FOREVER
            } else {
                forming::after(now, timeout.max(0))
            };
            let close = core.close.get_or_insert(Closing {
                due: FOREVER,
                discarded: false,
                left: 0,
                running: None,
            });
            close.due = close.due.min(due);
            if close.due <= now && !close.discarded {
                self.sweep_locked(front, &mut core, now);
            }
            self.touch_later(&mut core);
            // Handler threads are woken for what there is to do alone.
            let pulls = core.sleepers > 0 && self.routes.is_pulled();
            (core.room_waiters, pulls, core.result_waiters > 0)
        });
        self.pay();
        for (at, waiters) in room.into_iter().enumerate() {
            if waiters > 0 {
                self.room[at].notify_all();
            }
        }
        if pulls {
            self.work.notify_all();
        }
        if results {
            self.results.notify_all();
        }
    }

    /// Waits until a threaded batcher is drained, or its leftovers are discarded and delivered.
    fn wait_closed(&self) -> (Status, u64) {
        let mut core = self.core.lock();
        loop {
            let Some(close) = core.close else {
                return (Status::INTERNAL, 0);
            };
            if core.drained(self.pulls_results()) {
                if core.result_waiters > 0 {
                    self.results.notify_all();
                }
                return ended(close);
            }
            if close.discarded && core.delivering && close.running == Some(core.deliveries) {
                // It was running when the time-out came, and may never return.
                return (Status::TIMEOUT, close.left);
            }
            core.done_waiters += 1;
            core = self
                .done
                .wait_until(core, if close.discarded { FOREVER } else { close.due });
            core.done_waiters -= 1;
            let now = self.now();
            if core
                .close
                .is_some_and(|close| !close.discarded && close.due <= now)
            {
                drop(core);
                self.sweep(now);
                core = self.core.lock();
            }
        }
    }

    // ---- free ------------------------------------------------------------------------------------------------

    /// Closes at once, waits for callbacks in other threads, and gives everything back.
    pub(crate) fn free(engine: Shared<Inner>) -> Status {
        if engine.is_foreign() {
            // Its threads are not here, and its locks may be held by them for ever: only the handle goes.
            std::mem::forget(engine);
            return Status::OK;
        }
        if engine.core.lock().in_callback() {
            return Inner::abandon(engine);
        }
        super::exit::forget(&engine);
        engine.begin_close(0);
        if engine.is_manual() {
            engine.deliver_all(&engine);
            engine.wait_for_callbacks();
        }
        engine.stop_threads();
        engine.drop_ready();
        Status::OK
    }

    /// Free without waiting: what a running callback or a held batch uses goes when it returns or is freed.
    pub(crate) fn abandon(engine: Shared<Inner>) -> Status {
        if engine.is_foreign() {
            std::mem::forget(engine);
            return Status::OK;
        }
        super::exit::forget(&engine);
        engine.begin_close(0);
        if engine.is_manual() {
            // With a callback running, the `run` that called back delivers the rest when it returns; what held batches keep
            // goes with them.
            let alone = engine.core.lock().callbacks_run() == 0;
            if alone {
                engine.deliver_all(&engine);
            }
            engine.tell_threads_to_stop();
            if alone {
                engine.drop_ready();
            }
        } else {
            engine.detach_threads();
        }
        Status::OK
    }

    /// Another thread may be inside `run` of a manual batcher.
    fn wait_for_callbacks(&self) {
        let mut core = self.core.lock();
        while core.callbacks_run() > 0 {
            core.done_waiters += 1;
            core = self.done.wait(core);
            core.done_waiters -= 1;
        }
    }
}

fn ended(close: Closing) -> (Status, u64) {
    if close.left > 0 {
        (Status::TIMEOUT, close.left)
    } else {
        (Status::OK, 0)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The last owner: no thread is inside, so the core is reached without its lock being contended.
        if !self.is_foreign() {
            self.drop_ready();
        }
        super::batcher::LIMITS.forget(&self.limits);
    }
}

/// Where `seal` and `flush` get their trigger from.
pub(crate) const SEAL: Trigger = Trigger::Flush;
