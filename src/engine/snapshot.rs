//! One consistent snapshot of all counters.

use super::batcher::Inner;
use super::error::Status;
use super::stats::Stats;

impl Inner {
    // ---- stats -----------------------------------------------------------------------------------------------

    /// One consistent snapshot.
    pub(crate) fn stats(&self) -> Result<Stats, Status> {
        if self.is_foreign() {
            return Err(Status::FORKED);
        }
        Ok(self.gate.visit(|front| {
            let staged = self.stages.len();
            let core = self.core.lock();
            let load = front.load(&core);
            let now = self.now();
            let oldest = core
                .flights
                .iter()
                .find(|flight| !flight.fixed)
                .map(|flight| flight.batch.dispatched_at);
            let recorded = core.recorded.read();
            let [ok, failed, expired, cancelled, discarded] = recorded.outcomes;
            Stats {
                accepted: front.accepted() + staged,
                ok,
                failed,
                expired,
                cancelled,
                discarded,
                outstanding: front.open_live() + core.sealed_live() + core.flying() + staged,
                undelivered: core.undelivered,
                triggers: recorded.triggers,
                refusals: front.refusals(),
                batches: core.dispatched,
                late: core.late,
                stuck: core.flights.iter().filter(|flight| flight.is_stuck()).count() as u64,
                waiting: load.waiting - front.reserved + staged,
                waiting_bytes: load.waiting_bytes - 8 * (front.reserved - staged),
                in_flight: u64::from(core.in_flight),
                delivering: core.delivering_values,
                bytes_in_use: core.memory() + front.memory(),
                oldest_in_flight_age: oldest.map_or(0, |at| now.saturating_sub(at)),
                batch_size: recorded.batch_size,
                queue_time: recorded.queue_time,
                handler_time: recorded.handler_time,
                delivery_time: recorded.delivery_time,
            }
        }))
    }
}
