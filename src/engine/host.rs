//! What a host calls to drive a batcher itself: run, the clock, the descriptor, pulling batches and results.

use super::batcher::{IDLE_TRIM, Inner};
use super::core::Core;
use super::delivery::ResultSet;
use super::error::{Error, Status};
use super::flight::Flight;
use super::forming::{self, FOREVER};
use super::options::Clock;
use super::part::Part;
use super::ready::Ready;
use crate::sync::Shared;
use crate::sync::atomic::Ordering;
use crate::sync::fd::TimerFd;

impl Core {
    /// Nothing is left to be pulled: no batch, and no part of one.
    pub(super) fn is_used_up(&self) -> bool {
        self.open.is_none() && self.sealed.is_empty() && !self.flights.iter().any(Flight::has_more)
    }
}

impl Inner {
    // ---- the host's calls ------------------------------------------------------------------------------------

    pub(super) fn in_callback(&self) -> bool {
        self.core.lock().in_callback()
    }

    /// Does what is due now (manual mode).
    pub(crate) fn run(engine: &Shared<Inner>) -> Status {
        if engine.is_foreign() {
            return Status::FORKED;
        }
        if !engine.is_manual() {
            return Status::WRONG_MODE;
        }
        if engine.in_callback() {
            return Status::REENTRANT;
        }
        engine.run_due(engine);
        Status::OK
    }

    /// `run` without its questions.
    pub(crate) fn run_due(&self, engine: &Shared<Inner>) {
        let limit = self.gate.visit(|front| {
            self.join_stages(front);
            front.accepted()
        });
        if !self.core.lock().reserve_caller() {
            return;
        }
        self.drive_as_host(engine, limit);
        let mut core = self.core.lock();
        let quiet =
            core.open.is_none() && core.in_flight == 0 && core.sealed.is_empty() && core.ready.is_empty();
        if quiet && core.has_stock() {
            let now = self.monotonic();
            match core.idle_since {
                0 => core.idle_since = now,
                since if now.saturating_sub(since) >= IDLE_TRIM => core.trim(),
                _ => {}
            }
        } else {
            core.idle_since = 0;
        }
        self.touch(&mut core);
        if core.fd.is_some() {
            self.set_fd(&mut core);
        }
    }

    /// Moves a given clock; backwards is ignored, and FOREVER never comes.
    pub(crate) fn advance(&self, now: i64) -> Status {
        if self.is_foreign() {
            return Status::FORKED;
        }
        if self.limits.clock != Clock::Given {
            return Status::WRONG_MODE;
        }
        if self.in_callback() {
            return Status::REENTRANT;
        }
        // SYNC: Relaxed; a given clock orders nothing.
        self.given_now.fetch_max(now.min(FOREVER - 1), Ordering::Relaxed);
        let mut core = self.core.lock();
        self.touch(&mut core);
        Status::OK
    }

    /// When `run`, `next_batch` or `next_results` has something to do, FOREVER if nothing is in sight.
    pub(crate) fn next_due(&self) -> Result<i64, Status> {
        if self.is_foreign() {
            return Err(Status::FORKED);
        }
        self.gate.visit(|front| {
            // Values that were staged have joined since: nobody need look for them.
            if front.reserved == 0 {
                self.join_stages(front);
            }
            let core = self.core.lock();
            Ok(self.due_in(&core, self.now()))
        })
    }

    pub(super) fn due_in(&self, core: &Core, now: i64) -> i64 {
        if !core.ready.is_empty() && !core.delivering {
            return now;
        }
        let mut due = self.next_time_event(core);
        if core.parts_due > 0 {
            return now;
        }
        let takers = self.is_manual() || self.routes.is_pulled();
        if takers && core.in_flight < self.limits.max_in_flight {
            if !core.sealed.is_empty() {
                return now;
            }
            if self.is_due(core, now) {
                return now;
            }
            due = due.min(self.oldest_due(core));
        }
        due.max(now)
    }

    /// The descriptor a host polls; made at the first call.
    pub(crate) fn descriptor(&self) -> Result<i32, Error> {
        if self.is_foreign() {
            return Err(Error::bare(Status::FORKED));
        }
        let mut core = self.core.lock();
        if core.fd.is_none() {
            core.fd = Some(TimerFd::new().map_err(|errno| {
                Error::new(
                    Status::SYSTEM,
                    "fd",
                    format_args!("no descriptor could be made (errno {errno})"),
                )
            })?);
        }
        self.set_fd(&mut core);
        core.fd
            .as_ref()
            .map(TimerFd::raw)
            .ok_or(Error::bare(Status::SYSTEM))
    }

    /// Makes the descriptor fire now, at the next due time, or not at all.
    pub(super) fn set_fd(&self, core: &mut Core) {
        let now = self.now();
        let asked = core.a_mark_is_reached() || core.wanted_room_is_there(&self.limits);
        let due = if asked {
            now
        } else if self.is_manual() {
            self.due_in(core, now)
        } else {
            self.due_for_pullers(core, now)
        };
        let given = self.limits.clock == Clock::Given;
        let due = match due {
            due if due <= now => i64::MIN,
            _ if given => FOREVER,
            due => due,
        };
        if core.fd_due == Some(due) {
            return;
        }
        let Some(fd) = &core.fd else { return };
        match due {
            i64::MIN => fd.fire_now(),
            FOREVER => fd.disarm(),
            due => fd.fire_at(due),
        }
        core.fd_due = Some(due);
    }

    /// With threads the descriptor is for those who pull: time and on_result have threads of their own.
    pub(super) fn due_for_pullers(&self, core: &Core, now: i64) -> i64 {
        if self.pulls_results() && core.ready.iter().any(|ready| matches!(ready, Ready::Set(..))) {
            return now;
        }
        if core.parts_due > 0 {
            return now;
        }
        if !self.routes.is_pulled() || core.in_flight >= self.limits.max_in_flight {
            return FOREVER;
        }
        if !core.sealed.is_empty() || self.is_due(core, now) {
            now
        } else {
            self.oldest_due(core)
        }
    }

    /// The next part of a batch in flight, if its handler's turn has come.
    fn take_part(&self, core: &mut Core, engine: &Shared<Inner>) -> Option<(Part, usize)> {
        let number = core.next_due_flight()?;
        let part = self.begin_part(core, || engine.clone(), number);
        self.touch_later(core);
        part
    }

    /// Hands a batch, or the next part of one, to the caller, who completes it.
    pub(crate) fn next_batch(engine: &Shared<Inner>, timeout: i64) -> Result<Part, Status> {
        let this = &**engine;
        if this.is_foreign() {
            return Err(Status::FORKED);
        }
        if !this.routes.is_pulled() {
            return Err(Status::WRONG_MODE);
        }
        if this.in_callback() {
            return Err(Status::REENTRANT);
        }
        let until = forming::after(this.monotonic(), timeout.max(0));
        loop {
            let now = this.now();
            this.sweep_if_due(now);
            let mut core = this.core.lock();
            let part = this.take_part(&mut core, engine);
            let taken = if part.is_some() {
                Some(part)
            } else {
                this.take_sealed(&mut core, || engine.clone(), u64::MAX, now)
            };
            drop(core);
            let taken = taken.unwrap_or_else(|| this.take_open(engine, u64::MAX, now));
            this.pay();
            if let Some((part, _)) = taken {
                return Ok(part);
            }
            let mut core = this.core.lock();
            if core.closing() && core.is_used_up() {
                return Err(Status::CLOSED);
            }
            if this.is_manual() || this.monotonic() >= until {
                // If this caller watched the open batch for all, another has to now.
                this.touch(&mut core);
                return Err(Status::TIMEOUT);
            }
            drop(this.sleep(core, until));
        }
    }

    /// The first set of results that is ready, as one that was pulled.
    pub(super) fn take_set(&self, engine: &Shared<Inner>, core: &mut Core) -> Option<ResultSet> {
        let at = core
            .ready
            .iter()
            .position(|ready| matches!(ready, Ready::Set(..)))?;
        let Some(Ready::Set(set, since)) = core.ready.remove(at) else {
            return None;
        };
        self.mark_delivered(core, &set, self.now().saturating_sub(since));
        core.taken += 1;
        core.pulled += 1;
        Some(ResultSet {
            engine: Some(engine.clone()),
            set: Some(set),
            owner: self.limits.owner,
            turn: core.pulled,
        })
    }

    /// Hands a set of results to the caller.
    pub(crate) fn next_results(engine: &Shared<Inner>, timeout: i64) -> Result<ResultSet, Status> {
        let this = &**engine;
        if this.is_foreign() {
            return Err(Status::FORKED);
        }
        if !this.pulls_results() {
            return Err(Status::WRONG_MODE);
        }
        if this.in_callback() {
            return Err(Status::REENTRANT);
        }
        let until = forming::after(this.monotonic(), timeout.max(0));
        this.sweep_if_due(this.now());
        let mut core = this.core.lock();
        loop {
            if let Some(set) = this.take_set(engine, &mut core) {
                this.touch(&mut core);
                return Ok(set);
            }
            if core.closing() && core.drained(true) {
                return Err(Status::CLOSED);
            }
            if this.is_manual() || this.monotonic() >= until {
                return Err(Status::TIMEOUT);
            }
            core.result_waiters += 1;
            core = this.results.wait_until(core, until);
            core.result_waiters -= 1;
        }
    }
}
