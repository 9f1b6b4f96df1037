//! The state of a batcher: accepted values, batches, results, counters, and the gauges that tell of them.
//!
//! Words: a row *waits* while it is in the open batch or a sealed one; it is *outstanding* until its outcome is
//! fixed; it holds its result *place* until its result is delivered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::options::{FOREVER, Options};
use super::parts::Flight;
use super::payload::Payload;
use super::text::Value;

/// A status by its name, without the prefix.
pub(crate) type Status = &'static str;

/// What can become of a value, as an index into the counters.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Outcome {
    Ok,
    Failed,
    Expired,
    Cancelled,
    Discarded,
}

/// An accepted value.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) seq: u64,
    pub(crate) tag: u64,
    pub(crate) value: Value,
    pub(crate) deadline: i64,
    /// The owned push it belongs to.
    pub(crate) owned: Option<u64>,
    pub(super) live: bool,
}

/// A batch that is open or sealed. Removed rows stay in it, dead, and count for its size and bytes.
pub(crate) struct Batch {
    pub(crate) rows: Vec<Row>,
    pub(crate) opened_at: i64,
    pub(crate) trigger: &'static str,
    pub(super) full: bool,
}

impl Batch {
    pub(super) fn bytes(&self) -> u64 {
        self.rows.iter().map(|row| row.value.weight()).sum()
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.live)
    }
}

/// The result of one value.
#[derive(Clone)]
pub(crate) struct RowResult {
    pub(crate) row: Row,
    pub(crate) outcome: Outcome,
    pub(crate) handled: &'static str,
    pub(crate) payload: Payload,
}

/// What is delivered at once: the results of one batch, or of values that were never dispatched (batch 0).
#[derive(Clone)]
pub(crate) struct ResultSet {
    pub(crate) batch: u64,
    pub(crate) rows: Vec<RowResult>,
}

/// One thing to give back to its owner.
#[derive(Clone, Copy)]
pub(crate) enum Release {
    Object(u64),
    Owned(u64),
}

/// What waits to be called back.
pub(super) enum Entry {
    Results(ResultSet),
    Releases(Vec<Release>),
}

/// The user's side: it is called back, and may call the batcher again.
pub(crate) trait Host {
    /// Works on a part; answers what the handler returned.
    fn handler(&mut self, batcher: &mut Batcher, flight: usize, part: usize) -> i32;
    fn on_result(&mut self, batcher: &mut Batcher, results: &ResultSet);
    fn released(&mut self, batcher: &mut Batcher, release: Release);
}

/// The counters that no other state tells.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) outcomes: [u64; 5],
    pub(crate) late: u64,
    pub(crate) triggers: BTreeMap<&'static str, u64>,
    pub(crate) refusals: BTreeMap<Status, u64>,
    /// Count, sum and maximum.
    pub(crate) batch_size: [u64; 3],
    pub(crate) queue_time: [u64; 3],
}

pub(crate) struct Batcher {
    pub(crate) options: Options,
    /// Which kinds have a handler of their own, by kind code.
    pub(crate) handlers: [bool; 7],
    pub(crate) default_handler: bool,
    /// These handlers are the host's, which pulls the parts for them.
    pub(crate) pulled_parts: bool,
    pub(crate) has_on_result: bool,
    pub(crate) now: i64,
    pub(crate) closed: bool,
    pub(super) close_due: i64,
    pub(super) left: u64,
    pub(super) abandoned: bool,
    pub(super) freeing: bool,
    pub(crate) freed: bool,
    /// Nobody has a handle of it any more.
    pub(crate) gone: bool,
    pub(crate) stale_handles: bool,
    /// How many callbacks are running.
    pub(super) callbacks: u32,
    pub(super) open: Option<Batch>,
    pub(super) sealed: VecDeque<Batch>,
    /// Every batch ever dispatched; batch number n is at n - 1.
    pub(crate) flights: Vec<Flight>,
    /// With ordered delivery: the first flight whose results have not entered `ready`.
    pub(super) turn: usize,
    pub(super) ready: VecDeque<Entry>,
    pub(crate) accepted: u64,
    /// The values that hold a result place, by sequence number.
    pub(super) places: BTreeSet<u64>,
    /// How many accepted values each owned push still has.
    pub(super) owned: BTreeMap<u64, u64>,
    /// How many references to each object are held.
    pub(super) objects: BTreeMap<u64, u64>,
    pub(crate) counters: Counters,
}

impl Batcher {
    pub(crate) fn new(
        options: Options,
        handlers: [bool; 7],
        default_handler: bool,
        has_on_result: bool,
    ) -> Batcher {
        Batcher {
            options,
            handlers,
            default_handler,
            pulled_parts: false,
            has_on_result,
            now: 0,
            closed: false,
            close_due: FOREVER,
            left: 0,
            abandoned: false,
            freeing: false,
            freed: false,
            gone: false,
            stale_handles: true,
            callbacks: 0,
            open: None,
            sealed: VecDeque::new(),
            flights: Vec::new(),
            turn: 0,
            ready: VecDeque::new(),
            accepted: 0,
            places: BTreeSet::new(),
            owned: BTreeMap::new(),
            objects: BTreeMap::new(),
            counters: Counters::default(),
        }
    }

    // ---- gauges ----

    pub(super) fn has_handlers(&self) -> bool {
        self.default_handler || self.handlers.contains(&true)
    }

    pub(super) fn waiting_rows(&self) -> impl Iterator<Item = &Row> {
        self.sealed.iter().chain(&self.open).flat_map(Batch::live)
    }

    pub(crate) fn waiting(&self) -> u64 {
        self.waiting_rows().count() as u64
    }

    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.waiting_rows().map(|row| row.value.weight()).sum()
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.flights.iter().filter(|flight| flight.holds_slot()).count() as u64
    }

    pub(crate) fn outstanding(&self) -> u64 {
        let flying = self
            .flights
            .iter()
            .filter(|flight| !flight.fixed)
            .map(|flight| flight.rows.len() as u64);
        self.waiting() + flying.sum::<u64>()
    }

    pub(crate) fn undelivered(&self) -> u64 {
        self.places.len() as u64 - self.outstanding()
    }

    pub(crate) fn oldest_in_flight_age(&self) -> i64 {
        let oldest = self.flights.iter().find(|flight| flight.holds_slot());
        oldest.map_or(0, |flight| self.now - flight.dispatched_at)
    }

    /// Once the batcher is freed and nothing is held, every value was delivered and every reference given back once.
    pub(crate) fn assert_settled(&self) {
        assert!(
            self.places.is_empty(),
            "a result was not delivered: {:?}",
            self.places
        );
        assert!(
            self.owned.values().all(|left| *left == 0),
            "owned pushes are held: {:?}",
            self.owned
        );
        assert!(
            self.objects.values().all(|left| *left == 0),
            "objects are held: {:?}",
            self.objects
        );
    }
}
