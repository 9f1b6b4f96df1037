//! One consistent snapshot of what a batcher has done and holds, and the histograms in it.

use super::error::Status;
use super::histogram::Histogram;
use super::value::{Outcome, Trigger};

/// A snapshot of a batcher (P38). Counters run from creation and never go back; gauges say what is so now.
///
/// The layout is that of C, so that the boundary can mirror it field by field.
#[repr(C)]
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Counter, values: taken by a push.
    pub accepted: u64,
    /// Counter, values: answered by a handler.
    pub ok: u64,
    /// Counter, values: failed by a handler, or left without a result.
    pub failed: u64,
    /// Counter, values: ended by their deadline or by the handler's time-out.
    pub expired: u64,
    /// Counter, values: cancelled while they waited.
    pub cancelled: u64,
    /// Counter, values: given up for room or at the end of close.
    pub discarded: u64,
    /// Gauge, values: accepted and without an outcome yet, waiting or in flight.
    pub outstanding: u64,
    /// Gauge, values: with an outcome that is not delivered yet.
    pub undelivered: u64,
    /// Counter, batches: sealed, by code of the [`Trigger`]; index 0 stays 0.
    pub triggers: [u64; 8],
    /// Counter, pushes: refused, by the negated code of the [`Status`]; index 0 stays 0.
    pub refusals: [u64; 24],
    /// Counter, batches: dispatched to a handler or handed out by `next_batch`.
    pub batches: u64,
    /// Counter, completions: came after their batch had ended and were ignored.
    pub late: u64,
    /// Gauge, threads: inside a handler whose batch has timed out.
    pub stuck: u64,
    /// Gauge, values: in the queue, not dispatched.
    pub waiting: u64,
    /// Gauge, bytes: what the values in the queue weigh.
    pub waiting_bytes: u64,
    /// Gauge, batches: dispatched and not finished.
    pub in_flight: u64,
    /// Gauge, values: in the result set that is being delivered at this moment.
    pub delivering: u64,
    /// Gauge, bytes: memory held for batches and results, idle pools included.
    pub bytes_in_use: u64,
    /// Gauge, nanoseconds: since the oldest batch in flight was dispatched; 0 without one.
    pub oldest_in_flight_age: i64,
    /// Values in each dispatched batch.
    pub batch_size: Histogram,
    /// Nanoseconds from the acceptance of each batch's oldest value to its dispatch.
    pub queue_time: Histogram,
    /// Nanoseconds from each batch's dispatch until its last part was finished.
    pub handler_time: Histogram,
    /// Nanoseconds from the moment each result set was ready until it was delivered.
    pub delivery_time: Histogram,
}

impl Stats {
    /// How many values ended this way.
    pub const fn outcome(&self, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::Ok => self.ok,
            Outcome::Failed => self.failed,
            Outcome::Expired => self.expired,
            Outcome::Cancelled => self.cancelled,
            Outcome::Discarded => self.discarded,
        }
    }

    /// How many batches this trigger sealed.
    pub const fn sealed_by(&self, trigger: Trigger) -> u64 {
        self.triggers[trigger.code() as usize]
    }

    /// How many pushes were refused with this status; 0 for a status no push answers.
    pub fn refused_with(&self, status: Status) -> u64 {
        if status.code() >= 0 {
            return 0;
        }
        let index = usize::try_from(status.code().unsigned_abs()).ok();
        index
            .and_then(|index| self.refusals.get(index))
            .copied()
            .unwrap_or(0)
    }

    /// Whether every accepted value is accounted for (P16):
    /// accepted = ok + failed + expired + cancelled + discarded + outstanding.
    pub fn balanced(&self) -> bool {
        let ended: u128 = Outcome::ALL
            .iter()
            .map(|outcome| u128::from(self.outcome(*outcome)))
            .sum();
        u128::from(self.accepted) == ended + u128::from(self.outstanding)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use super::*;

    #[test]
    fn p16_the_law_of_balance() {
        let mut stats = Stats::default();
        assert!(stats.balanced());
        stats.accepted = 21;
        assert!(!stats.balanced());
        (stats.ok, stats.failed, stats.expired) = (1, 2, 3);
        (stats.cancelled, stats.discarded, stats.outstanding) = (4, 5, 6);
        assert!(stats.balanced());
        stats.undelivered = 9;
        assert!(stats.balanced(), "undelivered is a separate gauge");
        (stats.ok, stats.failed) = (u64::MAX, u64::MAX);
        assert!(!stats.balanced(), "and nothing overflows");
    }

    #[test]
    fn p38_counters_are_found_by_name() {
        let mut stats = Stats::default();
        stats.refusals[9] = 3;
        stats.triggers[7] = 2;
        assert_eq!(stats.refused_with(Status::QUEUE_FULL), 3);
        assert_eq!(stats.refused_with(Status::OK), 0);
        assert_eq!(stats.refused_with(Status::from_code(9)), 0);
        assert_eq!(stats.refused_with(Status::DISCARDED), 0);
        assert_eq!(stats.refused_with(Status::from_code(i32::MIN)), 0);
        assert_eq!(stats.sealed_by(Trigger::Close), 2);
    }
}
