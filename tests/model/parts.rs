//! The life of a batch in flight: its parts, what handlers set in them, how they complete.

use super::payload::{Failure, Payload};
use super::state::{Batch, Batcher, Host, Outcome, ResultSet, Row, RowResult, Status};
use super::text::Value;

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// Its handler has not been called.
    Ahead,
    /// Its handler runs.
    Running,
    /// Someone holds it: kept by the handler, or handed out by next_batch.
    Held,
    /// It was handed out to a host's handler, which has not returned.
    Pulled,
    /// It was completed or given up by its holder.
    Finished,
}

/// A handler's share of a batch.
pub(crate) struct Part {
    /// The name of its handler: a kind, `default` or `pulled`.
    pub(crate) handler: &'static str,
    /// Rows of the flight, in order.
    pub(crate) rows: Vec<usize>,
    phase: Phase,
    /// What was set for each row; final once the part completes.
    set: Vec<Option<Payload>>,
    /// Fails every row of the part.
    failure: Option<Failure>,
    /// Final results: handled, outcome and payload by row.
    fixed: Option<Vec<(Outcome, &'static str, Payload)>>,
}

/// A batch that was dispatched.
pub(crate) struct Flight {
    pub(crate) number: u64,
    pub(crate) rows: Vec<Row>,
    pub(crate) parts: Vec<Part>,
    pub(crate) trigger: &'static str,
    opened_at: i64,
    pub(crate) dispatched_at: i64,
    /// Its handlers are being called.
    pub(crate) running: bool,
    /// Every row has its outcome.
    pub(crate) fixed: bool,
    /// The fixed results, until they enter the ready queue.
    pub(crate) results: Option<ResultSet>,
    pub(crate) delivered: bool,
    pub(crate) released: bool,
    /// Objects that were set and did not become results, in the order that became known.
    pub(crate) dropped: Vec<u64>,
}

/// How a part ends when its handler or holder is done with it.
pub(crate) enum Ending {
    /// What is set counts; unset rows fail.
    Completed,
    /// What is set counts; unset rows are OK with null.
    CompletedOk,
    /// The holder gave it up.
    Freed,
}

impl Flight {
    pub(crate) fn new(batcher: &Batcher, batch: &Batch) -> Flight {
        let rows: Vec<Row> = batch.live().cloned().collect();
        let mut parts = Vec::new();
        let mut rest: Vec<usize> = (0..rows.len()).collect();
        for (kind, name) in super::text::KINDS.iter().enumerate() {
            let has_kind = |row: &usize| rows[*row].value.kind() == kind;
            if batcher.handlers[kind] && rest.iter().any(has_kind) {
                parts.push(Part::new(name, rest.iter().copied().filter(has_kind).collect()));
                rest.retain(|row| !has_kind(row));
            }
        }
        if !rest.is_empty() {
            parts.push(Part::new(
                if batcher.default_handler {
                    "default"
                } else {
                    "pulled"
                },
                rest,
            ));
        }
        Flight {
            number: batcher.flights.len() as u64 + 1,
            rows,
            parts,
            trigger: batch.trigger,
            opened_at: batch.opened_at,
            dispatched_at: batcher.now,
            running: false,
            fixed: false,
            results: None,
            delivered: false,
            released: false,
            dropped: Vec::new(),
        }
    }

    pub(crate) fn age(&self) -> i64 {
        self.dispatched_at - self.opened_at
    }

    /// A synchronous handler keeps the slot until it returns.
    pub(crate) fn holds_slot(&self) -> bool {
        !self.fixed || self.running
    }

    /// Whether someone can still read the batch.
    pub(crate) fn is_shown(&self) -> bool {
        let shown = |part: &Part| matches!(part.phase, Phase::Held | Phase::Pulled);
        self.running || self.parts.iter().any(shown)
    }

    /// The next part to be handed out, if the batch goes in parts: none while a host's handler is at work on it.
    pub(crate) fn next_pulled(&self) -> Option<usize> {
        let busy = self.parts.iter().any(|part| part.phase == Phase::Pulled);
        let next = self.parts.iter().position(|part| part.phase == Phase::Ahead);
        next.filter(|_| !busy && !self.fixed)
    }

    /// Parts that are to be handed out yet.
    pub(crate) fn has_parts_ahead(&self) -> bool {
        !self.fixed && self.parts.iter().any(|part| part.phase == Phase::Ahead)
    }

    fn drop_object(&mut self, payload: Option<Payload>) {
        if let Some(Payload::Value(Value::Object { word, .. })) = payload {
            self.dropped.push(word);
        }
    }

    fn drop_set(&mut self, part: usize) {
        for row in 0..self.parts[part].set.len() {
            let payload = self.parts[part].set[row].take();
            self.drop_object(payload);
        }
    }
}

impl Part {
    fn new(handler: &'static str, rows: Vec<usize>) -> Part {
        let set = vec![None; rows.len()];
        Part {
            handler,
            rows,
            phase: Phase::Ahead,
            set,
            failure: None,
            fixed: None,
        }
    }
}

impl Batcher {
    pub(crate) fn start(&mut self, flight: usize, part: usize) {
        self.flights[flight].parts[part].phase = Phase::Running;
    }

    pub(crate) fn keep(&mut self, flight: usize, part: usize) {
        self.flights[flight].parts[part].phase = Phase::Held;
    }

    pub(super) fn hand_out(&mut self, flight: usize, part: usize) {
        self.flights[flight].parts[part].phase = if self.pulled_parts {
            Phase::Pulled
        } else {
            Phase::Held
        };
    }

    /// The host's handler of a pulled part has returned, and the part is held on.
    pub(crate) fn keep_pulled(&mut self, flight: usize, part: usize) -> Status {
        let flight = &mut self.flights[flight];
        if flight.fixed {
            return "TOO_LATE";
        }
        match flight.parts[part].phase {
            Phase::Pulled => {
                flight.parts[part].phase = Phase::Held;
                "OK"
            }
            _ => "INVALID_ARGUMENT",
        }
    }

    /// The values of a part with their tags.
    pub(crate) fn part_rows(&self, flight: usize, part: usize) -> Vec<(Value, u64)> {
        let flight = &self.flights[flight];
        let rows = flight.parts[part].rows.iter();
        rows.map(|row| (flight.rows[*row].value.clone(), flight.rows[*row].tag))
            .collect()
    }

    // ---- setting ----

    /// Sets one row of a part; a value set before is replaced.
    pub(crate) fn set(&mut self, flight: usize, part: usize, row: usize, payload: Payload) -> Status {
        if let Payload::Value(value) = &payload
            && let Some(refusal) = self.unacceptable(value)
        {
            return refusal;
        }
        if row >= self.flights[flight].parts[part].set.len() {
            return "INVALID_ARGUMENT";
        }
        if let Payload::Value(value) = &payload {
            self.hold(value);
        }
        let flight = &mut self.flights[flight];
        if flight.fixed {
            flight.drop_object(Some(payload));
            return "TOO_LATE";
        }
        let before = flight.parts[part].set[row].replace(payload);
        flight.drop_object(before);
        "OK"
    }

    /// Sets all rows; another number of results than rows fails the part.
    pub(crate) fn set_all(&mut self, flight: usize, part: usize, values: Vec<Value>) -> Status {
        if values.len() != self.flights[flight].parts[part].rows.len() {
            let status = self.fail_all(flight, part, Failure::library("RESULT_COUNT"));
            return if status == "OK" { "RESULT_COUNT" } else { status };
        }
        let mut status = "OK";
        for (row, value) in values.into_iter().enumerate() {
            status = self.set(flight, part, row, Payload::Value(value));
        }
        status
    }

    pub(crate) fn fail_all(&mut self, flight: usize, part: usize, failure: Failure) -> Status {
        if self.flights[flight].fixed {
            return "TOO_LATE";
        }
        self.flights[flight].parts[part].failure = Some(failure);
        "OK"
    }

    // ---- finishing ----

    /// The handler of a part returned.
    pub(crate) fn returned(&mut self, flight: usize, part: usize, code: i32) {
        let this = &mut self.flights[flight].parts[part];
        if this.phase != Phase::Running {
            return; // kept: what it returned does not matter
        }
        if code != 0 {
            // fail_all gives the words, the return value the code
            let said = this.failure.take();
            let (type_name, message) = said
                .map(|said| (said.type_name, said.message))
                .unwrap_or_default();
            this.failure = Some(Failure::new(code, type_name, message));
        }
        self.finish(flight, part, Ending::Completed);
    }

    /// The holder of a part is done with it.
    pub(crate) fn give_up_hold(
        &mut self,
        flight: usize,
        part: usize,
        ending: Ending,
        host: &mut dyn Host,
    ) -> Status {
        let status = self.finish(flight, part, ending);
        self.let_go(flight);
        self.give_back_if_freed(host);
        status
    }

    /// A batch that its holder gave up is used once more; a second completion counts.
    pub(crate) fn used_again(&mut self, completes: bool) -> Status {
        self.counters.late += u64::from(completes && self.stale_handles);
        "TOO_LATE"
    }

    fn finish(&mut self, flight: usize, part: usize, ending: Ending) -> Status {
        let this = &mut self.flights[flight];
        this.parts[part].phase = Phase::Finished;
        if this.fixed {
            if matches!(ending, Ending::Freed) {
                return "OK";
            }
            self.counters.late += 1;
            return "TOO_LATE";
        }
        let failed =
            |failure: &Failure, handled| (Outcome::Failed, handled, Payload::Failure(failure.clone()));
        let count = this.parts[part].rows.len();
        let whole = match &ending {
            Ending::Freed => Some(failed(&Failure::library("NO_RESULT"), "MAYBE")),
            _ => this.parts[part]
                .failure
                .as_ref()
                .map(|failure| failed(failure, "YES")),
        };
        let fixed = if let Some(whole) = whole {
            this.drop_set(part);
            vec![whole; count]
        } else {
            let unset = || match ending {
                Ending::CompletedOk => Payload::Value(Value::Null),
                _ => Payload::library("NO_RESULT"),
            };
            let finish = |set: &mut Option<Payload>| match set.take().unwrap_or_else(unset) {
                Payload::Value(value) => (Outcome::Ok, "YES", Payload::Value(value)),
                Payload::Failure(failure) => failed(&failure, "YES"),
            };
            this.parts[part].set.iter_mut().map(finish).collect()
        };
        this.parts[part].fixed = Some(fixed);
        if this.parts.iter().all(|part| part.fixed.is_some()) {
            self.fix(flight);
        }
        "OK"
    }

    /// Ends a flight that is out of time: finished parts keep their results, the other values get this outcome.
    /// Answers how many those are.
    pub(crate) fn give_up(&mut self, flight: usize, outcome: Outcome, code: Status) -> u64 {
        let this = &mut self.flights[flight];
        let mut count = 0;
        for part in 0..this.parts.len() {
            if this.parts[part].fixed.is_none() {
                this.drop_set(part);
                let rows = this.parts[part].rows.len();
                let handled = if this.parts[part].phase == Phase::Ahead {
                    "NO"
                } else {
                    "MAYBE"
                };
                this.parts[part].fixed = Some(vec![(outcome, handled, Payload::library(code)); rows]);
                count += rows as u64;
            }
        }
        self.fix(flight);
        count
    }

    /// All parts have results: they merge in the original order and the outcomes count.
    fn fix(&mut self, flight: usize) {
        let this = &mut self.flights[flight];
        this.fixed = true;
        let mut merged: Vec<(usize, RowResult)> = Vec::new();
        for part in &this.parts {
            let fixed = part.fixed.iter().flatten();
            for (row, (outcome, handled, payload)) in part.rows.iter().zip(fixed) {
                let payload = payload.clone();
                let result = RowResult {
                    row: this.rows[*row].clone(),
                    outcome: *outcome,
                    handled,
                    payload,
                };
                merged.push((*row, result));
            }
        }
        merged.sort_by_key(|(row, _)| *row);
        for (_, result) in &merged {
            self.counters.outcomes[result.outcome as usize] += 1;
        }
        let rows = merged.into_iter().map(|(_, result)| result).collect();
        this.results = Some(ResultSet {
            batch: this.number,
            rows,
        });
        self.enter_in_turn(flight);
    }
}
