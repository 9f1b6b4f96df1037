//! Writing the trace: batches, results and stats as its lines.

use super::super::payload::{Code, Failure, Payload};
use super::super::state::{Batcher, ResultSet, RowResult};
use super::super::text::{KINDS, Value, escape_or_dash};
use super::Player;

impl Player {
    pub(super) fn line(&mut self, text: &str) {
        self.trace.push_str(&"  ".repeat(self.depth));
        self.trace.push_str(text);
        self.trace.push('\n');
    }

    pub(super) fn show_batch(&mut self, batcher: &Batcher, flight: usize, part: usize, name: &str) {
        let rows = batcher.part_rows(flight, part);
        let kind = common_kind(rows.iter().map(|(value, _)| Some(value)));
        let flight = &batcher.flights[flight];
        let (number, trigger, age) = (flight.number, flight.trigger, flight.age());
        let rows = show_rows(&rows);
        self.line(&format!(
            "batch {number} {name} {trigger} {kind} age {age}:{rows}"
        ));
    }

    pub(super) fn show_results(&mut self, results: &ResultSet) {
        let values = results.rows.iter().map(|result| match &result.payload {
            Payload::Value(value) => Some(value),
            Payload::Failure(_) => None,
        });
        let (count, kind) = (results.rows.len(), common_kind(values));
        self.line(&format!("results batch {} count {count} {kind}", results.batch));
        self.show_result_rows(&results.rows);
    }

    pub(super) fn show_result_rows(&mut self, rows: &[RowResult]) {
        self.depth += 1;
        for result in rows {
            let outcome = ["OK", "FAILED", "EXPIRED", "CANCELLED", "DISCARDED"][result.outcome as usize];
            let payload = match &result.payload {
                Payload::Value(value) => value.show(),
                Payload::Failure(Failure {
                    code: Code::Library(name),
                    ..
                }) => (*name).to_owned(),
                Payload::Failure(Failure {
                    code: Code::User(code),
                    type_name,
                    message,
                }) => {
                    format!("{code} {} {}", escape_or_dash(type_name), escape_or_dash(message))
                }
            };
            self.line(&format!(
                "{} {outcome} {} {payload}",
                result.row.tag, result.handled
            ));
        }
        self.depth -= 1;
    }

    pub(super) fn show_stats(&mut self, batcher: &Batcher) {
        let counters = &batcher.counters;
        let [ok, failed, expired, cancelled, discarded] = counters.outcomes;
        let accepted = batcher.accepted;
        let outstanding = batcher.outstanding();
        assert_eq!(
            accepted,
            counters.outcomes.iter().sum::<u64>() + outstanding,
            "the law of P16"
        );
        let triggers: String = ["SIZE", "BYTES", "DELAY", "IDLE", "FULL", "FLUSH", "CLOSE"]
            .iter()
            .filter_map(|name| Some(format!(" {name}={}", counters.triggers.get(name)?)))
            .collect();
        let refusals = [
            "WRONG_OWNER",
            "TOO_LARGE",
            "NO_HANDLER",
            "QUEUE_FULL",
            "QUEUE_FULL_BYTES",
            "RESULTS_FULL",
            "CLOSED",
        ];
        let refusals: String = refusals
            .iter()
            .filter_map(|name| Some(format!(" {name}={}", counters.refusals.get(name)?)))
            .collect();
        let [size, queued] =
            [counters.batch_size, counters.queue_time].map(|n| n.map(|n| n.to_string()).join("/"));
        let (undelivered, waiting, bytes) =
            (batcher.undelivered(), batcher.waiting(), batcher.waiting_bytes());
        let (flying, oldest, late) = (batcher.in_flight(), batcher.oldest_in_flight_age(), counters.late);
        let batches = batcher.flights.len();
        self.line(&format!(
            "stats -> accepted {accepted} ok {ok} failed {failed} expired {expired} cancelled {cancelled} \
             discarded {discarded} outstanding {outstanding} undelivered {undelivered} waiting {waiting} \
             waiting_bytes {bytes} in_flight {flying} oldest {oldest} batches {batches} late {late} \
             batch_size {size} queue_time {queued} triggers{triggers} refusals{refusals}"
        ));
    }
}

fn show_rows(rows: &[(Value, u64)]) -> String {
    rows.iter()
        .map(|(value, tag)| format!(" {}@{tag}", value.show()))
        .collect()
}

/// The name of the kind that all have, or `mixed`.
fn common_kind<'a>(mut kinds: impl Iterator<Item = Option<&'a Value>>) -> &'static str {
    let mut name = "mixed";
    if let Some(Some(first)) = kinds.next()
        && kinds.all(|value| value.is_some_and(|value| value.kind() == first.kind()))
    {
        name = KINDS[first.kind()];
    }
    name
}
