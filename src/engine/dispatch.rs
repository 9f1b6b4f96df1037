//! Dispatch: a batch takes a slot, its parts go to their handlers one after another, and their ends make its end.
//!
//! A flight is one dispatched batch. A part is a handler's share of it: the whole batch when one handler takes
//! everything, else a gathered batch of its own whose results are merged back. Whoever ends a flight's outcomes
//! (the last part, a time-out, a close) fixes them once; the slot is free when no handler is inside either.

use super::batch::Batch;
use super::batcher::{DEFAULT, Inner, PULLED};
use super::core::Core;
use super::error::Status;
use super::flight::{Flight, FlightPart, MAX_PARTS, PartState};
use super::forming::{self, FOREVER};
use super::part::Part;
use super::results::Reason;
use super::room::Room;
use super::settled::Ending;
use super::value::{Handled, Kind, Outcome};
use crate::sync::atomic::AtomicBool;
use crate::sync::{Shared, thread};

impl Inner {
    /// Takes the first sealed batch into flight; a slot is free. Answers the flight's number.
    pub(crate) fn dispatch(&self, core: &mut Core, now: i64) -> Option<u64> {
        let mut shared = core.sealed.pop_front()?;
        let (rows, weight) = {
            let batch = shared.get_mut()?;
            batch.close_up();
            batch.classify();
            batch.rows.clear_results(batch.len);
            core.dispatched += 1;
            core.handler_cpu = thread::current_cpu();
            batch.number = core.dispatched;
            batch.dispatched_at = now;
            (batch.len as u64, batch.weight)
        };
        core.left += rows;
        core.left_bytes += weight;
        if shared.has_deadlines {
            core.find_deadline();
        }
        self.room_came(core, Room::Queue);
        if let Some(accounts) = core.recorded.open() {
            accounts.batch_size.record(rows);
            accounts
                .queue_time
                .record(now.saturating_sub(shared.opened_at).max(0) as u64);
        }
        if let Some(turns) = &mut core.turns {
            turns.push_back(None);
        }
        let number = core.dispatched;
        let expires_at = match self.limits.handler_timeout {
            0 | FOREVER => FOREVER,
            span => forming::after(now, span),
        };
        let mut flight = Flight {
            number,
            parts: [const { None }; MAX_PARTS],
            count: 0,
            next: 0,
            running: false,
            pulled: self.routes.is_pulled(),
            fixed: false,
            expires_at,
            batch: shared,
        };
        let split = self.split(core, &mut flight);
        if !split {
            // No memory to gather the parts: an outcome, not a loss.
            self.recycle_parts(core, &mut flight);
            let reason = Reason::bare(Status::NO_MEMORY);
            flight.batch.settle(Ending::Failed(reason, Handled::No));
        }
        core.in_flight += 1;
        core.flights.push(flight);
        if !split {
            self.fix_flight(core, number, now);
            return None;
        }
        Some(number)
    }

    /// Divides a batch among the handlers.
    fn split(&self, core: &mut Core, flight: &mut Flight) -> bool {
        let mask = flight.batch.mask;
        let own = mask & self.routes.own;
        let rest = mask & !self.routes.own;
        let whole = if self.routes.takes_whole() {
            Some(PULLED)
        } else if own == 0 {
            Some(DEFAULT)
        } else if rest == 0 && own.is_power_of_two() {
            Some(own.trailing_zeros() as usize)
        } else {
            None
        };
        if let Some(which) = whole {
            flight.parts[0] = Some(FlightPart {
                which: which as u8,
                state: PartState::Waiting,
                gathered: None,
            });
            flight.count = 1;
            return true;
        }
        let kinds = (0..Kind::COUNT)
            .filter(|kind| own & (1 << kind) != 0)
            .map(|kind| (kind, 1u8 << kind));
        let default = (rest != 0).then_some((DEFAULT, rest));
        for (which, mask) in kinds.chain(default) {
            if !core.reserve_for_batch() {
                return false;
            }
            let Some(mut batch) = core.take_batch() else {
                return false;
            };
            let filled = batch.get_mut().is_some_and(|part| {
                part.whole = Some(flight.batch.clone());
                flight.batch.gather(mask, part)
            });
            if !filled {
                core.recycle(batch);
                return false;
            }
            let part = FlightPart {
                which: which as u8,
                state: PartState::Waiting,
                gathered: Some(batch),
            };
            flight.parts[usize::from(flight.count)] = Some(part);
            flight.count += 1;
        }
        true
    }

    /// The next part of a flight whose handler is to be called: marks it running.
    pub(crate) fn begin_part(
        &self,
        core: &mut Core,
        engine: impl FnOnce() -> Shared<Inner>,
        number: u64,
    ) -> Option<(Part, usize)> {
        let pulled = self.routes.is_pulled();
        let state = match pulled {
            false => PartState::Running,
            true if self.routes.takes_whole() => PartState::Kept,
            true => PartState::Pulled,
        };
        let (index, which, batch) = core.change(number, |flight| {
            if flight.fixed || flight.next >= flight.count {
                return None;
            }
            let index = flight.next;
            flight.next += 1;
            flight.running = !pulled;
            let part = flight.parts.get_mut(usize::from(index))?.as_mut()?;
            part.state = state;
            Some((index, usize::from(part.which), part.batch(&flight.batch).clone()))
        })??;
        let owner = self.limits.owner;
        let part = Part {
            engine: Some(engine()),
            owner,
            batch: Some(batch),
            flight: number,
            index,
            holds: pulled,
            pinned: false,
            kept: AtomicBool::new(pulled),
        };
        Some((part, which))
    }

    /// A handler returned, and its part is settled. Answers whether the flight has another part to run.
    pub(crate) fn end_handler(&self, core: &mut Core, mut part: Part, now: i64) -> bool {
        let (number, index) = (part.flight, part.index);
        part.batch = None;
        let Some(flight) = core.flight(number) else {
            return false;
        };
        flight.running = false;
        let state = flight.part(index).map(|part| part.state);
        core.late += u64::from(state == Some(PartState::Cut));
        if state == Some(PartState::Running) {
            self.part_is_done(core, number, index, now);
        }
        let Some(flight) = core.flight(number) else {
            return false;
        };
        if flight.fixed {
            drop(self.take_flight(core, number));
            self.settle_lingering(core);
            return false;
        }
        flight.next < flight.count
    }

    /// Fixes the outcomes of one part, and of the flight if it was the last.
    pub(crate) fn end_part(
        &self,
        core: &mut Core,
        number: u64,
        index: u8,
        ending: Ending<'_>,
        now: i64,
    ) -> Status {
        let Some(flight) = core.flight(number) else {
            return Status::TOO_LATE;
        };
        let fixed = flight.fixed;
        let Some(Some(part)) = flight.parts.get(usize::from(index)) else {
            return Status::INTERNAL;
        };
        if fixed || part.state == PartState::Done {
            return Status::TOO_LATE;
        }
        part.batch(&flight.batch).settle(ending);
        self.part_is_done(core, number, index, now);
        Status::OK
    }

    /// The outcomes of a part stand: so do the flight's if it was the last.
    fn part_is_done(&self, core: &mut Core, number: u64, index: u8, now: i64) {
        let over = core.change(number, |flight| {
            if let Some(part) = flight.part(index) {
                part.state = PartState::Done;
            }
            flight.parts().all(|part| part.state == PartState::Done)
        });
        if over == Some(true) {
            self.fix_flight(core, number, now);
        }
    }

    /// Ends a flight from outside: parts that are done keep their results, the others get this outcome.
    fn cut_flight(&self, core: &mut Core, number: u64, outcome: Outcome, status: Status, now: i64) -> u64 {
        let cut = core.change(number, |flight| {
            flight.fixed = true;
            let mut cut = 0;
            for part in flight.parts.iter_mut().flatten() {
                let (handled, state) = match part.state {
                    PartState::Done | PartState::Cut => continue,
                    PartState::Waiting => (Handled::No, PartState::Done),
                    PartState::Running => (Handled::Maybe, PartState::Cut),
                    PartState::Kept | PartState::Pulled => (Handled::Maybe, PartState::Done),
                };
                let batch = part.batch(&flight.batch);
                let was_first = batch.settle(Ending::Fixed(outcome, status, handled));
                cut += if was_first { batch.len as u64 } else { 0 };
                // A handler that returned this very moment has settled its part, though it has not come to say so.
                part.state = if was_first { state } else { PartState::Done };
            }
            cut
        });
        self.fix_flight(core, number, now);
        cut.unwrap_or(0)
    }

    /// All parts are done: the batch's outcomes stand, its results are on their way.
    fn fix_flight(&self, core: &mut Core, number: u64, now: i64) {
        let Some(flight) = core.flight(number) else { return };
        // No part of it is to be pulled any more: every one is done.
        flight.fixed = true;
        let took = now.saturating_sub(flight.batch.dispatched_at);
        if flight.is_mixed() {
            let parts = flight.parts().filter_map(|part| part.gathered.as_deref());
            flight.batch.settle_from(parts);
        }
        let batch = if flight.running {
            flight.batch.clone()
        } else {
            match self.take_flight(core, number) {
                Some(batch) => batch,
                None => return,
            }
        };
        if let Some(accounts) = core.recorded.open() {
            accounts.handler_time.record(took.max(0) as u64);
        }
        if batch.all_ok() {
            core.count(Outcome::Ok, batch.len as u64);
        } else {
            for row in 0..batch.len {
                core.count(batch.outcome(row), 1);
            }
        }
        let at = (number - core.turn - 1) as usize;
        match &mut core.turns {
            None => self.make_ready(core, batch, now),
            Some(turns) => {
                if let Some(turn) = turns.get_mut(at) {
                    *turn = Some(batch);
                }
                while let Some(batch) = core.next_in_turn() {
                    self.make_ready(core, batch, now);
                }
            }
        }
    }

    /// The flight's slot is free: its outcomes stand and no handler is inside. Answers the batch.
    fn take_flight(&self, core: &mut Core, number: u64) -> Option<Shared<Batch>> {
        let at = core
            .flights
            .binary_search_by_key(&number, |flight| flight.number)
            .ok()?;
        let mut flight = core.flights.remove(at);
        self.recycle_parts(core, &mut flight);
        core.in_flight -= 1;
        Some(flight.batch)
    }

    /// The gathered parts of a mixed batch go back to the pool.
    fn recycle_parts(&self, core: &mut Core, flight: &mut Flight) {
        for part in flight.parts.iter_mut().filter_map(Option::take) {
            if let Some(batch) = part.gathered {
                core.recycle(batch);
            }
        }
        flight.count = 0;
    }

    /// Handler time-outs that have come.
    pub(crate) fn expire_flights(&self, core: &mut Core, now: i64) {
        while let Some(number) = core
            .flights
            .iter()
            .find(|f| !f.fixed && f.expires_at <= now)
            .map(|flight| flight.number)
        {
            self.cut_flight(core, number, Outcome::Expired, Status::HANDLER_TIMEOUT, now);
        }
    }

    /// Close's time-out: what flies and what waits in sealed batches is discarded. Answers how many values.
    pub(crate) fn discard_all(&self, core: &mut Core, now: i64) -> u64 {
        let mut left = 0;
        while let Some(number) = core.flights.iter().find(|f| !f.fixed).map(|flight| flight.number) {
            left += self.cut_flight(core, number, Outcome::Discarded, Status::DISCARDED, now);
        }
        while let Some(mut shared) = core.sealed.pop_front() {
            if let Some(batch) = shared.get_mut() {
                core.left += batch.live() as u64;
                core.left_bytes += batch.weight - batch.removed_weight;
                batch.close_up();
                batch.classify();
                batch.rows.clear_results(batch.len);
                batch.settle_unhandled(Outcome::Discarded, Status::DISCARDED);
                left += batch.len as u64;
                core.count(Outcome::Discarded, batch.len as u64);
            }
            self.make_ready(core, shared, now);
        }
        core.find_deadline();
        self.room_came(core, Room::Queue);
        left
    }
}
