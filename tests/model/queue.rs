//! The values that wait: push, check and room; cancel and seal.

use super::options::OnFull;
use super::payload::Payload;
use super::state::{Batch, Batcher, Outcome, ResultSet, Row, RowResult, Status};
use super::text::Value;

impl Batcher {
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
