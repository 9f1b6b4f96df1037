//! What `run` does: what is overdue, what is due, and handing it to the handlers.

use super::options::FOREVER;
use super::parts::Flight;
use super::state::{Batch, Batcher, Entry, Host, Outcome, Row, RowResult, Status};
use super::text::Value;

impl Batcher {
    pub(crate) fn advance(&mut self, now: i64) -> Status {
        if self.callbacks > 0 {
            return "REENTRANT";
        }
        self.now = self.now.max(now);
        "OK"
    }

    pub(crate) fn run(&mut self, host: &mut dyn Host) -> Status {
        if self.callbacks > 0 {
            return "REENTRANT";
        }
        self.work(host);
        "OK"
    }

    /// Does what is due, one thing after another, until nothing is.
    pub(super) fn work(&mut self, host: &mut dyn Host) {
        let limit = self.accepted;
        loop {
            self.overdue();
            if let Some(entry) = self.next_to_deliver() {
                self.deliver(entry, host);
            } else if self.has_handlers() && !self.pulled_parts && self.candidate_is_before(limit) {
                let batch = self.take_candidate();
                self.dispatch(batch, host);
            } else {
                break;
            }
        }
        if self.abandoned {
            self.tear_down(host);
        }
    }

    /// Deadlines first, then handler time-outs, then close's.
    pub(super) fn overdue(&mut self) {
        let now = self.now;
        let rows = self.remove(|row| row.deadline != 0 && row.deadline <= now);
        self.end_unhandled(rows, Outcome::Expired, "DEADLINE");
        for flight in 0..self.flights.len() {
            if !self.flights[flight].fixed && self.timeout_of(flight) <= now {
                self.give_up(flight, Outcome::Expired, "HANDLER_TIMEOUT");
            }
        }
        self.close_out();
    }

    /// When the flight times out.
    pub(super) fn timeout_of(&self, flight: usize) -> i64 {
        self.flights[flight]
            .dispatched_at
            .saturating_add(self.options.handler_timeout)
    }

    /// Discards what is left when close's time-out has come.
    pub(super) fn close_out(&mut self) {
        if !self.closed || self.close_due == FOREVER || self.close_due > self.now {
            return;
        }
        for flight in 0..self.flights.len() {
            if !self.flights[flight].fixed {
                self.left += self.give_up(flight, Outcome::Discarded, "DISCARDED");
            }
        }
        while let Some(batch) = self.sealed.pop_front() {
            let rows: Vec<Row> = batch.live().cloned().collect();
            self.left += rows.len() as u64;
            self.end_unhandled(rows, Outcome::Discarded, "DISCARDED");
        }
    }

    /// Why the open batch is due, if it is.
    pub(super) fn due(&self) -> Option<&'static str> {
        let open = self.open.as_ref()?;
        let delay = self.options.max_delay;
        if delay == 0 {
            Some("IDLE")
        } else if delay != FOREVER && open.opened_at.saturating_add(delay) <= self.now {
            Some("DELAY")
        } else if open.full {
            Some("FULL")
        } else {
            None
        }
    }

    pub(super) fn slot_is_free(&self) -> bool {
        self.in_flight() < self.options.max_in_flight
    }

    /// Whether a batch can be dispatched now whose first value is among the first `limit` accepted.
    pub(super) fn candidate_is_before(&self, limit: u64) -> bool {
        let open = if self.due().is_some() {
            self.open.as_ref()
        } else {
            None
        };
        let candidate = self.sealed.front().or(open);
        self.slot_is_free() && candidate.is_some_and(|batch| batch.rows[0].seq < limit)
    }

    pub(super) fn take_candidate(&mut self) -> Batch {
        if self.sealed.is_empty()
            && let Some(trigger) = self.due()
        {
            self.seal_open(trigger);
        }
        self.sealed
            .pop_front()
            .expect("candidate_is_before answered true")
    }

    /// Puts the batch in flight; answers its index.
    pub(crate) fn launch(&mut self, batch: &Batch) -> usize {
        let flight = Flight::new(self, batch);
        for (numbers, value) in [
            (&mut self.counters.batch_size, flight.rows.len() as u64),
            (&mut self.counters.queue_time, flight.age() as u64),
        ] {
            *numbers = [numbers[0] + 1, numbers[1] + value, numbers[2].max(value)];
        }
        self.flights.push(flight);
        self.flights.len() - 1
    }

    pub(super) fn dispatch(&mut self, batch: Batch, host: &mut dyn Host) {
        let flight = self.launch(&batch);
        self.flights[flight].running = true;
        let last = self.flights[flight].parts.len() - 1;
        for part in 0..=last {
            if self.flights[flight].fixed {
                break;
            }
            self.callbacks += 1;
            self.start(flight, part);
            let returned = host.handler(self, flight, part);
            self.callbacks -= 1;
            // The last handler has returned: nobody is shown the batch any more, unless it was kept.
            self.flights[flight].running = part < last;
            self.returned(flight, part, returned);
        }
        self.flights[flight].running = false;
        self.let_go(flight);
    }

    /// A part of a known data set, as a batch in flight whose handler is called next.
    pub(crate) fn launch_part(&mut self, values: &[Value], first_tag: u64) -> usize {
        let row = |(at, value): (usize, &Value)| Row {
            seq: 0,
            tag: first_tag + at as u64,
            value: value.clone(),
            deadline: 0,
            owned: None,
            live: true,
        };
        let rows = values.iter().enumerate().map(row).collect();
        let flight = self.launch(&Batch {
            rows,
            opened_at: 0,
            trigger: "-",
            full: false,
        });
        self.flights[flight].parts[0].handler = "map";
        self.start(flight, 0);
        flight
    }

    /// The results that were fixed last, of a part of a known data set.
    pub(crate) fn take_results(&mut self) -> Vec<RowResult> {
        match self.ready.pop_front() {
            Some(Entry::Results(results)) => results.rows,
            _ => Vec::new(),
        }
    }
}
