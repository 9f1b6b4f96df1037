//! What comes out: sets of results and released objects, and waiting for them.

use super::{Account, RESULT};
use crate::world::{self, ensure, ensure_eq};
use crate::{Handled, Outcome, Results, Status, Value};

impl Account {
    /// Takes a set of results.
    pub fn deliver(&self, results: &Results<'_>) {
        self.ensure_right_thread("on_result");
        let beside = std::mem::replace(&mut self.book().delivering, true);
        ensure(!beside, "on_result runs beside itself");
        self.take(results);
        world::dawdle(1);
        self.done(results);
        self.book().delivering = false;
    }

    /// Notes a set that was pulled.
    pub fn pulled(&self, results: &Results<'_>) {
        self.take(results);
        self.done(results);
    }

    /// What a set shows is what it showed when it was taken.
    pub fn compare_results(&self, results: &Results<'_>) {
        for (row, tag) in results.tags().iter().enumerate() {
            let now = results.outcome(row);
            self.entry(*tag, |entry| {
                ensure_eq(
                    entry.ended.map(|ended| ended.0),
                    Some(now),
                    format_args!("value {tag} changed its outcome"),
                );
            });
        }
    }

    fn take(&self, results: &Results<'_>) {
        ensure(!results.is_empty(), "an empty set");
        world::note(|| format!("results of batch {}: {results:?}", results.batch()));
        self.book().delivered.push(results.batch());
        for (row, tag) in results.tags().iter().copied().enumerate() {
            let outcome = results.outcome(row);
            let error = results.error(row);
            let code = error.map_or(Status::OK, |error| error.code);
            let handled = results.handled(row);
            let now = world::read_clock();
            if outcome == Outcome::Ok {
                let right = match results.value(row) {
                    Some(Value::Int64(value)) => value == 2 * tag as i64,
                    Some(Value::String(text)) => text == format!("r{tag}"),
                    Some(Value::Object(object)) => object.word == tag + RESULT,
                    _ => false,
                };
                ensure(
                    right,
                    format_args!("value {tag} has the result {:?}", results.value(row)),
                );
            }
            self.entry(tag, |entry| {
                ensure(
                    entry.ended.is_none(),
                    format_args!("value {tag} is delivered twice"),
                );
                let refused = entry.answer.is_some_and(|answer| !answer.is_ok());
                ensure(!refused, format_args!("value {tag} was refused and is delivered"));
                entry.ended = Some((outcome, code, handled));
                let sound = match outcome {
                    Outcome::Ok => entry.seen == 1 && handled == Handled::Yes,
                    Outcome::Failed => code != Status::OK,
                    Outcome::Cancelled => entry.seen == 0 && code == Status::CANCELLED,
                    Outcome::Discarded => code == Status::DISCARDED,
                    Outcome::Expired if code == Status::DEADLINE => {
                        entry.seen == 0 && entry.deadline != 0 && entry.deadline <= now
                    }
                    Outcome::Expired => code == Status::HANDLER_TIMEOUT,
                };
                ensure(
                    sound,
                    format_args!("value {tag} ended as {outcome} with {code} and {entry:?}"),
                );
                let said = match entry.seen {
                    0 => handled != Handled::Yes,
                    _ => handled != Handled::No,
                };
                ensure(
                    said,
                    format_args!("value {tag}: handled {handled:?} but seen {} times", entry.seen),
                );
            });
        }
    }

    fn done(&self, results: &Results<'_>) {
        for tag in results.tags() {
            self.entry(*tag, |entry| entry.delivered = true);
        }
        self.changed.tell_all();
    }

    /// Waits until one value is delivered.
    pub fn wait_for(&self, tag: u64) {
        world::point();
        while !self.are_delivered(&[tag]) {
            self.changed.join().until(i64::MAX);
        }
    }

    /// Waits until every accepted value is delivered.
    pub fn wait_for_all(&self) {
        world::point();
        while !self.are_delivered(&self.accepted()) {
            self.changed.join().until(i64::MAX);
        }
    }

    pub(crate) fn released(&self, word: u64) {
        ensure_eq(world::locks(), 0, "a release is called with a lock held");
        world::note(|| format!("release {word:#x}"));
        let lossy = self.book().lossy;
        self.entry(word & (RESULT - 1), |entry| {
            if word >= RESULT {
                entry.result_releases += 1;
                ensure(
                    entry.result_releases <= entry.results,
                    "a result object is released twice",
                );
            } else {
                entry.releases += 1;
                ensure(entry.releases == 1, "an object is released twice");
                ensure(
                    entry.delivered || lossy,
                    "an object is released before its result is delivered",
                );
            }
        });
    }
}
