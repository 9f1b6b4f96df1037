//! From fixed outcomes to delivered results and given-back references, called back or pulled.

use super::payload::Payload;
use super::state::{Batcher, Entry, Host, Release, ResultSet, Row, Status};
use super::text::Value;

impl Batcher {
    /// With ordered delivery a batch's results wait for those of all batches dispatched before it.
    pub(crate) fn enter_in_turn(&mut self, flight: usize) {
        if !self.options.ordered {
            let results = self.flights[flight]
                .results
                .take()
                .expect("a fixed flight has results");
            self.enter(results);
            return;
        }
        while let Some(results) = self
            .flights
            .get_mut(self.turn)
            .and_then(|first| first.results.take())
        {
            self.turn += 1;
            self.enter(results);
        }
    }

    pub(super) fn enter(&mut self, results: ResultSet) {
        if self.has_on_result || self.options.pull_results {
            self.ready.push_back(Entry::Results(results));
        } else {
            self.delivered(&results);
            let releases = self.releases(&results);
            self.owe(releases);
        }
    }

    /// Queues releases that belong to no result set that is still to be delivered.
    pub(crate) fn owe(&mut self, releases: Vec<Release>) {
        if !releases.is_empty() {
            self.ready.push_back(Entry::Releases(releases));
        }
    }

    /// The first thing that run can call back: pulled results stay until they are taken.
    pub(super) fn next_to_deliver(&mut self) -> Option<Entry> {
        let pull = self.options.pull_results;
        let at = self
            .ready
            .iter()
            .position(|entry| !pull || matches!(entry, Entry::Releases(_)))?;
        self.ready.remove(at)
    }

    pub(super) fn deliver(&mut self, entry: Entry, host: &mut dyn Host) {
        let releases = match entry {
            Entry::Releases(releases) => releases,
            Entry::Results(results) => {
                self.callbacks += 1;
                host.on_result(self, &results);
                self.callbacks -= 1;
                self.delivered(&results);
                self.releases(&results)
            }
        };
        self.give_back(releases, host);
    }

    /// Delivery frees the result places.
    pub(super) fn delivered(&mut self, results: &ResultSet) {
        for result in &results.rows {
            self.places.remove(&result.row.seq);
        }
    }

    /// What a delivered set gives back: the values pushed, in row order, then the result objects, then the
    /// objects that were set and did not become results. While a part of the batch is held, only the result objects.
    pub(super) fn releases(&mut self, results: &ResultSet) -> Vec<Release> {
        let inputs = results
            .rows
            .iter()
            .filter_map(|result| input_release(&result.row));
        let objects = results.rows.iter().filter_map(|result| match &result.payload {
            Payload::Value(Value::Object { word, .. }) => Some(Release::Object(*word)),
            _ => None,
        });
        if results.batch == 0 {
            return inputs.collect();
        }
        let flight = &mut self.flights[results.batch as usize - 1];
        flight.delivered = true;
        if flight.is_shown() {
            return objects.collect();
        }
        flight.released = true;
        let dropped = flight.dropped.drain(..).map(Release::Object);
        inputs.chain(objects).chain(dropped).collect()
    }

    /// When the last hold on a delivered batch is gone, what it kept is released.
    pub(crate) fn let_go(&mut self, flight: usize) {
        let flight = &mut self.flights[flight];
        if flight.delivered && !flight.released && !flight.is_shown() {
            flight.released = true;
            let dropped = flight.dropped.drain(..).map(Release::Object);
            let releases = flight
                .rows
                .iter()
                .filter_map(input_release)
                .chain(dropped)
                .collect();
            self.owe(releases);
        }
    }

    pub(super) fn give_back(&mut self, releases: Vec<Release>, host: &mut dyn Host) {
        for release in releases {
            if let Release::Owned(id) = release {
                let left = self.owned.get_mut(&id).expect("an owned push that was accepted");
                *left -= 1;
                if *left > 0 {
                    continue;
                }
            }
            if let Release::Object(word) = release {
                *self
                    .objects
                    .get_mut(&word)
                    .expect("an object that was handed over") -= 1;
            }
            self.callbacks += 1;
            host.released(self, release);
            self.callbacks -= 1;
        }
    }

    /// After `free` nobody runs any more: what a held batch kept is released by the call that gives it up, or, in a
    /// release callback, when that has returned.
    pub(crate) fn give_back_if_freed(&mut self, host: &mut dyn Host) {
        if self.freed && self.callbacks == 0 {
            while let Some(Entry::Releases(releases)) = self.ready.pop_front() {
                self.give_back(releases, host);
            }
        }
    }

    // ---- pulling ----

    /// Hands a whole batch out, or the next part of one; the index of its flight and the part.
    pub(crate) fn next_batch(&mut self) -> Result<(usize, usize), Status> {
        if self.has_handlers() && !self.pulled_parts {
            return Err("WRONG_MODE");
        }
        if self.callbacks > 0 {
            return Err("REENTRANT");
        }
        self.overdue();
        if let Some(next) = self.next_part() {
            self.hand_out(next.0, next.1);
            return Ok(next);
        }
        if self.candidate_is_before(u64::MAX) {
            let batch = self.take_candidate();
            let flight = self.launch(&batch);
            self.hand_out(flight, 0);
            return Ok((flight, 0));
        }
        let ahead = self.pulled_parts && self.flights.iter().any(super::parts::Flight::has_parts_ahead);
        Err(if self.closed && self.waiting() == 0 && !ahead {
            "CLOSED"
        } else {
            "TIMEOUT"
        })
    }

    /// The first part that waits only to be handed out.
    pub(super) fn next_part(&self) -> Option<(usize, usize)> {
        let mut flights = self.flights.iter().enumerate();
        let found = flights.find_map(|(at, flight)| flight.next_pulled().map(|part| (at, part)));
        found.filter(|_| self.pulled_parts)
    }

    /// Hands a result set out: that is its delivery. What it holds is given back by `free_results`.
    pub(crate) fn next_results(&mut self) -> Result<ResultSet, Status> {
        if !self.options.pull_results {
            return Err("WRONG_MODE");
        }
        if self.callbacks > 0 {
            return Err("REENTRANT");
        }
        self.overdue();
        self.next_ready_results()
            .ok_or(if self.closed && self.outstanding() == 0 {
                "CLOSED"
            } else {
                "TIMEOUT"
            })
    }

    /// The same without a look at the clock, behind a completion.
    pub(crate) fn next_ready_results(&mut self) -> Option<ResultSet> {
        let pulls = self.options.pull_results && self.callbacks == 0;
        let first = self
            .ready
            .iter()
            .position(|entry| matches!(entry, Entry::Results(_)));
        match first.filter(|_| pulls).and_then(|at| self.ready.remove(at)) {
            Some(Entry::Results(results)) => {
                self.delivered(&results);
                Some(results)
            }
            _ => None,
        }
    }

    pub(crate) fn free_results(&mut self, results: &ResultSet, host: &mut dyn Host) {
        let releases = self.releases(results);
        self.give_back(releases, host);
    }
}

/// What the value as pushed gives back.
fn input_release(row: &Row) -> Option<Release> {
    match row.value {
        Value::Object { word, .. } => Some(Release::Object(word)),
        _ => row.owned.map(Release::Owned),
    }
}
