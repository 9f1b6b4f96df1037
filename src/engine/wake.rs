//! Who is told what and when - sleepers, the time thread, closers - and what time brings due.

use super::batcher::{IDLE_TRIM, Inner};
use super::core::Core;
use super::forming::{self, FOREVER};
use super::front::Front;
use super::ready::Ready;
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;
use crate::sync::thread;

/// How long a thread that has to wait looks out before it sleeps.
pub(super) const SPIN_NS: i64 = 20_000;
/// Looks between two readings of the clock, and pauses between two looks.
const SPIN_LOOKS: u32 = 8;
const SPIN_PAUSES: u32 = 16;

/// Owed wakes: how many handler threads, in the low bits, and whether the others.
const WORKER: u32 = 1;
const WORKERS: u32 = ROOM - 1;
/// One push that waits for this kind of room: the bit of Room::Queue, and the next for Room::Results.
pub(super) const ROOM: u32 = 1 << 24;
const TIME: u32 = 1 << 26;

impl Inner {
    // ---- telling those who wait ------------------------------------------------------------------------------

    /// Looks until `found`, or until `until`: tight polling would steal the line from whoever writes it.
    pub(super) fn look_out(&self, until: i64, between: impl Fn(), found: impl Fn() -> bool) -> bool {
        while self.monotonic() < until {
            for _ in 0..SPIN_LOOKS {
                for _ in 0..SPIN_PAUSES {
                    std::hint::spin_loop();
                }
                if found() {
                    return true;
                }
            }
            between();
        }
        false
    }

    /// Owes a wake to a handler thread that sleeps.
    fn owe_worker(&self, core: &mut Core) {
        core.waking += 1;
        // SYNC: Relaxed; see `pay`.
        self.wakes.fetch_add(WORKER, Ordering::Relaxed);
    }

    /// Owes a wake to the time threads that sleep.
    pub(super) fn owe_time(&self) {
        // SYNC: Relaxed; see `pay`.
        self.wakes.fetch_or(TIME, Ordering::Relaxed);
    }

    /// Pays the wakes that are owed. A wake is a system call of microseconds, and whoever it wakes wants the core lock
    /// and the gate first thing: whoever owes one pays it once it has left both.
    #[inline]
    pub(crate) fn pay(&self) {
        // SYNC: Relaxed; what this thread owes it sees, what others owe they pay. What the woken look at, they look
        // at under the core lock.
        if self.wakes.load(Ordering::Relaxed) != 0 {
            self.pay_now();
        }
    }

    #[cold]
    #[inline(never)]
    fn pay_now(&self) {
        // SYNC: Relaxed; as in `pay`. Whoever takes a wake out pays it.
        let owed = self.wakes.swap(0, Ordering::Relaxed);
        for _ in 0..owed & WORKERS {
            self.work.notify_one();
        }
        for (at, room) in self.room.iter().enumerate() {
            if owed & (ROOM << at) != 0 {
                room.notify_one();
            }
        }
        if owed & TIME != 0 {
            self.time.notify_all();
        }
    }

    /// Called with the core lock after every change: wakes whoever has something to do now.
    pub(crate) fn touch(&self, core: &mut Core) {
        self.touch_later(core);
        self.pay();
    }

    /// `touch` for those who will `pay` when they have left the locks.
    pub(crate) fn touch_later(&self, core: &mut Core) {
        let deliver = self.can_deliver(core) && !self.wake_deliverer(core);
        self.tell(core, deliver);
    }

    /// Something is ready and nobody delivers.
    pub(super) fn can_deliver(&self, core: &Core) -> bool {
        let waits = |ready: &Ready| !self.pulls_results() || matches!(ready, Ready::Releases(_));
        !core.delivering && core.ready.iter().any(waits)
    }

    /// An idle handler thread delivers, so that the time thread can go on looking at the clock.
    pub(super) fn wake_deliverer(&self, core: &mut Core) -> bool {
        if self.routes.is_pulled() {
            return false;
        }
        if core.spin.spinners > 0 {
            // SYNC: Release pairs with the load in `spin`.
            self.hint.fetch_add(1, Ordering::Release);
            return true;
        }
        if core.sleepers > core.waking {
            self.owe_worker(core);
        }
        // One that is waking looks at what is ready before anything else.
        core.waking > 0
    }

    /// `touch_later` for a thread that takes its next step at once: it delivers what is ready itself.
    pub(super) fn touch_between_steps(&self, core: &mut Core) {
        self.tell(core, false);
    }

    pub(super) fn tell(&self, core: &mut Core, deliver: bool) {
        self.wake_sleeper(core);
        if core.closing() {
            self.tell_closers(core);
        }
        if core.time_sleeps {
            let due = self.next_time_event(core);
            if due < core.time_due || deliver || core.stop {
                core.time_sleeps = false;
                self.owe_time();
            }
        }
        self.hand_time_over(core);
        // While a host drives, what it is about to do keeps the descriptor firing: between its steps work is announced but
        // not taken back, which would cost two system calls a batch.
        let driven = self.is_manual() && core.drivers > 0 && core.fd_due == Some(i64::MIN);
        if core.fd.is_some() && !driven {
            self.set_fd(core);
        }
    }

    /// While the time thread is in a callback, a sleeper looks at the clock in its place.
    pub(super) fn hand_time_over(&self, core: &mut Core) {
        if core.time_away
            && core.sleepers > 0
            && core.waking == 0
            && self.next_time_event(core) < core.watch_due
        {
            self.owe_worker(core);
        }
    }

    /// Those who wait for the end: close itself, and pullers that would wait in vain.
    pub(super) fn tell_closers(&self, core: &Core) {
        if core.sleepers > 0 && self.routes.is_pulled() && core.is_used_up() {
            self.work.notify_all();
        }
        if core.result_waiters > 0 && core.drained(true) {
            self.results.notify_all();
        }
        if core.done_waiters > 0 && core.drained(self.pulls_results()) {
            self.done.notify_all();
        }
    }

    pub(super) fn wake_sleeper(&self, core: &mut Core) {
        if core.stop {
            // SYNC: Release pairs with the load in `spin`.
            self.hint.fetch_add(1, Ordering::Release);
            self.work.notify_all();
            return;
        }
        if core.sleepers <= core.waking && core.spin.spinners == 0 {
            return;
        }
        let due = if core.parts_due > 0 {
            i64::MIN
        } else if core.in_flight >= self.limits.max_in_flight {
            return;
        } else if !core.sealed.is_empty() {
            i64::MIN
        } else {
            match &core.open {
                _ if core.staged_since < FOREVER => self.oldest_due(core),
                None => return,
                Some(open) if open.full => i64::MIN,
                Some(_) => self.oldest_due(core),
            }
        };
        let now = due == i64::MIN;
        if core.spin.spinners > 0 {
            // A spinner looks at the open batch's time by itself when it stops spinning.
            if now {
                // SYNC: Release pairs with the load in `spin`; the core lock publishes the work itself.
                self.hint.fetch_add(1, Ordering::Release);
            }
            return;
        }
        if core.waking == 0 && (now || due < core.watch_due) {
            self.owe_worker(core);
        }
    }

    /// When the open batch or a stage is due by time; i64::MIN for "at once".
    pub(super) fn oldest_due(&self, core: &Core) -> i64 {
        let since = core
            .open
            .as_ref()
            .map_or(FOREVER, |open| open.opened_at)
            .min(core.staged_since);
        match self.limits.max_delay {
            _ if since == FOREVER => FOREVER,
            0 => i64::MIN,
            _ => forming::due_at(&self.limits, since),
        }
    }

    /// The open batch, or what may be staged, is due at `now`.
    pub(super) fn is_due(&self, core: &Core, now: i64) -> bool {
        core.open.as_ref().is_some_and(|open| open.full) || self.oldest_due(core) <= now
    }

    pub(super) fn next_time_event(&self, core: &Core) -> i64 {
        let close = core.close.filter(|close| !close.discarded && !core.drained(true));
        let close = close.map_or(FOREVER, |close| close.due);
        let expiry = match self.limits.handler_timeout {
            FOREVER => FOREVER,
            _ => core.next_expiry(),
        };
        core.next_deadline.min(expiry).min(close).min(core.room_turn.over)
    }

    // ---- sleeping --------------------------------------------------------------------------------------------

    /// Sleeps until there may be work; a sleeper that watches the open batch, or the time, wakes when it is due.
    pub(super) fn sleep<'a>(&'a self, mut core: MutexGuard<'a, Core>, until: i64) -> MutexGuard<'a, Core> {
        let free = core.in_flight < self.limits.max_in_flight;
        if core.stop || core.parts_due > 0 || (free && !core.sealed.is_empty()) {
            return core;
        }
        if !self.routes.is_pulled() && self.can_deliver(&core) {
            return core;
        }
        if core.room_turn.over < FOREVER {
            self.end_turn(&mut core);
            self.pay();
        }
        // Nobody brings work while this thread has the processor that it was last brought on.
        if is_apart(core.pusher_cpu) && core.spin.wants() {
            return self.spin(core);
        }
        if free && self.is_due(&core, self.now()) {
            return core;
        }
        let open_due = if free { self.oldest_due(&core) } else { FOREVER };
        let idle = core.has_stock() && core.open.is_none() && core.in_flight == 0;
        let trim_at = if idle {
            forming::after(self.monotonic(), IDLE_TRIM)
        } else {
            FOREVER
        };
        let time_due = if core.time_away {
            self.next_time_event(&core)
        } else {
            FOREVER
        };
        let watch = open_due.min(trim_at).min(time_due);
        let watches = watch < core.watch_due;
        // Whoever watches the open batch sleeps up to the stretch of its delay that is to be spun out.
        let spun = if watches && watch == open_due {
            self.limits.delay_spin
        } else {
            0
        };
        let wake_at = watch.saturating_sub(spun);
        if watches {
            core.watch_due = watch;
        }
        self.pay();
        let mut core = if spun > 0 && wake_at <= self.monotonic() {
            self.look_out_for_work(core, until.min(watch)).0
        } else {
            core.sleepers += 1;
            let until = until.min(if watches { wake_at } else { FOREVER });
            let mut core = self.work.wait_until(core, until);
            core.sleepers -= 1;
            core.waking = core.waking.saturating_sub(1);
            core
        };
        if watches {
            core.watch_due = FOREVER;
        }
        if idle && core.open.is_none() && core.in_flight == 0 && self.monotonic() >= trim_at {
            core.trim();
        }
        core
    }

    /// Looks out for work for a few microseconds before sleeping: a wake costs the producer more than a batch of
    /// pushes. Whether that pays is learnt from whether it did.
    pub(super) fn spin<'a>(&'a self, core: MutexGuard<'a, Core>) -> MutexGuard<'a, Core> {
        let (mut core, found) = self.look_out_for_work(core, self.monotonic() + SPIN_NS);
        core.spin.learn(found);
        core
    }

    /// Looks out until work may have come, or until `until`; whether it may.
    fn look_out_for_work<'a>(
        &'a self,
        mut core: MutexGuard<'a, Core>,
        until: i64,
    ) -> (MutexGuard<'a, Core>, bool) {
        // SYNC: Relaxed under the core lock, which orders it with the increments made there.
        let seen = self.hint.load(Ordering::Relaxed);
        core.spin.spinners += 1;
        drop(core);
        let found = self.look_out(
            until,
            || {},
            // SYNC: Acquire pairs with the increments in `wake_sleeper`; the work itself is read under the lock.
            || self.hint.load(Ordering::Acquire) != seen,
        );
        let mut core = self.core.lock();
        core.spin.spinners -= 1;
        (core, found)
    }

    // ---- time ------------------------------------------------------------------------------------------------

    /// Deadlines, then handler time-outs, then close's time-out (the contract's P7).
    pub(crate) fn sweep(&self, now: i64) {
        self.gate.visit(|front| {
            let mut core = self.core.lock();
            self.sweep_locked(front, &mut core, now);
            self.touch(&mut core);
        });
    }

    /// `sweep` for those who hold both locks and `touch` afterwards.
    pub(super) fn sweep_locked(&self, front: &mut Front, core: &mut Core, now: i64) {
        if core.next_deadline <= now {
            self.expire_waiting(front, core, now);
        }
        self.expire_flights(core, now);
        if core.room_turn.over <= now {
            self.end_turn(core);
        }
        if let Some(close) = core.close
            && !close.discarded
            && close.due <= now
        {
            let running = core.delivering.then_some(core.deliveries);
            let left = close.left + self.discard_all(core, now);
            core.close = Some(super::core::Closing {
                due: close.due,
                discarded: true,
                left,
                running,
            });
            self.done.notify_all();
        }
    }

    pub(super) fn sweep_if_due(&self, now: i64) {
        let due = self.next_time_event(&self.core.lock());
        if due <= now {
            self.sweep(now);
        }
    }
}

/// Whether the calling thread runs on another processor than a thread that was last seen on `cpu`.
pub(super) fn is_apart(cpu: Option<u32>) -> bool {
    cpu.is_none() || cpu != thread::current_cpu()
}
