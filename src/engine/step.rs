//! Steps: all work that calls back.
//!
//! A step is decided under the locks, its callback runs with no lock held, and an `end_*` call brings the answer
//! back and decides the next one. Handler threads, the time thread and a host's `run` drive the same steps; only
//! what they wait for differs.

use super::batcher::Inner;
use super::core::Core;
use super::delivery::ResultSet;
use super::error::Status;
use super::forming::FOREVER;
use super::part::Part;
use super::ready::{Ready, Releases};
use super::release::ToRelease;
use crate::sync::{MutexGuard, Shared};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a thread that drives steps is doing: it outlives every callback, so that a thread that ends inside one
/// leaves word of what it held.
pub(crate) struct Record {
    pub(super) part: Option<Part>,
    pub(super) which: usize,
    pub(super) set: Option<ResultSet>,
    /// Since when that set was ready.
    pub(super) ready_since: i64,
    pub(super) releases: Option<Releases>,
    pub(super) release: Option<ToRelease>,
    pub(super) role: Role,
}

impl Record {
    pub(super) const fn new(role: Role) -> Record {
        Record {
            part: None,
            which: 0,
            set: None,
            ready_since: 0,
            releases: None,
            release: None,
            role,
        }
    }
}

/// Who drives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A handler thread: waits for work.
    Worker,
    /// The time thread: deadlines, time-outs and deliveries nobody else is free for.
    Time,
    /// A host in `run`: never waits, and takes only batches whose first value is among the first `limit`.
    Host { limit: u64 },
}

/// What a step asks its driver to call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Handle,
    Deliver,
    Release,
    /// Nothing to do (a host), or the batcher is gone (a thread).
    End,
}

impl Inner {
    /// Finds the next callback to run and notes it in the record. Waits if the role waits.
    pub(super) fn next_step(&self, engine: &Shared<Inner>, record: &mut Record) -> Step {
        loop {
            self.pay();
            let now = self.now();
            let mut core = self.core.lock();
            if record.role == Role::Time {
                core.time_away = false;
            }
            if self.next_time_event(&core) <= now {
                drop(core);
                self.sweep(now);
                continue;
            }
            let left_to_others =
                record.role == Role::Time && self.can_deliver(&core) && self.wake_deliverer(&mut core);
            if !left_to_others && let Some(step) = self.take_ready(&mut core, || engine.clone(), record) {
                let alone = record.role == Role::Time && self.leave_clock(&mut core);
                // A thread that was woken for a batch and goes into on_result passes the wake on.
                self.wake_sleeper(&mut core);
                drop(core);
                if alone {
                    self.find_stand_in(engine);
                }
                return step;
            }
            if core.stop {
                return Step::End;
            }
            match record.role {
                Role::Time => {
                    let due = self.next_time_event(&core);
                    core.time_due = due;
                    core.time_sleeps = true;
                    self.pay();
                    let mut core = self.time.wait_until(core, due);
                    core.time_sleeps = false;
                }
                Role::Host { limit } => {
                    if !self.routes.is_pulled() && self.take_batch_to_handle(core, engine, record, limit, now)
                    {
                        return Step::Handle;
                    }
                    return Step::End;
                }
                Role::Worker => {
                    if self.take_batch_to_handle(core, engine, record, u64::MAX, now) {
                        return Step::Handle;
                    }
                    let core = self.core.lock();
                    drop(self.sleep(core, FOREVER));
                }
            }
        }
    }

    /// The time thread goes into a callback, which may take its time: somebody else looks at the clock, also for what is
    /// to come. True if there is to be a second time thread for that.
    fn leave_clock(&self, core: &mut Core) -> bool {
        if core.stand_in {
            // It is not in a callback, as nobody delivers beside this thread: it looks again.
            self.owe_time();
            return false;
        }
        core.time_away = true;
        self.hand_time_over(core);
        core.stand_in = !core.stop;
        core.stand_in
    }

    /// A second time thread. It stays, and the two stand in for each other.
    fn find_stand_in(&self, engine: &Shared<Inner>) {
        if Inner::spawn(engine, false).is_err() {
            // The handler threads look at the clock when they come back.
            self.core.lock().stand_in = false;
        }
    }

    /// A ready set, if nobody else is delivering.
    pub(super) fn take_ready(
        &self,
        core: &mut Core,
        engine: impl FnOnce() -> Shared<Inner>,
        record: &mut Record,
    ) -> Option<Step> {
        if core.delivering {
            return None;
        }
        if self.pulls_results() && !matches!(core.ready.front(), Some(Ready::Releases(_))) {
            return self.take_releases(core, record);
        }
        match core.ready.pop_front()? {
            Ready::Set(set, since) => {
                let owner = self.limits.owner;
                core.delivering_values = set.len as u64;
                record.ready_since = since;
                record.set = Some(ResultSet {
                    engine: Some(engine()),
                    set: Some(set),
                    owner,
                    turn: 0,
                });
                self.begin_delivery(core);
                Some(Step::Deliver)
            }
            Ready::Releases(set) => {
                record.releases = Some(set);
                self.begin_delivery(core);
                Some(Step::Release)
            }
        }
    }

    /// With pulled results the sets stay, but releases behind them run.
    pub(super) fn take_releases(&self, core: &mut Core, record: &mut Record) -> Option<Step> {
        let at = core
            .ready
            .iter()
            .position(|ready| matches!(ready, Ready::Releases(_)))?;
        let Some(Ready::Releases(releases)) = core.ready.remove(at) else {
            return None;
        };
        record.releases = Some(releases);
        self.begin_delivery(core);
        Some(Step::Release)
    }

    pub(super) fn begin_delivery(&self, core: &mut Core) {
        core.delivering = true;
        core.deliveries += 1;
        core.enter_callback();
    }

    /// Dispatches a sealed batch, or the open one if it is due, and begins its first part.
    pub(super) fn take_batch_to_handle(
        &self,
        mut core: MutexGuard<'_, Core>,
        engine: &Shared<Inner>,
        record: &mut Record,
        limit: u64,
        now: i64,
    ) -> bool {
        let part = if let Some(part) = self.take_sealed(&mut core, || engine.clone(), limit, now) {
            part
        } else {
            drop(core);
            self.take_open(engine, limit, now)
        };
        let Some((part, which)) = part else { return false };
        record.part = Some(part);
        record.which = which;
        true
    }

    /// Some(None): a sealed batch there is, but it is not to be taken. None: look at the open batch. The caller pays
    /// what is owed.
    #[expect(
        clippy::option_option,
        reason = "the outer level says whether the open batch may be looked at"
    )]
    pub(super) fn take_sealed(
        &self,
        core: &mut Core,
        engine: impl FnOnce() -> Shared<Inner>,
        limit: u64,
        now: i64,
    ) -> Option<Option<(Part, usize)>> {
        loop {
            if core.in_flight >= self.limits.max_in_flight {
                return Some(None);
            }
            match core.sealed.front() {
                None => {
                    // Only a look: `take_open` asks again with the gate.
                    let early = core.open.as_ref().is_none_or(|open| open.first < limit);
                    return if early && self.is_due(core, now) {
                        None
                    } else {
                        Some(None)
                    };
                }
                Some(batch) if batch.first >= limit => return Some(None),
                Some(_) => {}
            }
            if !core.reserve_caller() {
                return Some(None);
            }
            // A batch that could not be split has its outcome already: look for the next.
            let Some(number) = self.dispatch(core, now) else {
                continue;
            };
            let begun = self.begin_part(core, engine, number);
            if begun.is_some() && !self.routes.is_pulled() {
                core.enter_callback();
            }
            self.touch_later(core);
            return Some(begun);
        }
    }

    /// Seals the open batch into a free slot if it is due, and dispatches it.
    pub(super) fn take_open(&self, engine: &Shared<Inner>, limit: u64, now: i64) -> Option<(Part, usize)> {
        self.gate.visit(|front| {
            self.join_stages(front);
            let mut core = self.core.lock();
            self.look_at_open(front, &mut core);
            if core.sealed.is_empty()
                && let Some(open) = &core.open
                && open.first < limit
                && let Some(trigger) = self.open_due(open, now)
                && core.in_flight < self.limits.max_in_flight
            {
                self.seal(front, &mut core, trigger);
            }
            self.take_sealed(&mut core, || engine.clone(), limit, now)
                .flatten()
        })
    }

    /// Runs the callback of a step, and the steps that follow from it. No lock is held, and nothing here needs to
    /// be dropped while a callback runs, so that a thread may end inside it.
    pub(super) fn call(&self, record: &mut Record, mut step: Step) {
        loop {
            self.pay();
            step = match (step, &record.part, &record.set) {
                (Step::Handle, Some(part), _) => {
                    let status = self.callbacks.handle(record.which, part);
                    self.contained(Step::End, || self.end_handle(record, status))
                }
                (Step::Deliver, _, Some(set)) => {
                    self.callbacks.on_result(set);
                    self.contained(Step::End, || self.end_deliver(record))
                }
                (Step::Release, _, _) => {
                    match record.release.take() {
                        Some(ToRelease::Object(word)) => self.callbacks.release_object(word),
                        Some(ToRelease::Owned(release)) => release.run(),
                        None => {}
                    }
                    self.contained(Step::End, || self.next_release(record))
                }
                _ => return,
            }
        }
    }

    /// A handler returned: the batch's next part, or the delivery of its results, follows.
    pub(super) fn end_handle(&self, record: &mut Record, status: Status) -> Step {
        let Some(mut part) = record.part.take() else {
            return Step::End;
        };
        part.settle(status);
        // What follows gets the part's count of the engine. It is not the last: whoever drives has one.
        let Some(engine) = part.engine.take() else {
            return Step::End;
        };
        let number = part.flight();
        let now = self.now();
        let mut core = self.lock_core();
        core.leave_callback();
        let again = self.end_handler(&mut core, part, now);
        if again && let Some((part, which)) = self.begin_part(&mut core, || engine.clone(), number) {
            core.enter_callback();
            record.part = Some(part);
            record.which = which;
            return Step::Handle;
        }
        let step = self.take_ready(&mut core, || engine, record);
        self.touch_between_steps(&mut core);
        step.unwrap_or(Step::End)
    }

    /// on_result returned: releases follow, or the next batch.
    pub(super) fn end_deliver(&self, record: &mut Record) -> Step {
        let Some(mut results) = record.set.take() else {
            return Step::End;
        };
        let (Some(engine), Some(set)) = (results.engine.take(), results.set.take()) else {
            return Step::End;
        };
        let now = self.now();
        let mut core = self.lock_core();
        self.mark_delivered(&mut core, &set, now.saturating_sub(record.ready_since));
        core.delivering_values = 0;
        match Releases::of(set, false) {
            Ok(releases) => {
                record.releases = Some(releases);
                return Step::Release;
            }
            Err((set, _)) => self.let_go(&mut core, set, true),
        }
        self.end_delivery(&mut core);
        // A worker goes on with what waits, under the same lock; everything else is for the next step.
        if record.role == Role::Worker
            && core.ready.is_empty()
            && !core.stop
            && self.next_time_event(&core) > now
            && let Some(Some((part, which))) = self.take_sealed(&mut core, || engine, u64::MAX, now)
        {
            record.part = Some(part);
            record.which = which;
            return Step::Handle;
        }
        Step::End
    }

    pub(super) fn end_delivery(&self, core: &mut Core) {
        core.delivering = false;
        core.leave_callback();
        if core.done_waiters > 0 {
            self.done.notify_all();
        }
        self.touch_between_steps(core);
    }

    /// The next release of the set in the record; the set is recycled when there is none.
    pub(super) fn next_release(&self, record: &mut Record) -> Step {
        let Some(releases) = &mut record.releases else {
            return Step::End;
        };
        record.release = releases.next();
        if record.release.is_some() {
            return Step::Release;
        }
        if let Some(releases) = record.releases.take() {
            let mut core = self.core.lock();
            self.end_releases(&mut core, releases);
            self.end_delivery(&mut core);
        }
        Step::End
    }

    /// Runs a piece of the engine between two callbacks. A panic in it is a bug; it must not unwind into the host.
    /// The callbacks themselves are outside, so that a thread may end in them without passing `catch_unwind`.
    pub(super) fn contained<T>(&self, otherwise: T, piece: impl FnOnce() -> T) -> T {
        catch_unwind(AssertUnwindSafe(piece)).unwrap_or_else(|panic| {
            std::mem::forget(panic);
            otherwise
        })
    }
}
