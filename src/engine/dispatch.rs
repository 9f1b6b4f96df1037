//! Dispatch: a batch takes a slot, its parts go to their handlers one after another, and their ends make its end.
//!
//! A flight is one dispatched batch. A part is a handler's share of it: the whole batch when one handler takes
//! everything, else a gathered batch of its own whose results are merged back. Whoever ends a flight's outcomes
//! (the last part, a time-out, a close) fixes them once; the slot is free when no handler is inside either.

use super::batch::Batch;
use super::batcher::{DEFAULT, Inner, PULLED};
use super::core::{Core, Ready, Releases, Room};
use super::delivery::ResultSet;
use super::error::Status;
use super::forming::{self, FOREVER};
use super::options::{Delivery, ResultsMode};
use super::results::{Ending, Reason};
use super::value::{Handled, Kind, Outcome};
use crate::sync::atomic::AtomicBool;
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::{Shared, thread};

/// Parts a batch can have: one per kind with a handler of its own, and the default's.
const MAX_PARTS: usize = Kind::COUNT + 1;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PartState {
    /// Its handler was not called yet.
    Waiting,
    /// Its handler is inside.
    Running,
    /// Its holder completes it: kept, or pulled as a whole batch.
    Kept,
    /// A host's handler has it: the next part waits until it is done, or kept.
    Pulled,
    /// Its outcomes were fixed from outside while its handler was inside.
    Cut,
    /// Its outcomes are fixed.
    Done,
}

pub(crate) struct FlightPart {
    /// Kind code of the handler, DEFAULT or PULLED.
    which: u8,
    state: PartState,
    batch: Shared<Batch>,
}

/// A dispatched batch.
pub(crate) struct Flight {
    pub(crate) number: u64,
    pub(crate) batch: Shared<Batch>,
    parts: [Option<FlightPart>; MAX_PARTS],
    count: u8,
    next: u8,
    /// A handler is inside.
    running: bool,
    /// A host pulls its parts.
    pulled: bool,
    /// Outcomes stand.
    pub(crate) fixed: bool,
    pub(crate) expires_at: i64,
}

/// A handler's share of a batch, as its handler or holder sees it.
///
/// Dropping a part that is kept or pulled frees it: its values fail with NO_RESULT.
pub(crate) struct Part {
    /// None for a part of `map`, which has no batcher.
    engine: Option<Shared<Inner>>,
    owner: u32,
    /// None only while it is being dropped.
    batch: Option<Shared<Batch>>,
    flight: u64,
    index: u8,
    /// Dropping it gives the batch up: false for the view a handler borrows.
    holds: bool,
    /// It only keeps the memory: nothing can be set or ended through it.
    pinned: bool,
    /// The handler kept it: somebody else ends it. Set and read by the handler's thread, before and after.
    kept: AtomicBool,
}

impl Part {
    pub(crate) fn batch(&self) -> &Batch {
        match &self.batch {
            Some(batch) => batch,
            None => unreachable!("a part has its batch until it is dropped"),
        }
    }

    /// A part without a batcher: it can be read and set, not kept.
    pub(crate) fn detached(batch: Shared<Batch>, owner: u32) -> Part {
        Part {
            engine: None,
            owner,
            batch: Some(batch),
            flight: 0,
            index: 0,
            holds: false,
            pinned: false,
            kept: AtomicBool::new(false),
        }
    }

    /// Another view of the same rows, which only keeps their memory: past the end of the batch, too.
    pub(crate) fn pin(&self) -> Result<Part, Status> {
        match &self.engine {
            None => Err(Status::WRONG_MODE),
            Some(engine) if engine.is_foreign() => Err(Status::FORKED),
            Some(engine) => Ok(Part {
                engine: Some(engine.clone()),
                owner: self.owner,
                batch: self.batch.clone(),
                flight: self.flight,
                index: self.index,
                holds: false,
                pinned: true,
                kept: AtomicBool::new(true),
            }),
        }
    }

    pub(crate) fn is_pinned(&self) -> bool {
        self.pinned
    }

    pub(crate) fn owner(&self) -> u32 {
        self.owner
    }

    /// Somebody else ends it.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept.load(Relaxed)
    }

    /// The process is a fork of the one it was made in.
    pub(crate) fn is_foreign(&self) -> bool {
        self.engine.as_ref().is_some_and(|engine| engine.is_foreign())
    }

    /// Fixes the part's outcomes when its handler returned, before any lock: if it was kept or completed, or its
    /// time ran out, this changes nothing.
    pub(crate) fn settle(&self, status: Status) {
        if self.kept.load(Relaxed) {
            return;
        }
        let code = match status {
            known if known.is_ok() || known.is_user() || known.is_known() => known,
            _ => Status::HANDLER_FAILED,
        };
        self.batch().settle(match code {
            Status::OK => Ending::Done,
            code => Ending::Failed(Reason::bare(code), Handled::Yes),
        });
    }

    pub(crate) fn engine(&self) -> Option<Shared<Inner>> {
        self.engine.clone()
    }

    pub(crate) fn flight(&self) -> u64 {
        self.flight
    }

    /// Holds the part past its handler; the handler's own view stays readable until it returns.
    pub(crate) fn keep(&self) -> Result<Part, Status> {
        let Some(engine) = &self.engine else {
            return Err(Status::WRONG_MODE);
        };
        if engine.is_foreign() {
            return Err(Status::FORKED);
        }
        let mut core = engine.core.lock();
        let part = core
            .flight(self.flight)
            .and_then(|flight| flight.part(self.index));
        match part {
            Some(part) if part.state == PartState::Running => part.state = PartState::Kept,
            Some(part) if matches!(part.state, PartState::Cut | PartState::Done) => {
                return Err(Status::TOO_LATE);
            }
            Some(_) => return Err(Status::INVALID_ARGUMENT),
            None => return Err(Status::TOO_LATE),
        }
        // SYNC: Relaxed; the handler's thread reads it when the handler returned. Another thread that keeps for it
        // synchronises with the handler by itself.
        self.kept.store(true, Relaxed);
        Ok(Part {
            kept: AtomicBool::new(true),
            engine: Some(engine.clone()),
            owner: self.owner,
            batch: self.batch.clone(),
            flight: self.flight,
            index: self.index,
            holds: true,
            pinned: false,
        })
    }

    /// The host's handler of a pulled part has returned, and somebody holds the part: the next part may begin.
    pub(crate) fn keep_pulled(&self) -> Status {
        let Some(engine) = &self.engine else {
            return Status::WRONG_MODE;
        };
        if engine.is_foreign() {
            return Status::FORKED;
        }
        let mut core = engine.core.lock();
        let kept = core.change(self.flight, |flight| match flight.part(self.index) {
            Some(part) if part.state == PartState::Pulled => {
                part.state = PartState::Kept;
                Status::OK
            }
            Some(part) if part.state == PartState::Kept => Status::INVALID_ARGUMENT,
            _ => Status::TOO_LATE,
        });
        engine.touch(&mut core);
        kept.unwrap_or(Status::TOO_LATE)
    }

    /// Completes the part; TOO_LATE if its outcomes stand already.
    pub(crate) fn complete(mut self, ending: Ending<'_>) -> Status {
        self.end(ending, true, false).0
    }

    /// Completes the part and takes the first set of results that is ready then, if the host pulls results: nobody is
    /// woken for a set that the caller takes.
    pub(crate) fn complete_and_take(mut self, ending: Ending<'_>) -> (Status, Option<ResultSet>) {
        self.end(ending, true, true)
    }

    /// Completes the part from inside its handler: what the handler returns counts no more.
    pub(crate) fn complete_early(&self, ending: Ending<'_>) -> Status {
        let Some(engine) = &self.engine else {
            return Status::WRONG_MODE;
        };
        if engine.is_foreign() {
            return Status::FORKED;
        }
        let now = engine.now();
        let mut core = engine.core.lock();
        let status = engine.end_part(&mut core, self.flight, self.index, ending, now);
        core.late += u64::from(status == Status::TOO_LATE);
        engine.touch(&mut core);
        status
    }

    /// Fails the part: as many results came as `got` says, and it has another number of values.
    pub(crate) fn fail_count(&self, got: usize) -> Status {
        let mut text = [0u8; 96];
        let message = {
            use std::io::Write;
            let mut left = &mut text[..];
            // 96 bytes hold the sentence with two 20-digit numbers.
            let _ = write!(
                left,
                "the handler gave {got} results for {} values",
                self.batch().len
            );
            let used = 96 - left.len();
            std::str::from_utf8(&text[..used]).unwrap_or_default()
        };
        let reason = Reason {
            code: Status::RESULT_COUNT.code(),
            type_name: "",
            message,
        };
        match self.batch().fail_all(reason) {
            Status::OK => Status::RESULT_COUNT,
            other => other,
        }
    }

    fn end(&mut self, ending: Ending<'_>, completes: bool, takes: bool) -> (Status, Option<ResultSet>) {
        self.holds = false;
        let Some(engine) = self.engine.take() else {
            return (Status::WRONG_MODE, None);
        };
        if engine.is_foreign() {
            return (Status::FORKED, None);
        }
        if self.pinned {
            self.unpin(&engine);
            return (Status::WRONG_MODE, None);
        }
        let now = engine.now();
        let mut core = engine.lock_core();
        // Given up first, so that the set can be recycled the moment it is delivered.
        self.batch = None;
        let takes = takes && engine.pulls_results() && !core.in_callback();
        core.taker = takes;
        let status = engine.end_part(&mut core, self.flight, self.index, ending, now);
        core.taker = false;
        core.late += u64::from(completes && status == Status::TOO_LATE);
        engine.settle_lingering(&mut core);
        let taken = if takes && status.is_ok() {
            engine.take_set(&engine, &mut core)
        } else {
            None
        };
        if takes && core.result_waiters > 0 && core.has_set() {
            engine.results.notify_all();
        }
        engine.touch(&mut core);
        engine.drop_ready_if_freed(core);
        (status, taken)
    }
}

impl Part {
    /// Lets the memory go; a set of results may have waited for that.
    fn unpin(&mut self, engine: &Shared<Inner>) {
        let mut core = engine.core.lock();
        self.batch = None;
        engine.settle_lingering(&mut core);
        engine.touch(&mut core);
        engine.drop_ready_if_freed(core);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.pinned
            && let Some(engine) = self.engine.take().filter(|engine| !engine.is_foreign())
        {
            self.unpin(&engine);
        }
        if self.holds {
            let reason = Reason::bare(Status::NO_RESULT);
            self.end(Ending::Failed(reason, Handled::Maybe), false, false);
        }
    }
}

impl Flight {
    fn part(&mut self, index: u8) -> Option<&mut FlightPart> {
        self.parts.get_mut(usize::from(index))?.as_mut()
    }

    fn parts(&self) -> impl Iterator<Item = &FlightPart> {
        self.parts.iter().flatten()
    }

    /// Bytes of its batch, and of the parts gathered from it.
    pub(crate) fn memory(&self) -> u64 {
        let parts = self.parts().filter(|part| part.batch.is_part);
        self.batch.memory() + parts.map(|part| part.batch.memory()).sum::<u64>()
    }

    fn is_mixed(&self) -> bool {
        self.count > 1
    }

    /// Parts are left that no host has pulled yet.
    pub(crate) fn has_more(&self) -> bool {
        self.pulled && !self.fixed && self.next < self.count
    }

    /// The next of them may be pulled: the handler of the one before has returned.
    fn is_due(&self) -> bool {
        let before = self.parts.get(usize::from(self.next).wrapping_sub(1));
        let returned = before
            .and_then(Option::as_ref)
            .is_some_and(|part| part.state != PartState::Pulled);
        returned && self.has_more()
    }

    /// A handler is inside although the outcomes stand.
    pub(crate) fn is_stuck(&self) -> bool {
        self.running && self.fixed
    }
}

impl Core {
    pub(crate) fn flight(&mut self, number: u64) -> Option<&mut Flight> {
        // Few batches fly at once, and in number order.
        let at = self
            .flights
            .binary_search_by_key(&number, |flight| flight.number)
            .ok()?;
        self.flights.get_mut(at)
    }

    /// Changes a flight, and keeps count of those whose next part may be pulled.
    fn change<T>(&mut self, number: u64, change: impl FnOnce(&mut Flight) -> T) -> Option<T> {
        let flight = self.flight(number)?;
        let before = flight.is_due();
        let answer = change(flight);
        let after = flight.is_due();
        self.parts_due = self.parts_due + u32::from(after) - u32::from(before);
        Some(answer)
    }

    /// The first flight whose next part may be pulled.
    pub(crate) fn next_due_flight(&self) -> Option<u64> {
        if self.parts_due == 0 {
            return None;
        }
        self.flights
            .iter()
            .find(|flight| flight.is_due())
            .map(|flight| flight.number)
    }

    /// A set of results is ready.
    fn has_set(&self) -> bool {
        self.ready.iter().any(|ready| matches!(ready, Ready::Set(..)))
    }

    /// When the earliest handler time-out comes.
    pub(crate) fn next_expiry(&self) -> i64 {
        self.flights
            .iter()
            .find(|flight| !flight.fixed)
            .map_or(FOREVER, |flight| flight.expires_at)
    }
}

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
        if let Some(histograms) = &mut core.histograms {
            histograms.batch_size.record(rows);
            histograms
                .queue_time
                .record(now.saturating_sub(shared.opened_at).max(0) as u64);
        }
        if self.limits.delivery == Delivery::Ordered {
            core.turns.push_back(None);
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
            let batch = flight.batch.clone();
            flight.parts[0] = Some(FlightPart {
                which: which as u8,
                state: PartState::Waiting,
                batch,
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
            let Some(mut batch) = core.take_batch(self.batch_rows()) else {
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
                batch,
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
        engine: &Shared<Inner>,
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
            let part = flight.part(index)?;
            part.state = state;
            Some((index, usize::from(part.which), part.batch.clone()))
        })??;
        let owner = self.limits.owner;
        let part = Part {
            engine: Some(engine.clone()),
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
            // The outcomes are there: this only counts them.
            self.end_part(core, number, index, Ending::Done, now);
        }
        let Some(flight) = core.flight(number) else {
            return false;
        };
        if flight.fixed {
            self.drop_flight(core, number);
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
        let Some(part) = flight.part(index) else {
            return Status::INTERNAL;
        };
        if fixed || part.state == PartState::Done {
            return Status::TOO_LATE;
        }
        part.batch.settle(ending);
        let over = core.change(number, |flight| {
            if let Some(part) = flight.part(index) {
                part.state = PartState::Done;
            }
            flight.parts().all(|part| part.state == PartState::Done)
        });
        if over == Some(true) {
            self.fix_flight(core, number, now);
        }
        Status::OK
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
                let was_first = part.batch.settle(Ending::Fixed(outcome, status, handled));
                // A handler that returned this very moment has settled its part, though it has not come to say so.
                part.state = if was_first { state } else { PartState::Done };
                cut += if was_first { part.batch.len as u64 } else { 0 };
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
            flight.batch.settle_from(flight.parts().map(|part| &*part.batch));
        }
        let batch = flight.batch.clone();
        if !flight.running {
            self.drop_flight(core, number);
        }
        if let Some(histograms) = &mut core.histograms {
            histograms.handler_time.record(took.max(0) as u64);
        }
        if batch.all_ok() {
            core.count(Outcome::Ok, batch.len as u64);
        } else {
            for row in 0..batch.len {
                core.count(batch.outcome(row), 1);
            }
        }
        match self.limits.delivery {
            Delivery::AsCompleted => self.make_ready(core, batch, now),
            Delivery::Ordered => {
                let at = (number - core.turn - 1) as usize;
                if let Some(turn) = core.turns.get_mut(at) {
                    *turn = Some(batch);
                }
                while let Some(Some(_)) = core.turns.front() {
                    core.turn += 1;
                    if let Some(Some(batch)) = core.turns.pop_front() {
                        self.make_ready(core, batch, now);
                    }
                }
            }
        }
    }

    /// The flight's slot is free: its outcomes stand and no handler is inside.
    fn drop_flight(&self, core: &mut Core, number: u64) {
        if let Ok(at) = core.flights.binary_search_by_key(&number, |flight| flight.number) {
            let mut flight = core.flights.remove(at);
            self.recycle_parts(core, &mut flight);
            drop(flight);
            core.in_flight -= 1;
            self.settle_lingering(core);
        }
    }

    /// The gathered parts of a mixed batch go back to the pool; a part that is the whole batch is only let go.
    fn recycle_parts(&self, core: &mut Core, flight: &mut Flight) {
        for part in flight.parts.iter_mut().filter_map(Option::take) {
            if part.batch.is_part {
                core.recycle(part.batch);
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

    // ---- ready sets ------------------------------------------------------------------------------------------

    /// Outcomes stand: the set goes to whoever takes results, or is only counted.
    pub(crate) fn make_ready(&self, core: &mut Core, set: Shared<Batch>, now: i64) {
        if self.routes.on_result || self.limits.results == ResultsMode::Pull {
            core.ready.push_back(Ready::Set(set, now));
            if core.result_waiters > 0 && !core.taker {
                self.results.notify_all();
            }
            return;
        }
        self.mark_delivered(core, &set, 0);
        self.let_go(core, set, false);
    }

    /// The set counts as delivered, so long after it was ready: result places and flush marks.
    pub(crate) fn mark_delivered(&self, core: &mut Core, set: &Batch, took: i64) {
        if let Some(histograms) = &mut core.histograms {
            histograms.delivery_time.record(took.max(0) as u64);
        }
        core.delivered += set.len as u64;
        core.undelivered -= set.len as u64;
        match (&set.origins, set.is_removed_set) {
            (Some(origins), true) => {
                for row in 0..set.len {
                    core.ledger.deliver(origins[row], 1);
                }
            }
            _ => core.ledger.deliver(set.id, set.len as u64),
        }
        self.room_came(core, Room::Results);
        if core.done_waiters > 0 {
            self.done.notify_all();
        }
    }

    /// A delivered set goes back to the pool, at once or when its releases have run. `results_released`: its
    /// result objects were given back already.
    pub(crate) fn let_go(&self, core: &mut Core, set: Shared<Batch>, results_released: bool) {
        match Releases::of(set, results_released) {
            Ok(releases) => core.ready.push_back(Ready::Releases(releases)),
            Err((set, true)) => core.lingering.push(set),
            Err((set, false)) => core.recycle(set),
        }
    }

    /// Delivered sets that nobody looks at any more.
    pub(crate) fn settle_lingering(&self, core: &mut Core) {
        let mut at = 0;
        while at < core.lingering.len() {
            if core.lingering[at].get_mut().is_some() {
                let set = core.lingering.remove(at);
                self.let_go(core, set, true);
            } else {
                at += 1;
            }
        }
    }
}

impl Batch {
    /// Gathers the rows whose kinds are in `mask` into an empty batch; their releases stay here. False if memory
    /// ran out.
    fn gather(&self, mask: u8, part: &mut Batch) -> bool {
        let chosen = |row: &usize| mask & (1 << self.kinds()[*row]) != 0;
        let capacity = part.rows.capacity();
        if part.positions.is_none() {
            part.positions = super::column::Column::new(capacity);
        }
        part.id = self.id;
        part.first = self.first;
        part.opened_at = self.opened_at;
        part.trigger = self.trigger;
        part.number = self.number;
        part.dispatched_at = self.dispatched_at;
        if self.has_deadlines && !part.reserve_deadlines() {
            return false;
        }
        let mut count = 0;
        for (at, row) in (0..self.len).filter(chosen).enumerate() {
            let kind = self.kinds()[row];
            let is_text = kind == Kind::String as u8 || kind == Kind::Bytes as u8;
            if is_text && !part.put_text(at, self.text(row)) {
                return false;
            }
            if kind == Kind::Object as u8 {
                if !part.reserve_size() {
                    return false;
                }
                part.put_size(at, self.object_size(row));
            }
            part.rows.put(at, self.cells()[row], self.tags()[row], kind);
            if let Some(deadlines) = &mut part.deadlines
                && self.has_deadlines
            {
                deadlines[at] = self.deadline(row);
            }
            let Some(positions) = &mut part.positions else {
                return false;
            };
            positions[at] = row as u32;
            count += 1;
        }
        part.len = count;
        part.is_part = true;
        part.classify();
        part.rows.clear_results(count);
        true
    }
}
