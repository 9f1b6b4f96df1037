//! What the core lock guards: batches that wait, fly and are ready, the pool they come from, and the accounts.

use super::accounts::Recorded;
use super::batch::Batch;
use super::callers::Callers;
use super::flight::Flight;
use super::forming::FOREVER;
use super::ledger::Ledger;
use super::list::List;
use super::open::OpenInfo;
use super::options::{Delivery, Limits};
use super::ready::Ready;
use super::room::{Room, RoomWanted, Turn};
use super::rows::Rows;
use super::shelf::Shelves;
use super::value::Outcome;
use crate::sync::fd::TimerFd;
use crate::sync::{Shared, try_box};
use std::collections::VecDeque;

/// A close under way.
#[derive(Clone, Copy)]
pub(crate) struct Closing {
    /// When what is left gets discarded; FOREVER: never.
    pub(crate) due: i64,
    /// The discarding was done.
    pub(crate) discarded: bool,
    /// How many values it discarded.
    pub(crate) left: u64,
    /// The delivery that was running then: close does not wait for that one.
    pub(crate) running: Option<u64>,
}

/// Whether to look out for work before sleeping: after each failure twice as many sleeps pass without trying.
#[derive(Default)]
pub(crate) struct Spin {
    pub(crate) spinners: u32,
    failures: u32,
    skip: u32,
}

impl Spin {
    pub(crate) fn wants(&mut self) -> bool {
        if self.spinners > 0 {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        // Whoever tried and found nothing goes to sleep next.
        self.skip = 1;
        true
    }

    pub(crate) fn learn(&mut self, found: bool) {
        if found {
            self.failures = 0;
            self.skip = 0;
        } else {
            self.failures = (self.failures + 1).min(8);
            self.skip = 1 << self.failures;
        }
    }
}

/// Sets of dispatched batches in their order, those that are not there yet included.
pub(crate) type Turns = VecDeque<Option<Shared<Batch>>>;

/// The state behind the core lock. What a push looks at that opens or seals a batch stands together at the head, so that
/// few cache lines travel with it.
#[repr(C)]
pub(crate) struct Core {
    // ---- what waits
    pub(crate) open: Option<OpenInfo>,
    pub(crate) sealed: VecDeque<Shared<Batch>>,
    /// Earliest deadline of a waiting value, and of one in the open batch; FOREVER without.
    pub(crate) next_deadline: i64,
    pub(crate) open_deadline: i64,
    /// When the oldest group was granted to a producer that may have staged values; FOREVER without.
    pub(crate) staged_since: i64,
    /// Values, and bytes, that waited and do not any more.
    pub(crate) left: u64,
    pub(crate) left_bytes: u64,
    pub(crate) delivered: u64,
    // ---- who waits for it
    pub(crate) sleepers: u32,
    /// Sleepers told to wake that have not yet.
    pub(crate) waking: u32,
    /// When a sleeper wakes by itself; FOREVER if none does.
    pub(crate) watch_due: i64,
    pub(crate) time_due: i64,
    pub(crate) time_sleeps: bool,
    /// The only time thread is in a callback: whoever sleeps for work keeps the time meanwhile.
    pub(crate) time_away: bool,
    /// There is a second time thread.
    pub(crate) stand_in: bool,
    pub(crate) delivering: bool,
    /// Whoever makes the next set ready takes it.
    pub(crate) taker: bool,
    /// Threads end once nothing is left to deliver.
    pub(crate) stop: bool,
    pub(crate) spin: Spin,
    /// Where the thread ran that opened the last batch, and the one that took it.
    pub(crate) pusher_cpu: Option<u32>,
    pub(crate) handler_cpu: Option<u32>,
    /// Slots taken.
    pub(crate) in_flight: u32,
    /// Flights whose next part a host may pull.
    pub(crate) parts_due: u32,
    /// What the text of the last batch came to.
    pub(super) text_bytes: u32,
    pub(super) room_wanted: List<RoomWanted>,
    // ---- what every batch is taken from and entered in
    /// The batch that came back last: the next to be opened.
    spare: Option<Shared<Batch>>,
    pool: Vec<Shared<Batch>>,
    /// Batches made and not given back.
    batches_alive: u64,
    pub(crate) idle_since: i64,
    pub(crate) ledger: Ledger,
    pub(crate) ready: VecDeque<Ready>,
    pub(crate) close: Option<Closing>,
    pub(crate) fd: Option<TimerFd>,
    /// What batches counted and took; the head ends in it.
    pub(crate) recorded: Recorded,
    /// What the descriptor is set to: i64::MIN now, FOREVER never.
    pub(crate) fd_due: Option<i64>,
    /// Where the next batch that is made has its results.
    shelves: Shelves,
    /// Rows that a batch of the pool has room for: a set of another size is not kept.
    pooled_rows: u32,
    max_flights: u32,
    // ---- what is in flight, in dispatch order
    pub(crate) flights: Vec<Flight>,
    /// Batches dispatched so far.
    pub(crate) dispatched: u64,
    // ---- what is ready
    /// Sets that wait for their turn, if delivery is ordered: index 0 is number `turn + 1`.
    pub(crate) turns: Option<Box<Turns>>,
    pub(crate) turn: u64,
    /// Values of the set that is being delivered.
    pub(crate) delivering_values: u64,
    /// Pulled sets that were not given back, and all that were pulled.
    pub(crate) taken: u64,
    pub(crate) pulled: u64,
    /// Counts deliveries begun, so that close can tell a running one from the next.
    pub(crate) deliveries: u64,
    /// Delivered sets whose batch somebody still looks at.
    pub(crate) lingering: List<Shared<Batch>>,
    // ---- accounts
    pub(crate) undelivered: u64,
    pub(crate) late: u64,
    // ---- endings
    /// Threads that drive steps: as long as there is one, what is ready is its to deliver.
    pub(crate) drivers: u32,
    /// Nobody joins the threads any more.
    pub(crate) detached: bool,
    /// Flush marks that were begun and not ended, for the descriptor.
    pub(super) flush_marks: List<u64>,
    // ---- who else waits
    /// Threads in a callback of this batcher.
    callers: Callers,
    /// Pushes that wait, and changes that they wait for, by kind of room.
    pub(crate) room_waiters: [u32; 2],
    pub(crate) room_changes: [u64; 2],
    pub(crate) room_spin: Spin,
    /// What kind of room the one that looks out waits for.
    pub(crate) room_spinner: Option<Room>,
    /// One that sleeps was told of room and has not come yet.
    pub(crate) room_told: [bool; 2],
    pub(super) room_turn: Turn,
    pub(crate) done_waiters: u32,
    pub(crate) result_waiters: u32,
}

impl Core {
    /// None if memory ran out.
    pub(crate) fn new(callers: usize, limits: &Limits) -> Option<Core> {
        let mut core = Core {
            open: None,
            sealed: VecDeque::new(),
            next_deadline: FOREVER,
            open_deadline: FOREVER,
            staged_since: FOREVER,
            flights: Vec::new(),
            max_flights: limits.max_in_flight,
            in_flight: 0,
            parts_due: 0,
            dispatched: 0,
            ready: VecDeque::new(),
            turns: None,
            turn: 0,
            delivering: false,
            delivering_values: 0,
            taken: 0,
            pulled: 0,
            taker: false,
            deliveries: 0,
            lingering: List::new(),
            left: 0,
            left_bytes: 0,
            delivered: 0,
            undelivered: 0,
            late: 0,
            recorded: Recorded::default(),
            ledger: Ledger::default(),
            close: None,
            stop: false,
            drivers: 0,
            detached: false,
            flush_marks: List::new(),
            callers: Callers::new(),
            sleepers: 0,
            waking: 0,
            watch_due: FOREVER,
            spin: Spin::default(),
            pusher_cpu: None,
            handler_cpu: None,
            time_due: FOREVER,
            time_sleeps: false,
            time_away: false,
            stand_in: false,
            room_waiters: [0; 2],
            room_changes: [0; 2],
            room_spin: Spin::default(),
            room_spinner: None,
            room_told: [false; 2],
            room_turn: Turn::new(limits)?,
            room_wanted: List::new(),
            done_waiters: 0,
            result_waiters: 0,
            fd: None,
            fd_due: None,
            spare: None,
            pool: Vec::new(),
            batches_alive: 0,
            shelves: Shelves::default(),
            text_bytes: 0,
            // At most 2^24.
            pooled_rows: Rows::room_for(limits.max_batch_size as usize)? as u32,
            idle_since: 0,
        };
        if limits.delivery == Delivery::Ordered {
            core.turns = Some(try_box(Turns::new())?);
        }
        core.callers.reserve(callers).then_some(core)
    }

    // ---- memory ----------------------------------------------------------------------------------------------

    /// Reserves what one more batch may need until its results are delivered.
    pub(crate) fn reserve_for_batch(&mut self) -> bool {
        // For a batch of the pool everything was reserved when it was made.
        if self.has_pool() {
            return self.ledger.reserve();
        }
        self.reserve_for_new_batch()
    }

    /// As `reserve_for_batch`, for one that is made whatever the pool has.
    pub(super) fn reserve_for_new_batch(&mut self) -> bool {
        let batches = self.batches_alive as usize + 1;
        self.recorded.unpack()
            && self.ledger.reserve()
            && reserve(&mut self.sealed, batches)
            && reserve(&mut self.ready, batches)
            && self.turns.as_mut().is_none_or(|turns| reserve(turns, batches))
            && reserve_vec(&mut self.flights, batches.min(self.max_flights as usize))
            && self
                .lingering
                .reserve(batches.saturating_sub(self.lingering.len()))
            && reserve_vec(&mut self.pool, batches)
    }

    /// An empty batch, from the pool if it has one.
    pub(crate) fn take_batch(&mut self) -> Option<Shared<Batch>> {
        if let Some(batch) = self.spare.take().or_else(|| self.pool.pop()) {
            return Some(batch);
        }
        let place = self
            .shelves
            .place(self.pooled_rows as usize, self.batches_alive)?;
        self.enter_batch(Batch::of(Rows::with(place)?))
    }

    /// An empty batch with room for `rows`, however many: none of the pool.
    pub(super) fn make_batch(&mut self, rows: usize) -> Option<Shared<Batch>> {
        self.enter_batch(Batch::new(rows)?)
    }

    fn enter_batch(&mut self, batch: Batch) -> Option<Shared<Batch>> {
        let batch = Shared::try_new(batch)?;
        self.batches_alive += 1;
        Some(batch)
    }

    /// Takes back a batch nobody needs: its releases have run.
    pub(crate) fn recycle(&mut self, mut shared: Shared<Batch>) {
        let Some(batch) = shared.get_mut() else {
            self.batches_alive -= 1;
            return;
        };
        if batch.rows.capacity() != self.pooled_rows as usize {
            self.batches_alive -= 1;
            return;
        }
        batch.reset();
        let Some(shared) = self.spare.replace(shared) else {
            return;
        };
        if self.pool.len() < self.pool.capacity() {
            self.pool.push(shared);
        } else {
            self.batches_alive -= 1;
        }
    }

    /// Gives pooled memory back, and once there is no batch at all what any batch would need.
    pub(crate) fn trim(&mut self) {
        self.batches_alive -= self.pool.len() as u64 + u64::from(self.spare.is_some());
        self.spare = None;
        self.pool.clear();
        self.shelves.end();
        if self.batches_alive > 0 {
            // Those need their places in the lists.
            return;
        }
        self.recorded.pack();
        // All of them are empty: nothing is moved to a smaller place, for which memory may lack.
        self.pool.shrink_to_fit();
        self.flights.shrink_to_fit();
        self.lingering.shrink();
        self.flush_marks.shrink();
        self.room_wanted.shrink();
        self.sealed.shrink_to_fit();
        self.ready.shrink_to_fit();
        self.turns.iter_mut().for_each(|turns| turns.shrink_to_fit());
        self.ledger.shrink();
    }

    /// There is something that `trim` gives back.
    pub(crate) fn has_stock(&self) -> bool {
        self.has_pool() || (self.batches_alive == 0 && self.recorded.is_open())
    }

    fn has_pool(&self) -> bool {
        self.spare.is_some() || !self.pool.is_empty()
    }

    /// The next set whose turn it is, if it is there.
    pub(crate) fn next_in_turn(&mut self) -> Option<Shared<Batch>> {
        let turns = self.turns.as_mut()?;
        turns.front()?.as_ref()?;
        self.turn += 1;
        turns.pop_front().flatten()
    }

    /// Bytes of batch memory in use or pooled, without the open batch.
    pub(crate) fn memory(&self) -> u64 {
        let flights = self.flights.iter().map(Flight::memory).sum::<u64>();
        let ready = self.ready.iter().map(|ready| match ready {
            Ready::Set(batch, _) => batch.memory(),
            Ready::Releases(releases) => releases.set.memory(),
        });
        let sealed = self.sealed.iter().map(|batch| batch.memory());
        let turns = self.turns.iter().flat_map(|turns| turns.iter().flatten());
        let turns = turns.map(|batch| batch.memory());
        let pool = self.spare.iter().chain(&self.pool).map(|batch| batch.memory());
        flights + ready.chain(sealed).chain(turns).chain(pool).sum::<u64>()
    }

    // ---- accounts --------------------------------------------------------------------------------------------

    /// Counts outcomes that just became fixed.
    pub(crate) fn count(&mut self, outcome: Outcome, values: u64) {
        debug_assert!(self.recorded.is_open());
        if let Some(accounts) = self.recorded.open() {
            accounts.outcomes[outcome as usize] += values;
        }
        self.undelivered += values;
    }

    /// Values that wait in sealed batches.
    pub(crate) fn sealed_live(&self) -> u64 {
        self.sealed.iter().map(|batch| batch.live() as u64).sum()
    }

    // ---- callbacks -------------------------------------------------------------------------------------------

    /// The calling thread is inside a callback of this batcher.
    pub(crate) fn in_callback(&self) -> bool {
        self.callers.has_me()
    }

    /// Room for one more thread in a callback was reserved by `reserve_caller`.
    pub(crate) fn enter_callback(&mut self) {
        self.callers.enter();
    }

    pub(crate) fn reserve_caller(&mut self) -> bool {
        self.callers.reserve(1)
    }

    pub(crate) fn leave_callback(&mut self) {
        self.callers.leave();
    }

    pub(crate) fn callbacks_run(&self) -> usize {
        self.callers.len()
    }

    /// A thread sleeps that would take a batch at once.
    pub(crate) fn is_idle(&self, max_in_flight: u32) -> bool {
        self.sleepers > self.waking && self.in_flight < max_in_flight && self.sealed.is_empty()
    }

    pub(crate) fn closing(&self) -> bool {
        self.close.is_some()
    }

    /// Nothing waits, flies or is being delivered; with pulled results, fixed is enough.
    pub(crate) fn drained(&self, pulled_results: bool) -> bool {
        self.open.is_none()
            && self.sealed.is_empty()
            && self.flights.iter().all(|flight| flight.fixed)
            && (pulled_results || (self.ready.is_empty() && !self.delivering))
    }
}

fn reserve<T>(queue: &mut VecDeque<T>, len: usize) -> bool {
    queue.try_reserve(len.saturating_sub(queue.len())).is_ok()
}

fn reserve_vec<T>(vec: &mut Vec<T>, len: usize) -> bool {
    vec.try_reserve(len.saturating_sub(vec.len())).is_ok()
}
