//! Holding stats and endings against the books.

use super::{Account, Completion, PRODUCER};
use crate::world::{self, ensure, ensure_eq};
use crate::{Batcher, Outcome, Stats, Status};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What never goes back.
#[derive(Clone, Copy, Default)]
pub(super) struct Counters([u64; 9]);

impl Counters {
    fn of(stats: &Stats) -> Counters {
        let delivered =
            stats.ok + stats.failed + stats.expired + stats.cancelled + stats.discarded - stats.undelivered;
        Counters([
            stats.accepted,
            stats.ok,
            stats.failed,
            stats.expired,
            stats.cancelled,
            stats.discarded,
            stats.batches,
            stats.late,
            delivered,
        ])
    }

    fn later(self, other: Counters) -> Counters {
        Counters(std::array::from_fn(|at| self.0[at].max(other.0[at])))
    }
}

impl Account {
    /// A snapshot of the stats at any time keeps the law and the bounds.
    pub fn snapshot(&self, batcher: &Batcher) -> Stats {
        let before = self.accepted().len() as u64;
        let last = self.book().last;
        let Ok(stats) = batcher.stats() else {
            world::fail("no stats");
            return Stats::default();
        };
        let (tried, delivered) = {
            let book = self.book();
            let delivered = book.values.values().filter(|entry| entry.ended.is_some()).count() as u64;
            let tried = book.values.len() as u64;
            (tried, if book.pulled { tried } else { delivered })
        };
        let counters = Counters::of(&stats);
        ensure(
            last.0.iter().zip(counters.0).all(|(last, now)| *last <= now),
            "a counter went back",
        );
        self.book().last = last.later(counters);
        let fixed = stats.ok + stats.failed + stats.expired + stats.cancelled + stats.discarded;
        ensure(stats.balanced(), format_args!("not balanced: {}", brief(&stats)));
        ensure(
            stats.accepted >= before,
            format_args!("{before} accepted before: {}", brief(&stats)),
        );
        ensure(
            stats.accepted <= tried,
            format_args!("{tried} tried: {}", brief(&stats)),
        );
        ensure(
            fixed >= stats.undelivered,
            format_args!("undelivered: {}", brief(&stats)),
        );
        ensure(
            fixed - stats.undelivered <= delivered,
            format_args!("{delivered} delivered: {}", brief(&stats)),
        );
        ensure(
            stats.waiting <= self.bounds.queue,
            format_args!("queue_capacity is passed: {}", brief(&stats)),
        );
        ensure(
            stats.waiting <= stats.outstanding,
            format_args!("waiting and not outstanding: {}", brief(&stats)),
        );
        ensure(
            stats.outstanding + stats.undelivered <= self.bounds.results,
            format_args!("result_capacity is passed: {}", brief(&stats)),
        );
        ensure(
            stats.in_flight <= self.bounds.flights,
            format_args!("max_in_flight is passed: {}", brief(&stats)),
        );
        stats
    }

    /// At the end of a drained batcher the stats are those of the account.
    pub fn settle(&self, batcher: &Batcher) -> Stats {
        let stats = self.snapshot(batcher);
        ensure_eq(stats.accepted, self.accepted().len() as u64, "accepted");
        ensure_eq(
            (stats.outstanding, stats.waiting, stats.waiting_bytes),
            (0, 0, 0),
            "outstanding at the end",
        );
        let counts = [
            stats.ok,
            stats.failed,
            stats.expired,
            stats.cancelled,
            stats.discarded,
        ];
        for (outcome, count) in Outcome::ALL.iter().zip(counts) {
            ensure_eq(count, self.count(*outcome), outcome);
        }
        stats
    }

    /// Sets of dispatched batches came in order of dispatch.
    pub fn ensure_ordered(&self) {
        let book = self.book();
        let numbers: Vec<u64> = book
            .delivered
            .iter()
            .copied()
            .filter(|number| *number != 0)
            .collect();
        ensure(
            numbers.is_sorted(),
            format_args!("not in order of dispatch: {numbers:?}"),
        );
    }

    /// Values pushed by one thread were dispatched in its order.
    pub fn ensure_order_of_producers(&self) {
        let book = self.book();
        let mut last = BTreeMap::new();
        for tags in book.dispatched.values() {
            for tag in tags {
                let before = last.insert(tag / PRODUCER, *tag);
                ensure(
                    before < Some(*tag),
                    format_args!("out of order: {:?}", book.dispatched),
                );
            }
        }
    }

    /// The batcher is gone: every accepted value was delivered once and given back, and nobody has the account but
    /// the caller.
    pub fn finish(self: Arc<Self>) {
        world::wait_for_threads();
        ensure_eq(Arc::strong_count(&self), 1, "the callbacks outlive their batcher");
        let book = self.book();
        for (tag, entry) in &book.values {
            match (entry.answer, entry.ended) {
                (_, Some((outcome, code, handled))) => {
                    world::reached(format_args!("{outcome} {} {handled:?}", code.name()));
                }
                (Some(refusal), None) => world::reached(format_args!("push {}", refusal.name())),
                (None, None) => {}
            }
            let accepted = entry.answer == Some(Status::OK);
            let lost = book.lossy && entry.ended.is_none();
            ensure(
                entry.ended.is_some() == accepted || lost,
                format_args!("value {tag} at the end: {entry:?}"),
            );
            let releases = u32::from(entry.object && accepted);
            ensure_eq(
                entry.releases,
                releases,
                format_args!("releases of {tag}: {entry:?}"),
            );
            ensure_eq(
                entry.result_releases,
                entry.results,
                format_args!("result releases of {tag}: {entry:?}"),
            );
        }
        for (tag, cancelled) in &book.cancelled {
            let ended = book.values.get(tag).and_then(|entry| entry.ended);
            let as_cancelled = ended.is_some_and(|ended| ended.0 == Outcome::Cancelled);
            ensure_eq(
                as_cancelled,
                *cancelled,
                format_args!("cancelled value {tag} ended as {ended:?}"),
            );
        }
        for (tags, completion, status) in &book.completed {
            for tag in tags {
                let ended = book
                    .values
                    .get(tag)
                    .and_then(|entry| entry.ended)
                    .map(|ended| (ended.0, ended.1));
                let right = match (completion, *status) {
                    (Completion::Drop, _) => matches!(
                        ended,
                        Some(
                            (Outcome::Failed, Status::NO_RESULT) | (Outcome::Expired | Outcome::Discarded, _)
                        )
                    ),
                    (_, Status::OK) => ended == Some((Outcome::Ok, Status::OK)),
                    (_, Status::TOO_LATE) => {
                        matches!(ended, Some((Outcome::Expired | Outcome::Discarded, _)))
                    }
                    _ => false,
                } || book.lossy && ended.is_none();
                ensure(
                    right,
                    format_args!("{completion:?} answered {status} and value {tag} ended as {ended:?}"),
                );
            }
        }
    }
}

fn brief(stats: &Stats) -> String {
    format!(
        "accepted {} ok {} failed {} expired {} cancelled {} discarded {} outstanding {} undelivered {} waiting {} \
         in flight {}",
        stats.accepted,
        stats.ok,
        stats.failed,
        stats.expired,
        stats.cancelled,
        stats.discarded,
        stats.outstanding,
        stats.undelivered,
        stats.waiting,
        stats.in_flight
    )
}
