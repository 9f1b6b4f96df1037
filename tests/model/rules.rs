//! The rules: what every call does to the state, and what is called back in which order.
//!
//! Words: a row *waits* while it is in the open batch or a sealed one; it is *outstanding* until its outcome is
//! fixed; it holds its result *place* until its result is delivered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::options::{FOREVER, OnFull, Options};
use super::parts::{Flight, Payload};
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
    fn bytes(&self) -> u64 {
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

    // ---- push ----

    /// Takes or refuses one value.
    pub(crate) fn push(&mut self, value: Value, tag: u64, deadline: i64, owned: Option<u64>) -> Status {
        if owned.is_some() && !matches!(value, Value::String(_) | Value::Bytes(_)) {
            return "INVALID_ARGUMENT";
        }
        self.push_of_array(value, tag, deadline, owned)
    }

    /// The same for a value of a bulk push: an owned array may have nulls, and they hold it too.
    pub(crate) fn push_of_array(
        &mut self,
        value: Value,
        tag: u64,
        deadline: i64,
        owned: Option<u64>,
    ) -> Status {
        let status = self.take(value, tag, deadline, owned);
        if status != "OK" {
            *self.counters.refusals.entry(status).or_default() += 1;
        }
        status
    }

    fn take(&mut self, value: Value, tag: u64, deadline: i64, owned: Option<u64>) -> Status {
        if let Some(refusal) = self.never_takes(&value) {
            return refusal;
        }
        let weight = value.weight();
        if self.lacks_room(weight).is_some() {
            if let Some(open) = &mut self.open {
                open.full = true;
            }
            if let Some(refusal) = self.refuses(weight) {
                return refusal;
            }
            self.discard_oldest(weight);
        }
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.bytes() + weight > self.options.max_batch_bytes)
        {
            self.seal_open("BYTES");
        }
        self.hold(&value);
        let now = self.now;
        let fresh = || Batch {
            rows: Vec::new(),
            opened_at: now,
            trigger: "",
            full: false,
        };
        let seq = self.accepted;
        let rows = &mut self.open.get_or_insert_with(fresh).rows;
        rows.push(Row {
            seq,
            tag,
            value,
            deadline,
            owned,
            live: true,
        });
        let size = rows.len() as u64;
        self.accepted += 1;
        self.places.insert(seq);
        if let Some(id) = owned {
            *self.owned.entry(id).or_default() += 1;
        }
        if size == self.options.max_batch_size {
            self.seal_open("SIZE");
        }
        "OK"
    }

    /// An object pushed or set hands a reference over.
    pub(crate) fn hold(&mut self, value: &Value) {
        if let Value::Object { word, .. } = value {
            *self.objects.entry(*word).or_default() += 1;
        }
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

    /// Why no amount of room would let the value in.
    fn never_takes(&self, value: &Value) -> Option<Status> {
        if let Some(refusal) = self.unacceptable(value) {
            Some(refusal)
        } else if self.closed {
            Some("CLOSED")
        } else if self.has_handlers() && !self.handlers[value.kind()] && !self.default_handler {
            Some("NO_HANDLER")
        } else if value.weight() > self.options.max_batch_bytes {
            Some("TOO_LARGE")
        } else {
            None
        }
    }

    /// What is wrong with the value itself, pushed or set as a result.
    pub(crate) fn unacceptable(&self, value: &Value) -> Option<Status> {
        match value {
            Value::String(data) if std::str::from_utf8(data).is_err() => Some("INVALID_UTF8"),
            Value::Object { owner, .. } if *owner == 0 || *owner != self.options.owner => Some("WRONG_OWNER"),
            _ => None,
        }
    }

    fn lacks_place(&self) -> bool {
        self.places.len() as u64 + 1 > self.options.result_capacity
    }

    /// The first thing there is too little of.
    fn lacks_room(&self, weight: u64) -> Option<Status> {
        if self.waiting() + 1 > self.options.queue_capacity {
            Some("QUEUE_FULL")
        } else if self.waiting_bytes() + weight > self.options.queue_bytes {
            Some("QUEUE_FULL_BYTES")
        } else if self.lacks_place() {
            Some("RESULTS_FULL")
        } else {
            None
        }
    }

    /// What a push that lacks room answers; `None` when discarding can make room, or none is lacking.
    fn refuses(&self, weight: u64) -> Option<Status> {
        match self.options.on_full {
            OnFull::Refuse => self.lacks_room(weight),
            OnFull::DiscardOldest => self.lacks_place().then_some("RESULTS_FULL"),
        }
    }

    fn discard_oldest(&mut self, weight: u64) {
        let (mut count, mut bytes) = (self.waiting(), self.waiting_bytes());
        let (capacity, most) = (self.options.queue_capacity, self.options.queue_bytes);
        let rows = self.remove(|row| {
            let goes = count + 1 > capacity || bytes + weight > most;
            if goes {
                count -= 1;
                bytes -= row.value.weight();
            }
            goes
        });
        self.end_unhandled(rows, Outcome::Discarded, "DISCARDED");
    }

    /// What push would answer.
    pub(crate) fn check(&self, value: &Value) -> Status {
        self.never_takes(value)
            .or_else(|| self.refuses(value.weight()))
            .unwrap_or("OK")
    }

    /// Whether the lightest value would find room. If not, the open batch is due, as after a push that found none.
    pub(crate) fn room(&mut self) -> Status {
        let lack = self.lacks_room(8);
        if lack.is_some()
            && let Some(open) = &mut self.open
        {
            open.full = true;
        }
        if self.closed {
            "CLOSED"
        } else {
            lack.unwrap_or("OK")
        }
    }

    // ---- waiting values ----

    /// Takes the live waiting rows that `goes` picks, in queue order; batches left without any are dropped.
    pub(super) fn remove(&mut self, mut goes: impl FnMut(&Row) -> bool) -> Vec<Row> {
        let mut removed = Vec::new();
        for batch in self.sealed.iter_mut().chain(&mut self.open) {
            for row in &mut batch.rows {
                if row.live && goes(row) {
                    removed.push(row.clone());
                    row.live = false;
                }
            }
        }
        self.sealed.retain(|batch| batch.live().next().is_some());
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.live().next().is_none())
        {
            self.open = None;
        }
        removed
    }

    /// Gives values that were never dispatched their outcome: one result set.
    pub(super) fn end_unhandled(&mut self, rows: Vec<Row>, outcome: Outcome, code: Status) {
        if rows.is_empty() {
            return;
        }
        self.counters.outcomes[outcome as usize] += rows.len() as u64;
        let end = |row| RowResult {
            row,
            outcome,
            handled: "NO",
            payload: Payload::library(code),
        };
        self.enter(ResultSet {
            batch: 0,
            rows: rows.into_iter().map(end).collect(),
        });
    }

    /// Cancels every waiting value with the tag; answers how many.
    pub(crate) fn cancel(&mut self, tag: u64) -> (Status, u64) {
        let rows = self.remove(|row| row.tag == tag);
        let count = rows.len() as u64;
        self.end_unhandled(rows, Outcome::Cancelled, "CANCELLED");
        let flying = || {
            self.flights
                .iter()
                .any(|flight| !flight.fixed && flight.rows.iter().any(|row| row.tag == tag))
        };
        let status = if count > 0 {
            "OK"
        } else if flying() {
            "TOO_LATE"
        } else {
            "NOT_FOUND"
        };
        (status, count)
    }

    pub(super) fn seal_open(&mut self, trigger: &'static str) {
        if let Some(mut batch) = self.open.take() {
            batch.trigger = trigger;
            *self.counters.triggers.entry(trigger).or_default() += 1;
            self.sealed.push_back(batch);
        }
    }

    pub(crate) fn seal(&mut self) -> Status {
        if self.closed {
            return "CLOSED";
        }
        self.seal_open("FLUSH");
        "OK"
    }
}
